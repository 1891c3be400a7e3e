"""Lab Streaming Layer: the signals of a session as LSL streams, with the time at which each was seen or heard.

Streams appear on the network as `EmoThinker face`, `voice`, `probabilities`, `chain`, `affect` and `markers`.
Laboratories record them beside EEG and eye trackers (LabRecorder), and experiments read them (PsychoPy).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from realtime.publish.events import ClockEvent, CuesEvent, Event, FrameEvent, SessionOpenedEvent, SpeechEvent
from realtime.publish.signals import MARKERS, Signal, Signals
from realtime.publish.sinks import missing


class MediaClock:
    """Tells the time of a media second on another clock of this machine.

    Where the session says when it began (`started_at`), its newest word decides. That is as exact as the clocks of this
    machine and of the one that told it agree. Otherwise the event that came soonest after its moment does: the result
    is late by at least the time from there to here, some tens of milliseconds on one machine.
    """

    def __init__(self, now_s: Callable[[], float], wall_s: Callable[[], float] = time.time) -> None:
        """`now_s` reads the other clock, `wall_s` that of UTC."""
        self._now_s = now_s
        self._wall_s = wall_s
        self._zero_s: float | None = None
        "Media second 0 on the other clock."
        self._given = False

    def received(self, event: Event) -> None:
        """Take note of an event that has just come."""
        match event:
            case SessionOpenedEvent(started_at=str() as text) | ClockEvent(text):
                began_s = datetime.fromisoformat(text).timestamp()
                self._zero_s, self._given = self._now_s() - (self._wall_s() - began_s), True
            # Only these bear the moment that they are about.
            case FrameEvent() | CuesEvent() | SpeechEvent() if not self._given:
                zero_s = self._now_s() - event.t
                self._zero_s = zero_s if self._zero_s is None else min(self._zero_s, zero_s)

    def at(self, media_s: float) -> float:
        """The time of `media_s` on the other clock."""
        return self._now_s() if self._zero_s is None else self._zero_s + media_s


class LslSink:
    """Sends a session's signals as LSL streams. Raises ExtraMissing without pylsl."""

    n_dropped = 0
    "LSL keeps six minutes for each receiver, and drops by itself."

    def __init__(self, name: str = "EmoThinker") -> None:
        """`name` begins the names of the streams."""
        try:
            import pylsl
        except (ImportError, RuntimeError) as error:  # RuntimeError: the package is there, its library is not
            raise missing("pylsl", "lsl") from error
        self._lsl = pylsl
        self._name = name
        self._clock = MediaClock(pylsl.local_clock)
        self._signals = Signals()
        self._outlets: dict[Signal, Any] = {}
        # Recorders choose among streams that are there: the markers are there from the beginning.
        self._outlet(MARKERS)

    def send(self, event: Event) -> None:
        self._clock.received(event)
        for sample in self._signals.samples(event):
            self._outlet(sample.signal).push_sample(list(sample.values), self._clock.at(sample.at_s))

    def close(self) -> None:
        # A stream ends when its outlet is freed.
        self._outlets.clear()

    def _outlet(self, signal: Signal) -> Any:
        if signal not in self._outlets:
            # Another question has other labels, and a stream cannot change its channels.
            for other in [each for each in self._outlets if each.name == signal.name]:
                del self._outlets[other]
            info = self._lsl.StreamInfo(
                f"{self._name} {signal.name}",
                "Markers" if signal.of_text else "Emotion",
                len(signal.channels),
                self._lsl.IRREGULAR_RATE,
                self._lsl.cf_string if signal.of_text else self._lsl.cf_double64,
                # By this a receiver finds the stream again after a restart.
                f"{self._name} {signal.name} {' '.join(signal.channels)}",
            )
            channels = info.desc().append_child("channels")
            for name in signal.channels:
                channels.append_child("channel").append_child_value("label", name)
            self._outlets[signal] = self._lsl.StreamOutlet(info)
        return self._outlets[signal]
