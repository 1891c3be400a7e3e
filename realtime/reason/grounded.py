"""Keeps a chain from naming a cue, or a difference of the voice, that its measurements contradict.

    measured        brows slightly lowered, lips clearly pressed
    the chain       Lips clearly pressed, ─┬─ mouth open …      the model's first choice: the mouth is closed
                                           └─ brows slightly …  the likeliest of what was measured and is not yet told

    measured        lips clearly pressed
    the chain       Lips clearly pressed ─┬─ ,                  nothing is left to be told
                                          └─ .

A small model has a taste for lists of three: where two cues were measured, it likes to add a third. So each token of a
list is read as the beginning of a statement. A token may stand where the list, with it, can still become a statement
that `grounding.py` holds for true, or where it belongs to no statement that is known. Else the likeliest token of those
statements is taken that were measured and are not told yet. Where none is left, the list ends.

Which of the measured cues are told, in which order and wording, stays with the model.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property

from realtime.model.tokenizer import Vocabulary
from realtime.reason.grounding import (
    BOUNDS,
    FROM_SPREADS,
    PERSON,
    Values,
    cue_holds,
    difference_holds,
    heard_in,
    people_in,
)
from realtime.reason.measurements import (
    AS_USUAL,
    AT_REST,
    CUE_PHRASES,
    TOO_NEW,
    VOICE_WORDS,
    cue_told,
    degree,
    difference_told,
    mean_relative,
)
from realtime.records import Window

LIST_ENDS = {"face": ".", "voice": " than usual"}
OTHER_WORDS = ("in", "no", "up")
"Words of other texts that begin those of statements. They may stand: “No face in view” says nothing of the nose."
ITEM = re.compile(r"[^,.:;]*$")


@dataclass(frozen=True)
class Tellable:
    """One cue, or one measure of the voice, that is worth telling."""

    wordings: tuple[str, ...]
    "How it may be told."
    known: frozenset[str]
    "Every statement about it, in whatever degree."


@dataclass(frozen=True)
class Sayable:
    """What may be said of one person, or of the voice, in a list of statements. All in small letters."""

    known: frozenset[str]
    "Every wording that is read as a statement."
    true: frozenset[str]
    "Those that the measurements bear out."
    measured: tuple[Tellable, ...]
    nothing: tuple[str, ...]
    "What is said where there is nothing to tell."

    def untold(self, text: str) -> list[str]:
        """The wordings of what was measured and does not stand in a text yet."""
        lowered = text.lower()
        left = [each for each in self.measured if not any(_stands(wording, lowered) for wording in each.known)]
        return [wording for each in left for wording in each.wordings]


@dataclass
class Grounded:
    """Which statements of one part of a chain its measurements bear out, while they are written."""

    vocabulary: Vocabulary
    window: Window
    _withheld: set[tuple[str, int]] = field(default_factory=set, init=False)
    "Section and place of each statement that was about to be made and was not."

    @property
    def n_withheld(self) -> int:
        return len(self._withheld)

    @cached_property
    def _people(self) -> list[Sayable]:
        return [told_of_person(person) for person in people_in(self.window)]

    @cached_property
    def _voice(self) -> list[Sayable]:
        return [told_of_voice(self.window)] if self.window.speech else []

    def in_place_of(self, token: int, section: str, text: str) -> list[int]:
        """The tokens one of which has to come after `text` in place of this one; empty where it may stand."""
        told, before = self._told(section, text)
        added = self.vocabulary.text([token])
        if told is None or not added:
            return []
        if added.strip() == ",":
            return [] if self._goes_on(told, before) else self._withhold(section, len(text), {LIST_ENDS[section]})
        item = _item(before + added).strip().lower()
        begun = (
            [wording for wording in told.known if wording.startswith(item)] if item and item not in OTHER_WORDS else []
        )
        if not begun or any(wording in told.true for wording in begun):
            return []
        space = " " if text and not _item(before) else ""
        instead = {space + rest for rest in self._instead(told, before)}
        return self._withhold(section, len(text) - len(_item(before)), instead)

    def _withhold(self, section: str, place: int, instead: set[str]) -> list[int]:
        """The first tokens of these texts, which come in place of a statement."""
        if instead:
            self._withheld.add((section, place))
        return sorted({self.vocabulary.ids(text)[0] for text in instead})

    def _told(self, section: str, text: str) -> tuple[Sayable | None, str]:
        """What may be told at the end of a text, and what was said of this person, or of the voice, so far."""
        marks = list(PERSON.finditer(text)) if section == "face" else []
        people = {"face": self._people, "voice": self._voice}.get(section, [])
        person = ord(marks[-1].group(1).lower()) - ord("a") if marks else 0
        return (people[person] if person < len(people) else None), text[marks[-1].end() if marks else 0 :]

    @staticmethod
    def _goes_on(told: Sayable, before: str) -> bool:
        """Whether a list of statements may go on after this text. Nothing is known of other lists."""
        item = _item(before).strip().lower()
        listed = any(item == wording or item.startswith(f"{wording} ") for wording in told.known)
        return not listed or bool(told.untold(before))

    @staticmethod
    def _instead(told: Sayable, before: str) -> list[str]:
        """How this text may go on, without a space before it."""
        item, earlier = _item(before).strip().lower(), before[: len(before) - len(_item(before))]
        may = [wording for wording in told.untold(earlier) if wording.startswith(item)]
        may = may or [wording for wording in told.true if item and wording.startswith(item)]
        may = may or [wording for wording in told.nothing if not before.strip()]
        if not earlier.endswith(","):
            may = [wording[0].upper() + wording[1:] for wording in may]
        return [rest for wording in may if (rest := wording[len(item) :])]


def told_of_person(person: Values) -> Sayable:
    """What may be said of the cues of one person, whose intensities are given for each frame."""
    known, true, measured = set[str](), set[str](), list[Tellable]()
    for cue, phrases in CUE_PHRASES.items():
        # An annotator may write the degree after the cue.
        said = {word: {f"{a} {x}" for a, how in phrases for x in (f"{word} {how}", f"{how} {word}")} for word in BOUNDS}
        known |= set().union(*said.values())
        true |= set().union(*(said[word] for word in BOUNDS if cue_holds(cue, word, person)))
        word = degree(max((frame.get(cue, 0.0) for frame in person), default=0.0))
        if word:
            wordings = tuple(cue_told(cue, word, number) for number in range(len(phrases)))
            measured.append(Tellable(wordings, frozenset(set().union(*said.values()))))
    return Sayable(frozenset(known), frozenset(true), tuple(measured), AT_REST)


def told_of_voice(window: Window) -> Sayable:
    """What may be said of how the voice of a window differs from its usual."""
    heard, known, true, measured = heard_in(window), set[str](), set[str](), list[Tellable]()
    usual = [part for part in window.speech if part.cues.usual_known]
    mean = mean_relative(usual) if usual else {}
    for key, (words, _) in VOICE_WORDS.items():
        for sign, word in zip((-1, 1), words, strict=True):
            known |= {f"{much}{word}" for much in FROM_SPREADS}
            true |= {f"{much}{word}" for much in FROM_SPREADS if difference_holds(key, sign, much, heard)}
        if told := difference_told(key, mean.get(key, 0.0)):
            measured.append(Tellable((told,), frozenset(words)))
    return Sayable(frozenset(known), frozenset(true), tuple(measured), AS_USUAL if heard else TOO_NEW)


def _item(text: str) -> str:
    """What stands after the last mark, with its spaces."""
    found = ITEM.search(text)
    assert found is not None
    return found.group()


def _stands(wording: str, text: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(wording)}(?!\w)", text) is not None
