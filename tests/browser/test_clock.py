"""By the clock that a session tells, a picture that Chromium sent is of the moment at which it was drawn."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import WebSocket

from tests.browser.chromium import Visit

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PERIOD_S = 2.6
"No multiple of the time between two sampled frames, so that these see all of it."
N_FRAMES = 12
DRAWN_S = 0.06
"What a busy machine's browser may take from drawing a picture to capturing it."
SHOW_THE_TIME = """
  navigator.mediaDevices.getUserMedia = async () => {
    const canvas = Object.assign(document.createElement("canvas"), { width: 320, height: 240 });
    const pen = canvas.getContext("2d");
    setInterval(() => {
      const phase = (Date.now() / 1000 / PERIOD) % 1;
      const level = Math.round(70 + 110 * 2 * Math.min(phase, 1 - phase));
      pen.fillStyle = `rgb(${level}, ${level}, ${level})`;
      pen.fillRect(0, 0, canvas.width, canvas.height);
    }, 5);
    const sound = new AudioContext().createMediaStreamDestination();
    return new MediaStream([...canvas.captureStream(30).getTracks(), ...sound.stream.getTracks()]);
  };
""".replace("PERIOD", str(PERIOD_S))


def test_the_senders_reports_place_a_picture_where_it_was_drawn(visit: Callable[..., Visit], scripted: str) -> None:
    person = visit(scripted)
    person.page.add_init_script(SHOW_THE_TIME)
    events: list[dict[str, Any]] = []

    def listen(socket: WebSocket) -> None:
        socket.on("framereceived", lambda text: events.append(json.loads(text)))

    person.page.on("websocket", listen)
    person.go_live()
    until_s = time.monotonic() + 90
    while len(shown := frames_by_clock(events)) < N_FRAMES:
        assert time.monotonic() < until_s, f"{len(events)} events, {len(shown)} frames by the sender's clock"
        person.page.wait_for_timeout(200)
    error_s = max(error_s for _, _, error_s in shown)
    assert -error_s < late_s([(at_s, brightness) for at_s, brightness, _ in shown]) < error_s + DRAWN_S


def frames_by_clock(events: list[dict[str, Any]]) -> list[tuple[float, float, float]]:
    """Of the frames since the sender's clock is known: wall time, brightness, and how far the time may be off."""
    found, clock = [], None
    for event in events:
        if event["type"] == "clock":
            clock = (datetime.fromisoformat(event["started_at"]).timestamp(), event["started_at_error_ms"] / 1000)
        elif event["type"] == "frame" and clock is not None:
            found.append((clock[0] + event["t"], event["brightness"], clock[1]))
    return found


def late_s(shown: list[tuple[float, float]]) -> float:
    """By how much the wall times are later than what was shown then, whatever the encoder made of the grey levels."""
    at_s, brightness = np.array(shown).T

    def unlike(off_s: float) -> float:
        phase = ((at_s - off_s) / PERIOD_S) % 1
        drawn = np.minimum(phase, 1 - phase)
        slope, level = np.polyfit(drawn, brightness, 1)
        # A picture that is half a period off is as like, upside down.
        return float(np.square(slope * drawn + level - brightness).sum()) if slope > 0 else np.inf

    return float(min(np.arange(-0.6, 0.6, 0.005), key=unlike))
