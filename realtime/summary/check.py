"""What of a summary that a language model wrote is not borne out by the statements that it was given.

    statements   It began as neutral, and changed to happy at 0:42.
    summary      It changed from neutral to sad at 0:42.
                                           └── not borne out

A sentence is borne out by a statement that has all its numbers, times, emotions and words, in the same order, apart
from a list of plain words, and that denies something where the sentence does. The check is strict where that of a chain
is lenient (`grounding.py`): a true sentence in other words is refused, too, and the statements are told in its place.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from realtime.reason.chain import NEGATIONS
from realtime.reason.consistency import words_of


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


PLAIN = _words(
    "a about after also an and any appeared as at be been before but by course did during each expression for from "
    "had has have in into is it its looked marked minute minutes moment moments observed of on one only or other "
    "over part person s seconds seen session shown showed so sounded summary than that the their then there they "
    "this through time times to told two until view was were when where which while who with"
)
"Words that claim nothing by themselves."
CLAIM = re.compile(r"\d+ of \d+|\d+(?::\d\d)?%?|[^\W\d_]+(?:['’][^\W\d_]+)?")
SENSES = frozenset(("face", "faces", "voice"))


def holds(summary: str, statements: Sequence[str], labels: Sequence[str]) -> bool:
    """Whether each sentence is borne out by a statement, and one of them tells the labels, as the first one does."""
    sentences = [part for part in re.split(r"(?<=[.!?])\s+", summary.strip()) if part]
    tells_labels = any(_bears_out(statements[0], sentence, labels) for sentence in sentences)
    return tells_labels and all(
        any(_bears_out(each, sentence, labels) for each in statements) for sentence in sentences
    )


def _bears_out(statement: str, sentence: str, labels: Sequence[str]) -> bool:
    """Whether one statement says what the sentence says."""
    told, claimed = _claims(statement, labels), _claims(sentence, labels)
    if not claimed or any(claim not in told for claim in claimed):
        return False
    # Which number goes with which word is told by their order.
    return _in_order(claimed, told) and _denies(statement) == _denies(sentence)


def _claims(text: str, labels: Sequence[str]) -> list[str]:
    """The numbers and words of a text that claim something, in order; a label by its own name."""
    named = {word: label for label in labels for word in words_of(label)}
    # "12 of the 75" is one share.
    words = CLAIM.findall(re.sub(r"(?<=\d of )the (?=\d)", "", text.lower()))
    return [named.get(word, word) for word in words if word in named or word in SENSES or word not in PLAIN]


def _in_order(claimed: Sequence[str], told: Sequence[str]) -> bool:
    """Whether the claims stand among those told in their order, and no count was left out between two of them."""
    at: int | None = None
    for claim in claimed:
        first = 0 if at is None else at + 1
        if claim not in told[first:]:
            return False
        found = told.index(claim, first)
        if at is not None and any(left_out[0].isdigit() and ":" not in left_out for left_out in told[first:found]):
            return False
        at = found
    return True


def _denies(text: str) -> bool:
    return any(word in NEGATIONS for word in re.findall(r"[\w']+", text.lower()))
