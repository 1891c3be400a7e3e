"""Parses a chain while it is decoded: sections, deltas and the answer's label.

The parser takes decoded text and no model, so tests need only strings. Text of a section is passed on as soon as it
cannot be the beginning of a tag.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from realtime.reason.prompt import INTENSITIES, TAGS, UNSURE

REPLACEMENT = "\ufffd"
ANY_TAG = re.compile("|".join(re.escape(tag) for tag in TAGS))
ARGUING = ("coarse", "fine")
"Sections that name emotions after an article. Bounds read the others token by token, so none may be held back there."
ARTICLE = re.compile(r"(?<!\S)([Aa])(?= angry\b)")
"""An article whose emotion begins with a vowel. A model that writes word by word decides on "A" before it knows which
emotion comes next, and nano does so in one conflict in twenty."""
ARTICLE_BEGUN = re.compile(r"(?:^|\s)[Aa](?: (?:angry|angr|ang|an|a|))?$")
"Text that may still become one."
NEGATIONS = ("not", "no", "never", "neither", "nor", "without", "isn't", "hardly")


class SectionText:
    """One section's text so far, and whether the section is closed.

    Any tag of the chain closes it: a model that writes another section's tag has left this one. In an argument
    "A angry" is told as "An angry"; else the text is the model's.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.closing = f"</{name}>"
        self.text = ""
        "Settled text, without the closing tag."
        self.closed = False
        self.well_closed = False
        "Whether it was closed by its own tag."

    def update(self, decoded: str) -> str:
        """Take the whole decoded text of the section so far; returns the newly settled part."""
        if tag := ANY_TAG.search(decoded):
            self.closed, self.well_closed = True, tag.group() == self.closing
            settled = decoded[: tag.start()]
        else:
            settled = decoded[: len(decoded) - self._held_back(decoded)]
            if not self.closed and self.name in ARGUING and (begun := ARTICLE_BEGUN.search(settled)):
                settled = settled[: begun.start()]
        if self.name in ARGUING:
            settled = ARTICLE.sub(r"\1n", settled)
        new = settled[len(self.text) :]
        self.text = settled
        return new

    def finish(self, decoded: str) -> str:
        """Close a section that reached its length limit. Everything but a half-written tag is its text."""
        self.closed = True
        return self.update(decoded)

    def _held_back(self, decoded: str) -> int:
        """Number of characters at the end that may still become a tag, or that are half of a UTF-8 character."""
        n = len(decoded) - len(decoded.rstrip(REPLACEMENT))
        if n:
            return n
        begun = decoded[decoded.rfind("<") :] if "<" in decoded else ""
        return len(begun) if begun and any(tag.startswith(begun) for tag in TAGS) else 0


@dataclass(frozen=True)
class ParsedAnswer:
    """What the `answer` section names."""

    label: str | None
    "One of the labels, `unsure`, or None when the text names none, or more than one."
    intensity: str
    "One of `INTENSITIES`, or empty."


def read_answer(text: str, labels: Sequence[str]) -> ParsedAnswer:
    """Parse the `answer` section.

    A label counts where it is a whole word and not negated in its own sentence. Two different labels are no answer.
    """
    lowered = text.lower()
    found = []
    for label in (*labels, UNSURE):
        for match in re.finditer(rf"(?<!\w){re.escape(label.lower())}(?!\w)", lowered):
            sentence = re.split(r"[.;!?]", lowered[: match.start()])[-1]
            before = re.findall(r"[\w']+", sentence)[-2:]
            if not any(word in NEGATIONS for word in before):
                found.append(label)
                break
    intensity = next((word for word in INTENSITIES if re.search(rf"\b{word}\b", lowered)), "")
    return ParsedAnswer(found[0] if len(found) == 1 else None, intensity)
