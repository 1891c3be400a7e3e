"""Recordings as a live session takes them in: the reader, sampler and segmenter of serving, then its perception.

One pass over a recording answers for all of its clips (IEMOCAP has dozens in one file), in the order they end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from realtime.ingest.media import MediaSource
from realtime.ingest.settings import IngestSettings
from realtime.ingest.speech import SpeechSettings
from realtime.records import ClockTick, FrameEvidence, Item, SpeechEvidence, SpeechSegment, VideoFrame, Window
from train.readers.clip import Clip

WINDOW_S = 8.0
"A clip that is longer is answered by its last seconds, as a live window is."


class Perceives(Protocol):
    def see(self, frame: VideoFrame) -> FrameEvidence | None: ...

    def hear(self, segment: SpeechSegment) -> SpeechEvidence | None: ...


@dataclass
class Recorder:
    """Keeps the items that fall into one of the spans."""

    spans: Sequence[tuple[float, float]]
    frames: list[VideoFrame] = field(default_factory=list)
    speech: list[SpeechSegment] = field(default_factory=list)
    order: list[VideoFrame | SpeechSegment] = field(default_factory=list)
    end_s: float = 0.0

    def _wanted(self, start_s: float, end_s: float) -> bool:
        return any(start_s < last and end_s >= first for first, last in self.spans)

    def take(self, item: Item) -> None:
        match item:
            case VideoFrame(at_s):
                self.end_s = max(self.end_s, at_s)
                if self._wanted(at_s, at_s):
                    self.frames.append(item)
                    self.order.append(item)
            case SpeechSegment(start_s, end_s):
                self.end_s = max(self.end_s, end_s)
                if self._wanted(start_s, end_s):
                    self.speech.append(item)
                    self.order.append(item)
            case ClockTick(at_s):
                self.end_s = max(self.end_s, at_s)


def record(path: Path, clips: Sequence[Clip]) -> Recorder:
    """What these clips of one recording show and say. Raises NotMedia."""
    recorder = Recorder([span(clip) for clip in clips])
    for item in MediaSource.open(str(path), ingest=IngestSettings(), speech=SpeechSettings()).read():
        recorder.take(item)
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
