"""Bad input and long sessions: what the page does with too much, too late, twice, or nothing that it knows."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from realtime.publish.events import LagEvent, ReasonDeltaEvent
from tests.browser import events
from tests.browser.chromium import Meter, Visit

pytestmark = [pytest.mark.browser, pytest.mark.slow]

Visits = Callable[..., Visit]
HOURS_S = 2 * 3_600
LIMIT_BYTES = 200_000_000
FRAME_MS = 1_000 / 60
BURST_S = 3.0
"A fifth of this on a quiet machine; words that are copied for each new one would take minutes."
BACKGROUND = """
  const real = globalThis.requestAnimationFrame.bind(globalThis);
  globalThis.waiting = [];
  globalThis.background = false;
  Object.defineProperty(document, "hidden", { get: () => globalThis.background });
  const turn = (hidden) => {
    globalThis.background = hidden;
    document.dispatchEvent(new Event("visibilitychange"));
  };
  globalThis.goAway = () => turn(true);
  globalThis.requestAnimationFrame = (draw) => (globalThis.background ? globalThis.waiting.push(draw) : real(draw));
  globalThis.comeBack = () => {
    turn(false);
    for (const draw of globalThis.waiting.splice(0)) real(draw);
  };
"""
"As a browser does with a tab that is not in front: nothing is drawn, and what arrives goes on arriving."
UNPLUG = """(error) => {
  const [track] = document.querySelector("#live video").srcObject.getVideoTracks();
  const media = navigator.mediaDevices;
  globalThis.plugIn = ((open) => () => {
    media.getUserMedia = open;
    media.dispatchEvent(new Event("devicechange"));
  })(media.getUserMedia);
  media.getUserMedia = () => Promise.reject(new DOMException("", error));
  track.stop();
  track.dispatchEvent(new Event("ended"));
}"""


@pytest.fixture
def live(visit: Visits, scripted: str) -> Visit:
    person = visit(scripted, viewport={"width": 1280, "height": 860})
    person.context.add_init_script(script=events.SOCKETS + BACKGROUND)
    person.go_live()
    expect(person.page.locator("#link")).to_have_text("Live")
    return person


def inject(page: Page, lines: list[str], at_once: int = 5_000) -> None:
    for at in range(0, len(lines), at_once):
        page.evaluate("(lines) => globalThis.inject(lines)", lines[at : at + at_once])


def frames(person: Visit) -> tuple[float, float]:
    """What a frame costs the page (ms of its own processor time, mean), and the time between two (ms, median)."""
    meter = Meter(person)
    before_s = meter.work_s()
    intervals_ms: list[float] = person.page.evaluate(
        """async () => {
          const at = [];
          while (at.length < 180) at.push(await new Promise(requestAnimationFrame));
          return at.slice(1).map((ms, index) => ms - at[index]);
        }"""
    )
    work_ms = 1_000 * (meter.work_s() - before_s) / len(intervals_ms)
    return work_ms, sorted(intervals_ms)[len(intervals_ms) // 2]


def test_two_hours_stay_small_and_smooth(live: Visit, figures: dict[str, str]) -> None:
    page = live.page
    fresh_ms, _ = frames(live)
    made = events.lines(events.conversation(HOURS_S, n_words=2), session=events.session_of(page))
    inject(page, made)
    page.get_by_role("button", name="All", exact=True).click()
    expect(page.locator("#timeline-readout")).to_contain_text("120:00")
    used = Meter(live).heap_bytes()
    work_ms, median_ms = frames(live)
    figures[f"memory after two hours, {len(made)} events, MB (wanted: 200)"] = f"{used / 1e6:.1f}"
    figures["work for a frame then, ms (a fresh page)"] = f"{work_ms:.1f} ({fresh_ms:.1f})"
    figures["frames a second then, as the machine lets them"] = f"{1000 / median_ms:.0f}"
    assert used < LIMIT_BYTES
    # What a frame costs us, in half the time it has. On a machine so busy that even a fresh page comes near that,
    # two hours may cost no more than a fresh page does some times over. How often frames come is up to the machine.
    assert work_ms < max(FRAME_MS / 2, 3 * fresh_ms)
    page.locator("#timeline-chart").press("ArrowLeft")
    expect(page.locator("#chain")).to_contain_text("An earlier moment")
    assert live.complaints == []


def test_ten_thousand_events_in_a_second_are_taken(live: Visit) -> None:
    page = live.page
    session = events.session_of(page)
    opening = events.lines(events.window(5_000, end_s=9_000.0, n_words=0), session=session)[:5]
    words = ((9_000.0, ReasonDeltaEvent(5_000, "face", f"w{n} ")) for n in range(10_000))
    burst = events.lines(words, session=session, first_seq=events.FIRST_SEQ + 100)
    inject(page, opening)
    meter = Meter(live)
    before_s = meter.work_s()
    page.evaluate("(lines) => { globalThis.inject(lines); return new Promise(requestAnimationFrame); }", burst)
    assert meter.work_s() - before_s < BURST_S
    expect(live.section("face")).to_contain_text("w0 w1 w2 ")
    expect(live.section("face")).to_contain_text("w9998 w9999")
    assert live.complaints == []


def test_an_event_is_on_screen_with_the_next_frame(live: Visit, figures: dict[str, str]) -> None:
    page = live.page
    line = events.lines(iter([(5.0, LagEvent(7.5, 1, 2))]), session=events.session_of(page))
    shown, passed_ms = page.evaluate(
        """async (lines) => {
          const arrived = performance.now();
          globalThis.inject(lines);
          await new Promise(requestAnimationFrame);
          return [document.querySelector("#lag").textContent, performance.now() - arrived];
        }""",
        line,
    )
    figures["an event's arrival to the frame that shows it, ms"] = f"{passed_ms:.1f}"
    assert shown == "7.5 s behind"


def test_what_comes_late_twice_or_cannot_be_read_changes_nothing_else(live: Visit) -> None:
    page = live.page
    session = events.session_of(page)
    made = events.lines(events.conversation(40), session=session)
    strange = [json.dumps(json.loads(made[1]) | change) for change in ({"v": 2}, {"type": "weather"}, {"faces": 3})]
    inject(page, [*made[::-1], *made, "not JSON", *strange])
    expect(page.locator("#history")).to_contain_text("0:40")
    page.locator("#history button", has_text="0:40").first.click()
    expect(live.section("fine").locator("p")).to_have_text(f"Window 9. {events.TEXT}")
    page.locator(".latency summary").click()
    expect(page.locator(".latency")).to_contain_text("4 messages could not be read")
    assert live.complaints == []


def test_an_hour_in_the_background_is_caught_up_with(live: Visit) -> None:
    page = live.page
    page.evaluate("globalThis.goAway()")
    inject(page, events.lines(events.conversation(3_600, n_words=2), session=events.session_of(page)))
    expect(page.locator("#history")).not_to_contain_text("60:00")
    page.evaluate("globalThis.comeBack()")
    expect(page.locator("#notices [data-code=background_back]")).to_contain_text(
        "moments while this tab was in the back"
    )
    expect(page.locator("#history")).to_contain_text("60:00")
    expect(page.locator("#link")).to_have_text("Live")
    assert live.complaints == []


def test_a_camera_that_is_unplugged_is_taken_up_again(live: Visit) -> None:
    page = live.page
    page.evaluate(UNPLUG, "NotFoundError")
    expect(page.locator("[data-code=camera_unplugged]")).to_contain_text("The camera is gone")
    page.evaluate("globalThis.plugIn()")
    expect(page.locator("[data-code=camera_back]")).to_contain_text("The camera is back")
    expect(page.locator("[data-code=camera_unplugged]")).to_have_count(0)
    states: list[Any] = page.evaluate(
        "document.querySelector('#live video').srcObject.getTracks().map((track) => [track.kind, track.readyState])"
    )
    assert sorted(states) == [["audio", "live"], ["video", "live"]]
    reached_s = live.state()["t"]
    for _ in range(60):
        page.wait_for_timeout(500)
        if live.state()["t"] > reached_s + 1:
            break
    else:
        raise AssertionError("No media reached the server after the camera came back.")
    assert live.complaints == []
