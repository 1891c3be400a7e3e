"""What is said is written down where the server does that and the person says yes; the bubble is read by keyboard."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.chromium import SCRIPTED, Visit, serving
from tests.browser.scripted_server import SAID

pytestmark = [pytest.mark.browser, pytest.mark.slow]

Visits = Callable[..., Visit]


@pytest.fixture
def writing(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("EMOTHINKER_SPEECH__WORDS", "whisper")
    with serving(SCRIPTED) as (address, _):
        yield address


def test_words_are_asked_for_shown_in_a_bubble_and_saved(visit: Visits, writing: str, tmp_path: Path) -> None:
    person = visit(writing)
    page = person.page
    person.open()
    expect(page.locator("#words")).to_be_visible()
    expect(page.locator("#words-note")).to_have_text("Words are neither written down nor used.")
    expect(page.locator(".facts")).to_contain_text("What you say is written down only if you agree to it below.")
    page.locator("input[name=words][value=no]").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("input[name=words][value=yes]")).to_be_checked()
    expect(page.locator("#words-note")).to_contain_text("Some words will be wrong.")
    person.begin()
    expect(page.locator("#said-words blockquote").first).to_have_text(SAID, timeout=30_000)
    assert person.state()["words"] is True
    quote = page.locator("#said-words blockquote").first
    expect(quote).to_have_attribute("lang", "en")
    expect(page.locator("#said-words figcaption").first).to_contain_text("written down by a speech recogniser")
    page.locator("#said-words").focus()
    expect(page.locator("#said-words")).to_be_focused()
    page.locator("#withdraw").click()
    expect(page.locator("#ended")).to_be_visible()
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save as JSON").click()
    saved.value.save_as(tmp_path / "session.json")
    read = json.loads((tmp_path / "session.json").read_text("utf-8"))
    assert {event["text"] for event in read["events"] if event["type"] == "words"} == {SAID}
    assert person.complaints == []


def test_nothing_is_written_down_unless_the_person_says_so(visit: Visits, writing: str) -> None:
    person = visit(writing)
    page = person.page
    person.open()
    person.begin()
    expect(page.locator(".conclusion")).to_have_attribute("data-source", "chain", timeout=30_000)
    assert person.state()["words"] is False
    expect(page.locator("#said-words")).to_be_hidden()
    assert person.complaints == []
