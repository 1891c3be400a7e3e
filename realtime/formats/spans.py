"""What stands over a stretch of a recording, as tiers of spans: for subtitles and for programs that annotate."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from realtime.publish.events import Event, LabelEvent, ReasonDoneEvent, SpeechEvent, WindowEvent

NOT_TEXT = re.compile(r"[\x00-\x1f\x7f\ufffe\uffff\ud800-\udfff]+")
"What neither XML nor a line of text may hold."


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

    @property
    def named(self) -> dict[str, list[TextSpan]]:
        return {"label": self.label, "probability": self.probability, "argument": self.argument, "speech": self.speech}

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
            case WindowEvent():
                windows[event.window] = event
            case LabelEvent():
                labels[event.window] = event
            case ReasonDoneEvent():
                reasons[event.window] = event
            case SpeechEvent(state="end", start=start, end=float() as end):
                made.speech.append(TextSpan(start, end, "speech"))
    made.speech = _apart(made.speech)
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
        done = reasons.get(window.window)
        if done is not None and done.sections.get("fine"):
            made.argument.append(TextSpan(start_s, window.end, plain(done.sections["fine"])))
    return made


def plain(text: str) -> str:
    """The text on one line, without characters that a file of text may not hold."""
    return " ".join(NOT_TEXT.sub(" ", text).split())


def _apart(spans: list[TextSpan]) -> list[TextSpan]:
    """Stretches of speech are padded, so one may begin before the one before has ended."""
    kept: list[TextSpan] = []
    for span in sorted(spans, key=lambda span: span.start_s):
        start_s = max(span.start_s, kept[-1].end_s) if kept else span.start_s
        if span.end_s > start_s:
            kept.append(TextSpan(start_s, span.end_s, span.text))
    return kept
