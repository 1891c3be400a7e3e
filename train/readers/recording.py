"""Recordings as a live session takes them in: serving's reader, sampler and segmenter, then its perception.

One pass over a recording serves all of its clips (IEMOCAP has dozens in one file), in the order they end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from realtime.ingest.media import MediaSource
from realtime.ingest.settings import IngestSettings
from realtime.ingest.speech import SpeechSettings
from realtime.pace.buffer import BufferSettings
from realtime.records import (
    ClockTick,
    FrameEvidence,
    SourceEnded,
    SpeechEvidence,
    SpeechSegment,
    VideoFrame,
    Window,
)
from train.readers.clip import Clip, NoEvidence

WINDOW_S = BufferSettings().window_s
"A clip that is longer is answered by its last seconds, as a live window is."

CHECK_TIMES = "Check the times in the label file; they are seconds of the recording."
END_TOLERANCE_S = 1.0
"A part may end this much after its recording: label files round, and containers are imprecise about their length."

Span = tuple[float, float]
"Start and end in seconds of the recording."


@dataclass(frozen=True)
class Recording:
    """Frames and speech that fall into the spans asked for, in the order a session would get them."""

    items: tuple[VideoFrame | SpeechSegment, ...]
    end_s: float
    "Media time that was reached."
    has_picture: bool
    has_sound: bool
    notes: tuple[str, ...]
    "Damage of the file that reading could go on after."

    @property
    def frames(self) -> list[VideoFrame]:
        return [item for item in self.items if isinstance(item, VideoFrame)]

    @property
    def speech(self) -> list[SpeechSegment]:
        return [item for item in self.items if isinstance(item, SpeechSegment)]


def read_recording(path: Path, spans: Sequence[Span]) -> Recording:
    """Read a file to its end. Blocks; raises NotMedia when nothing of it can be decoded."""
    source = MediaSource.open(str(path), ingest=IngestSettings(), speech=SpeechSettings())
    items: list[VideoFrame | SpeechSegment] = []
    end_s, notes = 0.0, []
    for item in source.read():
        match item:
            case VideoFrame(at_s):
                end_s = max(end_s, at_s)
                if any(first <= at_s < last for first, last in spans):
                    items.append(item)
            case SpeechSegment(start_s, segment_end_s):
                end_s = max(end_s, segment_end_s)
                if any(start_s < last and segment_end_s > first for first, last in spans):
                    items.append(item)
            case ClockTick(at_s):
                end_s = max(end_s, at_s)
            case SourceEnded(reason):
                if "damaged" in reason or "sooner" in reason:
                    notes.append(reason)
    if source.n_damaged:
        notes.append(f"{source.n_damaged} packets did not decode")
    return Recording(tuple(items), end_s, source.has_video, source.has_audio, tuple(notes))


def span_of(clip: Clip) -> Span:
    return (clip.start_s or 0.0, float("inf") if clip.end_s is None else clip.end_s)


def check_span(name: str, span: Span, end_s: float = float("inf")) -> None:
    """Raises NoEvidence for a part that is empty, or not in its recording, which ends at `end_s`."""
    start_s, stop_s = span
    if start_s < 0 or stop_s <= start_s:
        raise NoEvidence(f"{name}: its part from {start_s:g} to {stop_s:g} s ends before it starts.", CHECK_TIMES)
    if start_s >= end_s or end_s + END_TOLERANCE_S < stop_s < float("inf"):
        raise NoEvidence(
            f"{name}: its part from {start_s:g} to {stop_s:g} s is not in the recording, which ends at {end_s:.1f} s.",
            CHECK_TIMES,
        )


def check_evidence(name: str, window: Window) -> None:
    """Raises NoEvidence for a window that shows no face and holds no speech: an answer to it would be made up."""
    if not window.speech and not any(frame.faces for frame in window.frames):
        raise NoEvidence(
            f"{name} shows no face and holds no speech, so there is nothing to judge by.",
            "Check the recording and the times of its label, or remove it.",
        )


class Perceives(Protocol):
    """A session's perception, or one with parts of it left out."""

    def see(self, frame: VideoFrame) -> FrameEvidence | None: ...

    def hear(self, segment: SpeechSegment) -> SpeechEvidence | None: ...


def clip_windows(recording: Recording, clips: Sequence[Clip], perception: Perceives) -> list[Window]:
    """One window per clip. Evidence is perceived once and in order, for all clips together."""
    frames: list[FrameEvidence] = []
    speech: list[SpeechEvidence] = []
    for item in recording.items:
        if isinstance(item, VideoFrame):
            if (seen := perception.see(item)) is not None:
                frames.append(seen)
        # As in a session: what is no voice enters no window.
        elif (heard := perception.hear(item)) is not None and heard.cues.kind == "voice":
            speech.append(heard)
    windows = []
    for index, clip in enumerate(clips):
        start_s, end_s = span_of(clip)
        end_s = min(end_s, recording.end_s)
        start_s = max(start_s, end_s - WINDOW_S)
        # Frames come once a second: the one just before a short clip shows what it begins with.
        own = tuple(frame for frame in frames if start_s <= frame.at_s <= end_s) or tuple(
            frame for frame in frames if start_s - 1.0 < frame.at_s < start_s
        )
        said = tuple(part for part in speech if part.end_s > start_s and part.start_s < end_s)
        windows.append(Window(index, start_s, end_s, own, said))
    return windows
