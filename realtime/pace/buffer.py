"""The evidence of the last seconds, in memory only. Windows are cut from it."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

from realtime.records import FrameEvidence, Glimpse, SpeechEvidence, Window

MAX_PER_S = 10
"Frames, segments of speech and measurements between frames kept for each second of `span_s`: `ingest.cue_fps` at most."


@dataclass(frozen=True)
class BufferSettings:
    """The evidence that a session keeps, and what a window takes of it."""

    span_s: float = 30.0
    "Media seconds after which evidence is forgotten."
    window_s: float = 8.0
    "Media seconds that one analysis looks back at most."

    def __post_init__(self) -> None:
        if not 0 < self.window_s <= self.span_s:
            raise ValueError(
                f"buffer.window_s must be positive and at most buffer.span_s ({self.span_s}), got {self.window_s}"
            )


class RollingBuffer:
    """Frames and speech of the last `span_s` seconds, each in order of time."""

    def __init__(self, settings: BufferSettings) -> None:
        self._settings = settings
        n_kept = math.ceil(settings.span_s * MAX_PER_S)
        self._frames: deque[FrameEvidence] = deque(maxlen=n_kept)
        self._speech: deque[SpeechEvidence] = deque(maxlen=n_kept)
        self._glimpses: deque[Glimpse] = deque(maxlen=n_kept)
        self.newest_s = 0.0
        "Media time of the newest evidence."
        self.n_crowded_out = 0
        "Items that went before their time because there were too many."

    def add_frame(self, frame: FrameEvidence) -> None:
        self.n_crowded_out += len(self._frames) == self._frames.maxlen
        self._frames.append(frame)
        self._forget(frame.at_s)

    def add_speech(self, speech: SpeechEvidence) -> None:
        self.n_crowded_out += len(self._speech) == self._speech.maxlen
        self._speech.append(speech)
        self._forget(speech.end_s)

    def add_glimpse(self, glimpse: Glimpse) -> None:
        self.n_crowded_out += len(self._glimpses) == self._glimpses.maxlen
        self._glimpses.append(glimpse)
        self._forget(glimpse.at_s)

    def window(self, index: int, end_s: float) -> Window:
        """What was seen and heard in the `window_s` before `end_s`: frames within, speech that overlaps."""
        start_s = max(0.0, end_s - self._settings.window_s)
        return Window(
            index=index,
            start_s=start_s,
            end_s=end_s,
            frames=tuple(frame for frame in self._frames if start_s <= frame.at_s <= end_s),
            speech=tuple(part for part in self._speech if part.end_s > start_s and part.start_s < end_s),
            glimpses=tuple(glimpse for glimpse in self._glimpses if start_s <= glimpse.at_s <= end_s),
        )

    def clear(self) -> None:
        """Forget everything now, not when it is old."""
        self._frames.clear()
        self._speech.clear()
        self._glimpses.clear()

    def _forget(self, newest_s: float) -> None:
        """Let go of what is `span_s` older than the newest, whichever track that is on."""
        self.newest_s = max(self.newest_s, newest_s)
        oldest_s = self.newest_s - self._settings.span_s
        while self._frames and self._frames[0].at_s < oldest_s:
            self._frames.popleft()
        while self._speech and self._speech[0].end_s < oldest_s:
            self._speech.popleft()
        while self._glimpses and self._glimpses[0].at_s < oldest_s:
            self._glimpses.popleft()
