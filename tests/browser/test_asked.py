"""The Ask box with nano: a question about time is answered from what was measured, and the page says by whom."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.chromium import Visit

pytestmark = [pytest.mark.browser, pytest.mark.slow]

WAIT_MS = 240_000
"A machine that is short of time lets chains wait until it has caught up."
TIMED = re.compile(r"\d:\d\d: \w+|did not change in these \d seconds|seen too briefly")
"What a rule says of a face that changed, or did not: the clip goes round and round, so it may be either."


@pytest.mark.timeout(900)
def test_when_a_face_changed_is_told_from_the_measurements(
    visit: Callable[..., Visit], real: str, pictures: Path
) -> None:
    person = visit(real, viewport={"width": 1280, "height": 860})
    person.go_live()
    page = person.page
    page.locator("#ask summary").click()
    page.get_by_role("button", name="When did the face change?").click()
    expect(page.locator("#ask-status")).to_contain_text("When did the face change?")
    # A moment that is held may be one whose reasons never come, on a machine that is slow. So nothing is held.
    expect(person.section("answer")).to_contain_text(TIMED, timeout=WAIT_MS)
    by = page.locator("#chain .from")
    expect(by).to_contain_text("No language model wrote that")
    expect(by).to_have_attribute("data-from", "measurements")
    page.screenshot(path=pictures / "asked_when.png", full_page=True)
    page.locator("#ask-query").fill("Where does she live?")
    page.locator("#ask-query").press("Enter")
    expect(person.section("answer")).to_contain_text("That cannot be told from this", timeout=WAIT_MS)
    expect(by).to_have_attribute("data-from", "nothing")
    page.locator("#ask-query").fill("")
    page.get_by_role("button", name="Back to the emotions").click()
    expect(by).to_be_hidden(timeout=WAIT_MS)
    assert person.complaints == []
