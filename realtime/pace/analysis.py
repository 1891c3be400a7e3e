"""What a session carries from stage to stage: one analysis, and what is said in it."""

from __future__ import annotations

from dataclasses import dataclass, field

from realtime.observe import tracing
from realtime.pace.cadence import Due
from realtime.records import Label, Question, SpeechSegment, Window


@dataclass(slots=True)
class Analysis:
    """One analysis on its way through the stages."""

    due: Due
    due_wall_s: float
    "When it was due, by the wall clock."
    question: Question
    "The question when the analysis was due. Its label and its chain answer the same one."
    trace: tracing.Span
    said: SpeechSegment | None = None
    "The utterance that it is about, where that is a voice and its words are to be written down."
    speaker: int | None = None
    "Track of the person whose voice is heard."
    timings_ms: dict[str, float] = field(default_factory=dict)
    "Wall time of each of its stages, and from when it was due to its label, first word and end."


@dataclass(frozen=True, slots=True)
class Said:
    """An utterance whose words are to be written down, with the window that is about it."""

    segment: SpeechSegment
    window: Window
    label: Label | None
    "The fast label; None where the model failed on it."
