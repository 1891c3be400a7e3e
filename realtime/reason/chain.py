"""Reading a chain while it is written: sections, deltas, and the answer's label.

The reader takes text as it is decoded, never a model, so it is tested with strings. Text of a section is handed on as
soon as it cannot be the beginning of a closing tag.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from realtime.reason.prompt import INTENSITIES, UNSURE

REPLACEMENT = "\ufffd"
NEGATIONS = ("not", "no", "never", "neither", "nor", "without", "isn't", "hardly")


class SectionText:
    """One section's text so far: what may be shown, and whether it has been closed."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.closing = f"</{name}>"
        self.text = ""
        "Settled text, without the closing tag."
        self.closed = False

    def update(self, decoded: str) -> str:
        """Take the whole decoded section so far; returns what is new and may be shown."""
        end = decoded.find(self.closing)
        if end >= 0:
            self.closed = True
            settled = decoded[:end]
        else:
            settled = decoded[: len(decoded) - self._held_back(decoded)]
        new = settled[len(self.text) :]
        self.text = settled
        return new

    def finish(self, decoded: str) -> str:
        """The section was cut by its length: everything but a half-written tag counts."""
        self.closed = True
        return self.update(decoded)

    def _held_back(self, decoded: str) -> int:
        """Characters at the end that may turn out to be the closing tag, or half a character."""
        n = len(decoded) - len(decoded.rstrip(REPLACEMENT))
        if n:
            return n
        for size in range(min(len(self.closing) - 1, len(decoded)), 0, -1):
            if self.closing.startswith(decoded[-size:]):
                return size
        return 0


@dataclass(frozen=True)
class ReadAnswer:
    label: str | None
    "One of the labels, `unsure`, or None when the text names none, or more than one."
    intensity: str


def read_answer(text: str, labels: Sequence[str]) -> ReadAnswer:
    """Read the `answer` section. A label counts as whole word, not negated; two different labels are no answer."""
    lowered = text.lower()
    found = []
    for label in (*labels, UNSURE):
        for match in re.finditer(rf"(?<!\w){re.escape(label.lower())}(?!\w)", lowered):
            before = re.findall(r"[\w']+", lowered[: match.start()])[-2:]
            if not any(word in NEGATIONS for word in before):
                found.append(label)
                break
    intensity = next((word for word in INTENSITIES if re.search(rf"\b{word}\b", lowered)), "")
    return ReadAnswer(found[0] if len(found) == 1 else None, intensity)
