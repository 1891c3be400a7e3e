"""`small` as it is served: a sentence is read in the browser, a question about it answered, and all summed up."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from realtime.records import SECTIONS
from tests.browser.chromium import REAL, Visit, serving

pytestmark = [pytest.mark.browser, pytest.mark.slow]

WAIT_MS = 240_000
"The first start puts the model together, and a machine that is short of time lets chains wait."
QUESTION = "Is the person louder than before?"
LOUDNESS = re.compile(r"louder|quieter|usual|as before|too little of this voice", re.IGNORECASE)
"What an answer to that is in words of: a voice that is too new has no usual yet."


@pytest.fixture(scope="module")
def small() -> Iterator[str]:
    with serving((*REAL, "--model", "small")) as (address, _):
        yield address


@pytest.mark.timeout(900)
def test_a_spoken_sentence_is_read_and_a_typed_question_about_it_answered(
    visit: Callable[..., Visit], small: str, pictures: Path
) -> None:
    person = visit(small, viewport={"width": 1280, "height": 860})
    person.go_live()
    page = person.page
    expect(page.locator(".conclusion")).to_have_attribute("data-source", "fast", timeout=WAIT_MS)
    # Whoever reads holds what they read: without that, the next window would replace it half-way.
    page.locator("#chain").focus()
    for name in SECTIONS:
        expect(person.section(name)).to_be_visible(timeout=WAIT_MS)
    page.screenshot(path=pictures / "small.png", full_page=True)
    page.locator("#ask summary").click()
    page.locator("#ask-query").fill(QUESTION)
    page.locator("#ask-query").press("Enter")
    expect(page.locator("#ask-status")).to_contain_text(QUESTION)
    # It leaves a person's own questions to nano, and says so.
    told = f"Asked: “{QUESTION}”, read as: “Is the voice louder or quieter than before?” (nano answers)"
    expect(page.locator("#chain")).to_contain_text(told, timeout=WAIT_MS)
    expect(person.section("answer")).to_contain_text(LOUDNESS, timeout=WAIT_MS)
    page.screenshot(path=pictures / "asked.png", full_page=True)
    page.get_by_role("button", name="Sum up the last two minutes").click()
    expect(page.locator("#summary-text")).not_to_be_empty(timeout=WAIT_MS)
    expect(page.locator("#summary-by")).to_contain_text("No language model wrote this")
    assert person.complaints == []
