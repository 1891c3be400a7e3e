"""After a session: files to keep, a report to print, everything deleted, and saved sessions opened again."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from playwright.sync_api import Page, expect

from realtime.records import SECTIONS
from tests.browser import events
from tests.browser.chromium import Visit

pytestmark = [pytest.mark.browser, pytest.mark.slow]

Visits = Callable[..., Visit]
WIDE = {"width": 1280, "height": 860}


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """What `realtime analyze FILE --out events.jsonl` writes: the same events, a line each."""
    file = tmp_path / "events.jsonl"
    file.write_text("\n".join(events.lines(events.conversation(120), session="a", first_seq=1)) + "\n")
    return file


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Twelve seconds of a square that moves, as the person's own video."""
    file = tmp_path / "clip.webm"
    with av.open(str(file), "w") as media:
        stream = media.add_stream("libvpx", rate=5)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(60):
            picture_HW3 = np.zeros((48, 64, 3), np.uint8)
            picture_HW3[10:30, index % 40 : index % 40 + 20] = 255
            media.mux(stream.encode(av.VideoFrame.from_ndarray(picture_HW3, format="rgb24")))
        media.mux(stream.encode(None))
    return file


def until(page: Page, condition: str) -> None:
    """Asks from outside: what Playwright itself waits with is an `eval`, and the page's policy refuses that."""
    for _ in range(100):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(100)
    raise AssertionError(condition)


def open_saved(person: Visit, file: Path) -> None:
    person.open()
    person.page.locator("#saved-file").set_input_files(file)


def test_a_session_is_saved_opened_again_and_deleted(visit: Visits, scripted: str, tmp_path: Path) -> None:
    person = visit(scripted, viewport=WIDE)
    person.go_live()
    page = person.page
    expect(person.section("answer")).to_be_visible(timeout=60_000)
    page.locator("#chain").focus()
    expect(page.locator("#chain")).to_have_class("chain done")
    said = person.section("fine").locator("p").inner_text()
    for name in ("CSV", "Subtitles"):
        with page.expect_download() as saved:
            page.get_by_role("button", name=f"Save as {name}").click()
        assert "happy" in saved.value.path().read_text()
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save as JSON").click()
    file = tmp_path / "session.json"
    saved.value.save_as(file)
    kept = json.loads(file.read_text())
    assert kept["model"] == "scripted"
    assert list(kept["windows"][0]["sections"]) == list(SECTIONS)

    page.locator("#withdraw").click()
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert said in page.locator("#report").inner_html()
    page.locator("#forget").click()
    expect(page.locator("#consent")).to_be_visible()
    assert said not in page.evaluate("document.body.innerHTML")
    expect(page.locator("#history li")).to_have_count(0)

    page.locator("#saved-file").set_input_files(file)
    expect(page.locator("#ended")).to_contain_text("session.json")
    page.locator("#history button", has_text="happy").last.click()
    expect(person.section("fine").locator("p")).to_have_text(said)
    assert person.complaints == []
    assert person.strangers == []


def test_what_was_measured_otherwise_is_crossed_out(visit: Visits, scripted: str, recording: Path) -> None:
    told = [json.loads(line) for line in recording.read_text().splitlines()]
    (marked,) = [event for event in told if event["type"] == "reason.done" and event["window"] == 24]
    text = marked["sections"]["face"]
    wrong = text.split(" ")[1]
    marked["unsupported"] = [{"section": "face", "start": text.index(wrong), "text": wrong}]
    recording.write_text("\n".join(json.dumps(event) for event in told) + "\n")
    person = visit(scripted, viewport=WIDE)
    open_saved(person, recording)
    page = person.page
    otherwise = page.locator("#chain .otherwise")
    expect(page.locator("#ended")).to_contain_text("events.jsonl")
    expect(otherwise).to_be_hidden()
    page.locator("#place").fill("100")
    expect(page.locator("#chain")).to_have_attribute("data-window", "24")
    expect(person.section("face").locator("s")).to_have_text(wrong)
    expect(person.section("face").locator("p")).to_have_text(text)
    expect(person.section("voice").locator("s")).to_have_count(0)
    expect(otherwise).to_have_text("What is crossed out was measured otherwise.")
    assert person.complaints == []


def test_a_recording_is_replayed_beside_its_video(visit: Visits, scripted: str, recording: Path, clip: Path) -> None:
    person = visit(scripted, viewport=WIDE)
    sent: list[str] = []
    open_saved(person, recording)
    page = person.page
    expect(page.locator("#ended")).to_contain_text("events.jsonl")
    page.on("request", lambda request: sent.append(request.url))
    expect(page.locator(".playback")).to_contain_text("0:00 / ")
    page.locator("#place").fill("100")
    expect(page.locator("#chain")).to_have_attribute("data-window", "24")
    expect(page.locator(".face")).to_be_visible()
    # Without a video the page's own clock runs.
    page.locator("#play").click()
    expect(page.locator(".playback .time")).to_contain_text(re.compile("1:4[2-9]"))
    page.locator("#play").click()

    page.locator("#video-file").set_input_files(clip)
    expect(page.locator(".playback")).to_contain_text("clip.webm")
    page.locator("#place").fill("4")
    video = "document.querySelector('#live video')"
    until(page, f"Math.abs({video}.currentTime - 4) < 0.2")
    page.locator("#play").click()
    until(page, f"{video}.currentTime > 5")
    expect(page.locator("#chain")).to_have_attribute("data-window", "0")
    page.locator("#play").click()
    until(page, f"{video}.paused")
    assert [url for url in sent if not url.startswith("blob:")] == []
    page.locator("#again").click()
    expect(page.locator("#consent")).to_be_visible()
    assert page.evaluate(f"{video}.getAttribute('src')") is None
    assert person.complaints == []


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("holiday.json", '{"photos": []}', "This is no saved session"),
        ("cut.json", '{\n "format": "emothinker session", "wind', "This file cannot be read"),
        ("picture.png", "PNG", "This file cannot be read"),
    ],
)
def test_a_file_that_is_no_session_is_said(
    visit: Visits, scripted: str, tmp_path: Path, name: str, text: str, words: str
) -> None:
    file = tmp_path / name
    file.write_text(text)
    person = visit(scripted)
    open_saved(person, file)
    expect(person.page.locator("#failure")).to_contain_text(words)
    assert person.complaints == []


def test_the_report_is_one_page(visit: Visits, scripted: str, recording: Path) -> None:
    # Reasons as long as a chain's section may become.
    recording.write_text(recording.read_text().replace(events.TEXT, " ".join([events.TEXT] * 5)))
    person = visit(scripted, viewport=WIDE)
    open_saved(person, recording)
    page = person.page
    expect(page.locator("#ended")).to_be_visible(timeout=60_000)
    page.evaluate("globalThis.print = () => dispatchEvent(new Event('beforeprint'))")
    page.locator("#print").click()
    printed = page.pdf(format="A4", prefer_css_page_size=True)
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) == 1
    page.emulate_media(media="print")
    expect(page.locator("#report")).to_contain_text("Moments that stand out")
    expect(page.locator("#report svg.report-chart")).to_be_visible()
    expect(page.locator("header.top")).to_be_hidden()
