"""A server that keeps sessions: the page asks first, "no" unless changed, and takes it back with one click."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from realtime.errors import BadRecording
from realtime.recording.vault import EVENT, PICTURE, Vault, new_key, read_key
from tests.browser.chromium import SCRIPTED, Visit, serving

pytestmark = [pytest.mark.browser, pytest.mark.slow]

Visits = Callable[..., Visit]


@pytest.fixture
def vault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Vault:
    new_key(tmp_path / "key")
    monkeypatch.setenv("EMOTHINKER_RECORD__DIR", str(tmp_path / "vault"))
    monkeypatch.setenv("EMOTHINKER_RECORD__KEY_FILE", str(tmp_path / "key"))
    monkeypatch.setenv("EMOTHINKER_RECORD__WHAT", "media")
    return Vault(tmp_path / "vault", read_key(tmp_path / "key"), days=30)


@pytest.fixture
def keeping(vault: Vault) -> Iterator[str]:
    with serving(SCRIPTED) as (address, _):
        yield address


def live(person: Visit, keep: str | None) -> None:
    person.open()
    expect(person.page.locator("#keep")).to_be_visible()
    if keep is not None:
        person.page.locator(f"input[name=keep][value={keep}]").check()
    person.begin()
    expect(person.page.locator(".conclusion")).to_have_attribute("data-source", "fast")


def whole(person: Visit, vault: Vault, session: str) -> set[bytes]:
    """Kinds of blocks in a recording, once it is closed: the last of it is written after the session has ended."""
    for _ in range(600):
        with contextlib.suppress(BadRecording):
            return {kind for kind, _ in vault.read(session)}
        person.page.wait_for_timeout(100)
    raise AssertionError("The recording was not closed.")


def test_nothing_is_kept_unless_the_person_says_so(visit: Visits, keeping: str, vault: Vault) -> None:
    person = visit(keeping)
    page = person.page
    live(person, None)
    expect(page.locator("#recording")).to_be_hidden()
    expect(page.locator("#stop")).to_be_hidden()
    assert person.state()["recorded"] is None
    page.locator("#withdraw").click()
    expect(page.locator("#ended")).to_be_visible()
    expect(page.locator("#recorded")).to_be_hidden()
    assert list(vault.sessions()) == []
    assert person.complaints == []


def test_what_was_agreed_to_is_kept_until_it_is_deleted(visit: Visits, keeping: str, vault: Vault) -> None:
    person = visit(keeping)
    page = person.page
    page.add_init_script("localStorage.setItem('emothinker.consent', 'yes')")
    live(person, "media")
    expect(page.locator("#recording")).to_contain_text("The server keeps pictures, speech and what is written")
    assert person.state()["recorded"] == "media"
    page.locator("#stop").click()
    expect(page.locator("#recorded")).to_contain_text("the server keeps what is written about you, one picture")
    (session,) = vault.sessions()
    assert {EVENT, PICTURE} <= whole(person, vault, session)
    page.locator("#delete-kept").click()
    expect(page.locator("#recorded p")).to_have_text("What the server had kept of it is deleted.")
    assert list(vault.sessions()) == []
    # The agreement was for that session.
    page.locator("#again").click()
    expect(page.locator("input[name=keep][value=nothing]")).to_be_checked()
    assert person.complaints == []


def test_whoever_withdraws_takes_the_recording_back(visit: Visits, keeping: str, vault: Vault) -> None:
    person = visit(keeping)
    page = person.page
    live(person, "events")
    expect(page.locator("#recording")).to_have_text("The server keeps what is written")
    assert list(vault.sessions()) == [person.session[0].rpartition("/")[2]]
    page.locator("#withdraw").click()
    expect(page.locator("#recorded p")).to_have_text("What the server had kept of it is deleted.")
    assert list(vault.sessions()) == []
    assert person.complaints == []


def test_a_recording_that_stops_is_said_and_the_session_goes_on(
    visit: Visits, keeping: str, vault: Vault, tmp_path: Path
) -> None:
    (tmp_path / "vault").rmdir()
    person = visit(keeping)
    page = person.page
    live(person, "events")
    expect(page.locator("#recording")).to_have_text("The server keeps nothing more")
    page.locator("#withdraw").click()
    expect(page.locator("#recorded p")).to_have_text("What the server had kept of it is deleted.")
    # Of the recording that never was; the browser says so itself.
    assert all("404" in said for said in person.complaints)
