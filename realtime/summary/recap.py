"""What a session has told and measured in its last minutes, as values: the facts of a summary."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ToldMoment:
    """The last label that was told of one moment."""

    at_s: float
    "The end of its window."
    label: str
    share: float
    "Probability of the likeliest label."
    face: str | None = None
    "What the face alone points to, where face and voice were both there; else None."
    voice: str | None = None
    conflict: float = 0.0
    "How far these two are apart, 0–1."
    contradicts: bool = False
    "Whether its chain contradicted itself."
    calibrated: bool | None = None


@dataclass(frozen=True, slots=True)
class Peak:
    """The most of something that was measured, and when."""

    value: float
    at_s: float


@dataclass(frozen=True, slots=True)
class Recap:
    """What a session has told and measured in its last minutes (`recall.py`)."""

    start_s: float
    end_s: float
    told: tuple[ToldMoment, ...] = ()
    "Oldest first."
    n_frames: int = 0
    n_faceless: int = 0
    "Frames without a face."
    n_people: int = 0
    "Most faces in one frame."
    cues: Mapping[str, Peak] = field(default_factory=dict)
    "Cue → the strongest that was measured twice, of the face that was seen most."
    speech: tuple[tuple[float, float], ...] = ()
    "Stretches of speech."
    voices: tuple[tuple[float, Mapping[str, float]], ...] = ()
    "Of each stretch whose voice's usual is known: its end, and how it differs from that, in spreads."
    problems: tuple[str, ...] = ()
    "What was wrong with picture and sound, in the words in which it was told."
    n_left_out: int = 0
    "Windows that were left out."
