"""A session in words: what `realtime analyze FILE` and `realtime watch URL` print at a terminal in place of JSON lines.

0:06  happy, >99 %
      Face alone: happy >99 %. Voice alone: happy 51 %, angry 27 %. They differ somewhat (0.30 of 1).
      Face        Cheeks pushed up clearly, lip corners pulled up strongly. The expression is happy.
      …
      Answer      happy, moderate
"""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Callable, Iterator, Mapping
from typing import TextIO

from realtime.formats.percent import percent
from realtime.publish.events import (
    ErrorEvent,
    Event,
    LabelEvent,
    LagEvent,
    MarkEvent,
    ModalityConflict,
    ReasonDoneEvent,
    SessionClosedEvent,
    SessionOpenedEvent,
    SummaryEvent,
    WindowEvent,
    WordsEvent,
)
from realtime.publish.parse import parse
from realtime.records import DIFFER_BITS, DISAGREE_BITS, SECTIONS, Reduced

HEADINGS = dict(zip(SECTIONS, ("Voice", "Face", "Context", "Atmosphere", "Overall", "Weighing", "Answer"), strict=True))
"What the page calls the sections of a chain."
NAMED_FROM = 0.2
"Share from which a label of face or voice is named beside the most probable one."
CONTRADICTED = {
    "face": "what was found in the face",
    "voice": "what was found in the voice",
    "agreement": "whether face and voice agree",
    "answer": "the answer that they lead to",
}
SUMMED_BY = {"measured": "measured", "model": "written by the model, and checked"}
ANSWERED_FROM = {
    "measurements": "(The question was answered from what was measured, by a rule.)",
    "probabilities": "(The question was answered from the probabilities, by a rule: the model's words said otherwise.)",
    "nothing": "(This is no question that can be answered, says a rule.)",
}
TURNED_BY = {"second_look": "a second look at the face", "reasons": "the weighing", "words": "what was said"}
WORDS_READ = "(It was weighed with what was said.)"
REWRITTEN = "(The weighing was written a second time: the first one did not hold to what was found or judged.)"
UNSUPPORTED = "Measured otherwise"
LEFT_OUT: Mapping[Reduced, str] = {
    "chains": "the reasons",
    "windows": "the reasons and quiet moments",
    "frames": "the reasons, quiet moments and every other picture",
}
ALONE = {"face": ", from the face alone", "voice": ", from the voice alone"}
STOCK = " No adapter is loaded: it was never trained to tell emotions, and nobody measured how often it is right."
MARGIN, HEADING_WIDTH = 6, 12
ENDED_WELL = "end of file"


def printer(out: TextIO, *, in_words: bool) -> Callable[[str], None]:
    """What writes each event, a line of JSON, to `out` as it comes: as it is, or what a person reads of it."""
    teller = Teller(lambda: shutil.get_terminal_size().columns)

    def write(line: str) -> None:
        if in_words:
            # An event that a newer server added says nothing here.
            event = parse(line)
            out.write("" if event is None else teller.tell(event))
        else:
            out.write(line + "\n")
        out.flush()

    return write


class Teller:
    """Turns the events of one session into lines of text, in the order they come. `width` is in columns."""

    def __init__(self, width: Callable[[], int]) -> None:
        self._width = width
        self._query: str | None = None
        self._labels: tuple[str, ...] = ()
        "What the newest window was asked, and what there was to choose from; at first the model's own labels."
        self._ends: dict[int, float] = {}
        "Where each window ends, which is the moment that it is told as."
        self._headed = -1
        "The window whose moment was printed last."
        self._reduced: Reduced = "nothing"

    def tell(self, event: Event) -> str:
        """What a person reads about this event: whole lines, or nothing."""
        return "".join(f"{line}\n" for line in self._lines(event))

    def _lines(self, event: Event) -> Iterator[str]:
        match event:
            case SessionOpenedEvent():
                self._labels = event.labels
                labels = f" {event.label_model} gives the labels." if event.label_model else ""
                answers = f" {event.answer_model} answers questions." if event.answer_model else ""
                stock = STOCK if event.stock else ""
                yield from self._wrapped("", f"Model {event.model}, {event.engine}.{labels}{answers}{stock}")
            case WindowEvent():
                self._ends[event.window] = event.end
                yield from self._asked(event)
            case LabelEvent(source="fast"):
                yield from self._moment(event.window, event.t, label_words(event))
                if event.conflict is not None:
                    yield from self._wrapped(" " * MARGIN, conflict_words(event.conflict))
            case ReasonDoneEvent():
                yield from self._chain(event)
            case WordsEvent():
                yield from self._noted(event.end, f"Said: “{event.text}”")
            case MarkEvent():
                yield from self._noted(event.t, f"Mark: {mark_words(event)}")
            case SummaryEvent():
                yield from self._noted(event.t, f"Summary ({SUMMED_BY[event.source]}): {event.text}")
            case ErrorEvent():
                yield from self._noted(event.t, event.message if event.over else f"{event.message} {event.hint}")
            case LagEvent() if event.reduced != self._reduced:
                self._reduced = event.reduced
                left_out = LEFT_OUT.get(event.reduced)
                words = f"The machine is slow: {left_out} are left out." if left_out else "It has caught up."
                yield from self._noted(event.t, words)
            case SessionClosedEvent() if event.reason != ENDED_WELL:
                yield from self._noted(event.t, f"It ended: {event.reason}")
            case _:
                # The label after the chain is in its answer; frames and cues are what chains put into words.
                pass

    def _asked(self, event: WindowEvent) -> Iterator[str]:
        if event.query != self._query:
            self._query = event.query
            read = "" if event.read_as is None else f", read as: “{event.read_as}”"
            yield from self._wrapped(
                "", "Nothing is asked any more." if event.query is None else f"Asked: “{event.query}”{read}"
            )
        if event.labels and event.labels != self._labels:
            self._labels = event.labels
            yield from self._wrapped("", f"To choose from: {', '.join(event.labels)}.")

    def _moment(self, window: int, told_s: float, words: str) -> Iterator[str]:
        self._headed = window
        yield ""
        # Whoever comes into a live session late has not seen the windows before.
        yield from self._noted(self._ends.get(window, told_s), words)

    def _chain(self, event: ReasonDoneEvent) -> Iterator[str]:
        if self._headed != event.window:
            # Another moment came before this chain was complete.
            yield from self._moment(event.window, event.t, "The reasons:")
        for section in SECTIONS[:-1]:
            if text := event.sections.get(section):
                yield from self._section(HEADINGS[section], text)
        answer = event.answer
        words = ", ".join(part for part in (answer.label, answer.intensity) if part)
        if event.contradictions:
            words += f": the reasons contradict {' and '.join(CONTRADICTED.get(c, c) for c in event.contradictions)}"
        if event.rewritten == "yes":
            yield from self._wrapped(" " * MARGIN, REWRITTEN)
        if event.unsupported:
            said = "; ".join(each.text.lower() for each in event.unsupported)
            yield from self._wrapped(" " * MARGIN, f"{UNSUPPORTED}: {said}.")
        if event.words_read:
            yield from self._wrapped(" " * MARGIN, WORDS_READ)
        if event.turned_by:
            by = " and ".join(TURNED_BY.get(each, each) for each in event.turned_by)
            yield from self._wrapped(" " * MARGIN, f"(The first impression was another one: {by} turned it.)")
        if event.answered_from in ANSWERED_FROM:
            yield from self._wrapped(" " * MARGIN, ANSWERED_FROM[event.answered_from])
        # A chain that answers a question does so before it names its label.
        said, stop, _ = event.sections.get("answer", "").rpartition(". ")
        yield from self._section(HEADINGS["answer"], f"{said}{stop}{words}")

    def _section(self, heading: str, text: str) -> Iterator[str]:
        first = f"{'':{MARGIN}}{heading:<{HEADING_WIDTH}}"
        yield from self._wrapped(first, text, hanging=len(first))

    def _noted(self, at_s: float, words: str) -> Iterator[str]:
        yield from self._wrapped(f"{clock(at_s):<{MARGIN}}", words.strip(), hanging=MARGIN)

    def _wrapped(self, first: str, text: str, hanging: int | None = None) -> list[str]:
        # What a model, a recording or a person wrote may hold codes that a terminal obeys.
        plain = "".join(letter if letter.isprintable() else " " for letter in text)
        indent = " " * (len(first) if hanging is None else hanging)
        # Beneath 40 columns a section would have a word a line; then the terminal breaks lines itself.
        return textwrap.wrap(
            plain, max(self._width(), 40), initial_indent=first, subsequent_indent=indent, break_on_hyphens=False
        )


def label_words(event: LabelEvent) -> str:
    """The label of a moment with its probability, or what it is unsure between; and what alone it is from."""
    basis = ALONE.get(event.valence.basis, "") if event.valence is not None else ""
    if event.calibrated is False:
        basis += ", not calibrated for these labels"
    if event.label == "unsure":
        left = event.probabilities.get("unsure", 0.0)
        of_labels = {label: share for label, share in event.probabilities.items() if label != "unsure"}
        (first, share), (second, next_share) = _most_probable(of_labels)[:2]
        if left > share:
            return f"unsure, none of these labels fits ({percent(left)}){basis}"
        return f"unsure, between {first} ({percent(share)}) and {second} ({percent(next_share)}){basis}"
    return f"{event.label}, {percent(event.probabilities[event.label])}{basis}"


def mark_words(event: MarkEvent) -> str:
    """The name of a mark, and what a program noted with it: `trial (number 1, word holiday)`."""
    noted = ", ".join(f"{name} {value}" for name, value in event.data.items())
    return f"{event.name} ({noted})" if noted else event.name


def conflict_words(conflict: ModalityConflict) -> str:
    """What the face alone and the voice alone would say, and how far apart that is."""
    if conflict.score < DIFFER_BITS:
        verdict = "They agree"
    elif conflict.score < DISAGREE_BITS:
        verdict = "They differ somewhat"
    else:
        verdict = "They disagree"
    sides = (
        f"{name} alone: {_shares(shares)}" for name, shares in (("Face", conflict.face), ("Voice", conflict.voice))
    )
    return f"{'. '.join(sides)}. {verdict} ({conflict.score:.2f} of 1)."


def clock(seconds: float) -> str:
    """75.4 → `1:15`, as on the page."""
    minutes, rest = divmod(max(int(seconds), 0), 60)
    return f"{minutes}:{rest:02}"


def _shares(probabilities: Mapping[str, float]) -> str:
    ranked = _most_probable(probabilities)
    named = [ranked[0], *(pair for pair in ranked[1:3] if pair[1] >= NAMED_FROM)]
    # Beside labels of one's own, `unsure` has what none of them is for.
    names = ((("none of these" if label == "unsure" else label), share) for label, share in named)
    return ", ".join(f"{name} {percent(share)}" for name, share in names)


def _most_probable(probabilities: Mapping[str, float]) -> list[tuple[str, float]]:
    return sorted(probabilities.items(), key=lambda pair: pair[1], reverse=True)
