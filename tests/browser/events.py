"""Events made up for the page: a session of any length, and a way into the socket of one that is live."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

from playwright.sync_api import Page

from realtime.publish.events import (
    CuesEvent,
    EmotionAnswer,
    Event,
    FaceBox,
    FrameEvent,
    LabelEvent,
    ModalityConflict,
    Patches,
    ReasonDeltaEvent,
    ReasonDoneEvent,
    SessionOpenedEvent,
    SpeechEvent,
    TokenSplit,
    WindowEvent,
    encode,
)
from realtime.records import LABELS, SECTIONS

EVERY_S = 4
SPOKEN_S = 2.5
TEXT = "Lip corners clearly pulled up and lids slightly tightened while the voice stays low and even."
WORDS = TEXT.split()
SOCKETS = """
  globalThis.sockets = [];
  const Real = WebSocket;
  globalThis.WebSocket = class extends Real {
    constructor(...given) {
      super(...given);
      globalThis.sockets.push(this);
    }
  };
  globalThis.inject = (lines) => {
    for (const data of lines) globalThis.sockets.at(-1).dispatchEvent(new MessageEvent("message", { data }));
  };
"""
"An init script. `inject` hands lines to the page as if the session's own server had sent them."
FIRST_SEQ = 1_000_000
"Made-up events are numbered from here: far beyond what the real session reaches."


def session_of(page: Page) -> str:
    """The id of the session that is live."""
    name: str = page.evaluate("globalThis.sockets.at(-1).url.split('/').at(-2)")
    return name


def lines(events: Iterator[tuple[float, Event]], *, session: str, first_seq: int = FIRST_SEQ) -> list[str]:
    return [encode(event, session=session, seq=first_seq + n, at_s=at_s) for n, (at_s, event) in enumerate(events)]


def conversation(duration_s: float, *, n_words: int = 10) -> Iterator[tuple[float, Event]]:
    """A frame and its cues each second, a window each four, with speech, both labels, words and the whole chain."""
    yield 0.0, SessionOpenedEvent("generated", "none", LABELS)
    for second in range(int(duration_s)):
        yield float(second), frame(second)
        smile = 0.5 + 0.5 * math.sin(second / 40)
        cues = {"track": 1, "lip_corner_pull": smile, "brow_lower": 1 - smile, "jaw_drop": 0.2}
        yield float(second), CuesEvent(face=cues, pose={"yaw": 20.0, "pitch": -2.0, "roll": 1.0})
        if second % EVERY_S == EVERY_S - 1:
            yield from window(second // EVERY_S, end_s=second + 1.0, n_words=n_words)


def frame(second: int) -> FrameEvent:
    x = 0.4 + 0.05 * math.sin(second / 9)
    cells = "".join("f" if 2 <= n % 8 < 6 else "k" if (n + second) % 5 else "-" for n in range(64))
    faces = (FaceBox(1, (x, 0.2, 0.2, 0.4), 0.93),)
    grid = Patches((0.1, 0.0, 0.8, 1.0), 8, 8, cells)
    return FrameEvent(faces, TokenSplit(32, 25, 7), 0.5, 0.3, 640, 480, ((x - 0.1, 0.05, 0.4, 0.7),), grid)


def window(number: int, *, end_s: float, n_words: int) -> Iterator[tuple[float, Event]]:
    start_s, spoken_s = max(0.0, end_s - 8), end_s - SPOKEN_S
    yield spoken_s, SpeechEvent("start", spoken_s, None)
    yield end_s, SpeechEvent("end", spoken_s, end_s)
    voice = {"pitch_hz": 200.0, "loudness_db": -20.0, "rate_hz": 4.0}
    yield end_s, CuesEvent(voice=voice, relative={"pitch_hz": math.sin(number), "loudness_db": math.cos(number)})
    yield end_s, WindowEvent(number, start_s, end_s, 8, SPOKEN_S, people=(1,), labels=LABELS)
    shares = distribution(number)
    best = max(shares, key=lambda label: shares[label])
    conflict = ModalityConflict(shares, distribution(number + 3), 0.3)
    yield end_s, LabelEvent(number, best, shares, "fast", conflict)
    for word in itertools.islice(itertools.cycle(WORDS), n_words):
        yield end_s, ReasonDeltaEvent(number, "face", f"{word} ")
    sections = dict.fromkeys(SECTIONS, TEXT) | {"fine": f"Window {number}. {TEXT}"}
    yield end_s + 0.5, LabelEvent(number, best, shares, "chain", conflict)
    timings_ms = {"see": 40.0, "label": 120.0, "first_word": 300.0, "total": 1900.0}
    yield end_s + 0.5, ReasonDoneEvent(number, sections, EmotionAnswer(best, "moderate", shares[best]), timings_ms)


def distribution(number: int) -> dict[str, float]:
    scores = [math.exp(1.5 * math.sin(number / 25 + index)) for index in range(len(LABELS))]
    return {label: score / sum(scores) for label, score in zip(LABELS, scores, strict=True)}
