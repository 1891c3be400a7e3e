"""What stands over a stretch of a recording, as tiers of spans: for subtitles and for programs that annotate."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from realtime.publish.events import (
    ClockEvent,
    Event,
    LabelEvent,
    MarkEvent,
    ReasonDoneEvent,
    SessionOpenedEvent,
    SpeechEvent,
    WindowEvent,
    WordsEvent,
)

NOT_TEXT = re.compile(r"[\x00-\x1f\x7f\ufffe\uffff\ud800-\udfff]+")
"What neither XML nor a line of text may hold."
MARK_S = 1.0
"How long a mark stands. It is a moment, and these formats know spans alone."
SAME_MARK_S = 0.01
"Marks closer than this share a span."


@dataclass(frozen=True)
class TextSpan:
    """A text that holds for a stretch of media time."""

    start_s: float
    end_s: float
    text: str


@dataclass
class Tiers:
    """Spans that do not overlap, oldest first."""

    label: list[TextSpan] = field(default_factory=list)
    "The answer of each window, from where the window before ended."
    probability: list[TextSpan] = field(default_factory=list)
    "Its probability, on the same spans."
    argument: list[TextSpan] = field(default_factory=list)
    "The argument of its chain, on the same spans; windows without a chain have none."
    speech: list[TextSpan] = field(default_factory=list)
    valence: list[TextSpan] = field(default_factory=list)
    "From −1 to 1, on the spans of the labels; where it is not known there is none."
    arousal: list[TextSpan] = field(default_factory=list)
    mark: list[TextSpan] = field(default_factory=list)
    "What a program marked, with its data, for `MARK_S` from its moment on, or until the next mark."
    words: list[TextSpan] = field(default_factory=list)
    "What was said, where words are written down."
    started_at: str | None = None
    "When second 0 was, as `session.opened` and then `clock` tell it; None where nobody knows."
    started_at_error_ms: float | None = None

    @property
    def started(self) -> str | None:
        """The same for people."""
        if self.started_at is None:
            return None
        error = "" if self.started_at_error_ms is None else f" ± {self.started_at_error_ms:.0f} ms"
        return f"second 0 was {self.started_at}{error}"

    @property
    def named(self) -> dict[str, list[TextSpan]]:
        always = {
            "label": self.label,
            "probability": self.probability,
            "argument": self.argument,
            "speech": self.speech,
            "valence": self.valence,
            "arousal": self.arousal,
            "mark": self.mark,
        }
        return always | ({"words": self.words} if self.words else {})

    @property
    def end_s(self) -> float:
        return max((tier[-1].end_s for tier in self.named.values() if tier), default=0.0)


def tiers(events: Iterable[Event]) -> Tiers:
    """The tiers of one session."""
    windows: dict[int, WindowEvent] = {}
    labels: dict[int, LabelEvent] = {}
    reasons: dict[int, ReasonDoneEvent] = {}
    made = Tiers()
    for event in events:
        match event:
            case SessionOpenedEvent() | ClockEvent():
                made.started_at, made.started_at_error_ms = event.started_at, event.started_at_error_ms
            case WindowEvent():
                windows[event.window] = event
            case LabelEvent():
                labels[event.window] = event
            case ReasonDoneEvent():
                reasons[event.window] = event
            case SpeechEvent(state="end", start=start, end=float() as end):
                made.speech.append(TextSpan(start, end, "speech"))
            case MarkEvent():
                # As in signals and in the page's subtitles: which trial it was stands in the data.
                data = f" {json.dumps(dict(event.data), ensure_ascii=False)}" if event.data else ""
                made.mark.append(TextSpan(event.t, event.t + MARK_S, plain(f"{event.name}{data}")))
            case WordsEvent():
                made.words.append(TextSpan(event.start, event.end, plain(event.text)))
    made.speech, made.mark, made.words = _apart(made.speech), _cut(made.mark), _apart(made.words)
    from_s = 0.0
    for window in sorted(windows.values(), key=lambda window: window.end):
        label = labels.get(window.window)
        start_s = max(window.start, from_s)
        if label is None or window.end <= start_s:
            continue
        from_s = window.end
        made.label.append(TextSpan(start_s, window.end, plain(label.label)))
        share = max(label.probabilities.values(), default=0.0)
        made.probability.append(TextSpan(start_s, window.end, f"{label.probabilities.get(label.label, share):.3f}"))
        for tier, affect in ((made.valence, label.valence), (made.arousal, label.arousal)):
            if affect is not None:
                tier.append(TextSpan(start_s, window.end, f"{affect.value:+.2f}"))
        done = reasons.get(window.window)
        if done is not None and done.sections.get("fine"):
            made.argument.append(TextSpan(start_s, window.end, plain(done.sections["fine"])))
    return made


def plain(text: str) -> str:
    """The text on one line, without characters that a file of text may not hold."""
    return " ".join(NOT_TEXT.sub(" ", text).split())


def _cut(marks: list[TextSpan]) -> list[TextSpan]:
    """Marks that end where the next one begins; those of one moment are one."""
    kept: list[TextSpan] = []
    for mark in sorted(marks, key=lambda mark: mark.start_s):
        if kept and mark.start_s - kept[-1].start_s < SAME_MARK_S:
            kept[-1] = TextSpan(kept[-1].start_s, kept[-1].end_s, f"{kept[-1].text}; {mark.text}")
            continue
        if kept and mark.start_s < kept[-1].end_s:
            kept[-1] = TextSpan(kept[-1].start_s, mark.start_s, kept[-1].text)
        kept.append(mark)
    return kept


def _apart(spans: list[TextSpan]) -> list[TextSpan]:
    """Stretches of speech are padded, so one may begin before the one before has ended."""
    kept: list[TextSpan] = []
    for span in sorted(spans, key=lambda span: span.start_s):
        start_s = max(span.start_s, kept[-1].end_s) if kept else span.start_s
        if span.end_s > start_s:
            kept.append(TextSpan(start_s, span.end_s, span.text))
    return kept
