"""Recordings as a live session takes them in: the reader, sampler and segmenter of serving, then its perception.

One pass over a recording answers for all of its clips (IEMOCAP has dozens in one file), in the order they end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from realtime.ingest.media import MediaSource
from realtime.ingest.settings import IngestSettings
from realtime.ingest.speech import SpeechSettings
from realtime.records import (
    FrameEvidence,
    SpeechEdge,
    SpeechEvidence,
    SpeechSegment,
    SpeechSoFar,
    VideoFrame,
    Window,
)
from train.readers.clip import Clip

WINDOW_S = 8.0
"A clip that is longer is answered by its last seconds, as a live window is."


class Perceives(Protocol):
    def see(self, frame: VideoFrame) -> FrameEvidence | None: ...

    def hear(self, segment: SpeechSegment) -> SpeechEvidence | None: ...


@dataclass
class Recorder:
    """The sink: keeps what falls into one of the spans."""

    spans: Sequence[tuple[float, float]]
    frames: list[VideoFrame] = field(default_factory=list)
    speech: list[SpeechSegment] = field(default_factory=list)
    order: list[VideoFrame | SpeechSegment] = field(default_factory=list)
    end_s: float = 0.0

    def _wanted(self, start_s: float, end_s: float) -> bool:
        return any(start_s < last and end_s >= first for first, last in self.spans)

    async def frame(self, frame: VideoFrame) -> None:
        self.end_s = max(self.end_s, frame.at_s)
        if self._wanted(frame.at_s, frame.at_s):
            self.frames.append(frame)
            self.order.append(frame)

    async def speech_started(self, edge: SpeechEdge) -> None: ...

    async def speech_so_far(self, so_far: SpeechSoFar) -> None: ...

    async def speech_ended(self, segment: SpeechSegment) -> None:
        self.end_s = max(self.end_s, segment.end_s)
        if self._wanted(segment.start_s, segment.end_s):
            self.speech.append(segment)
            self.order.append(segment)

    async def clock(self, at_s: float) -> None:
        self.end_s = max(self.end_s, at_s)

    async def ended(self, reason: str) -> None: ...


def record(path: Path, clips: Sequence[Clip]) -> Recorder:
    """What these clips of one recording show and say. Raises NotMedia."""
    recorder = Recorder([span(clip) for clip in clips])
    source = MediaSource.open(str(path), ingest=IngestSettings(), speech=SpeechSettings())
    asyncio.run(source.run(recorder))
    return recorder


def span(clip: Clip) -> tuple[float, float]:
    return (clip.start_s or 0.0, float("inf") if clip.end_s is None else clip.end_s)


def windows(recorder: Recorder, clips: Sequence[Clip], perception: Perceives) -> list[Window]:
    """A window per clip, its evidence perceived once and in order."""
    frames: list[FrameEvidence] = []
    speech: list[SpeechEvidence] = []
    for item in recorder.order:
        if isinstance(item, VideoFrame):
            if (seen := perception.see(item)) is not None:
                frames.append(seen)
        elif (heard := perception.hear(item)) is not None:
            speech.append(heard)
    cut = []
    for index, clip in enumerate(clips):
        start_s, end_s = span(clip)
        end_s = min(end_s, recorder.end_s)
        start_s = max(start_s, end_s - WINDOW_S)
        # Frames come once a second: the one just before a short clip shows what it begins with.
        own = tuple(frame for frame in frames if start_s <= frame.at_s <= end_s) or tuple(
            frame for frame in frames if start_s - 1.0 < frame.at_s < start_s
        )
        said = tuple(part for part in speech if part.end_s > start_s and part.start_s < end_s)
        cut.append(Window(index, start_s, end_s, own, said))
    return cut
