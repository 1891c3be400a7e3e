"""Turns events into samples of signals, as laboratories record them: cues of faces, prosody, probabilities, markers.

Lab Streaming Layer, XDF files and Open Sound Control all send these. A signal's name and channels are fixed; where they
change (another question has other labels), another signal begins.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from realtime.publish.events import (
    CuesEvent,
    ErrorEvent,
    Event,
    LabelEvent,
    MarkEvent,
    ReasonDoneEvent,
    SessionClosedEvent,
    SessionOpenedEvent,
    SpeechEvent,
    WindowEvent,
)


@dataclass(frozen=True)
class Signal:
    """A sequence of samples with the same channels."""

    name: str
    "`face`, `voice`, `probabilities` (of fast labels), `chain` (the same after the chain), `affect`, or `markers`."
    channels: tuple[str, ...]

    @property
    def of_text(self) -> bool:
        """Whether its one channel is text; otherwise all are numbers."""
        return self.name == "markers"


MARKERS = Signal("markers", ("marker",))


@dataclass(frozen=True)
class SignalSample:
    """The values of all channels at one moment."""

    signal: Signal
    at_s: float
    "The media second that the values are of: when the face was seen, the stretch of speech or the window ended."
    values: tuple[float, ...] | tuple[str]
    "NaN where a number was not measured."


class Signals:
    """Makes the samples of one session's events, in the order of the events."""

    def __init__(self) -> None:
        self._ends_s: dict[int, float] = {}
        "End of each window that may still get a label."

    def samples(self, event: Event) -> Iterator[SignalSample]:
        match event:
            case CuesEvent(face=dict() as face):
                pose = {f"pose_{name}": value for name, value in (event.pose or {}).items()}
                # Closed eyes have no gaze, and the signal keeps its channels.
                gaze = {f"gaze_{name}": (event.gaze or {}).get(name) for name in ("yaw", "pitch")}
                yield _numbers("face", event.t, face | pose | gaze)
            case CuesEvent():
                yield _numbers("voice", event.t, event.voice or {})
            case WindowEvent():
                self._ends_s[event.window] = event.end
                while len(self._ends_s) > 64:
                    self._ends_s.pop(next(iter(self._ends_s)))
            case LabelEvent():
                at_s = self._ends_s.get(event.window, event.t)
                yield _numbers("probabilities" if event.source == "fast" else "chain", at_s, event.probabilities)
                if event.valence is not None or event.arousal is not None:
                    both = {"valence": event.valence, "arousal": event.arousal}
                    values = {name: None if told is None else told.value for name, told in both.items()}
                    yield _numbers("affect", at_s, values)
                yield _marker(at_s, f"label {event.label} {event.source}")
            case SpeechEvent(state="start"):
                yield _marker(event.start, "speech begins")
            case SpeechEvent():
                yield _marker(event.t, "speech ends")
            case ReasonDoneEvent():
                yield _marker(self._ends_s.get(event.window, event.t), f"answer {event.answer.label}")
            case MarkEvent():
                data = f" {json.dumps(dict(event.data), ensure_ascii=False)}" if event.data else ""
                yield _marker(event.t, f"mark {event.name}{data}")
            case SessionOpenedEvent():
                yield _marker(event.t, "session begins")
            case SessionClosedEvent():
                yield _marker(event.t, "session ends")
            case ErrorEvent():
                yield _marker(event.t, f"{event.code} {'ends' if event.over else 'begins'}")


def _numbers(name: str, at_s: float, values: Mapping[str, float | None]) -> SignalSample:
    numbers = tuple(math.nan if value is None else float(value) for value in values.values())
    return SignalSample(Signal(name, tuple(values)), at_s, numbers)


def _marker(at_s: float, text: str) -> SignalSample:
    return SignalSample(MARKERS, at_s, (text,))
