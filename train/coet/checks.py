"""Checks a chain: do its statements agree with the measurements, and does its argument agree with its own statements?

It knows the words of the `measured` annotator (`measured.py`), which are the words that nano writes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from realtime.reason.grounding import of_face, of_voice
from train.coet.measured import EXPRESSION

EMOTIONS = "|".join(re.escape(words[0]) for words in EXPRESSION.values())
NAMED = re.compile(rf"\b(?:{EMOTIONS})\b")
"An emotion as `Writer.reading` names it."
ARGUED = {name: re.compile(rf"\b({EMOTIONS}) {name}\b|\b{name} is ({EMOTIONS})\b") for name in ("face", "voice")}
"The emotion of each modality from which the section `fine` argues."


def contradicts_itself(sections: Mapping[str, str]) -> bool | None:
    """Whether the argument is about other emotions than those that the chain names for face and voice.

    That is the case when `coarse` says that they differ although the same emotion is named for both, or the other way
    round; or when `fine` argues from another emotion of one of them. The result is None where face or voice has no
    named emotion, or more than one.
    """
    named: list[str] = []
    for name, what in (("face", "expression"), ("voice", "voice")):
        _, found, reading = sections.get(name, "").lower().partition(f"the {what} ")
        words = NAMED.findall(reading) if found else []
        if len(words) != 1:
            return None
        named += words
    if ("disagree" in sections.get("coarse", "").lower()) == (named[0] == named[1]):
        return True
    fine = sections.get("fine", "").lower()
    return any(
        (before or after) != word
        for word, argued in zip(named, ARGUED.values(), strict=True)
        for before, after in argued.findall(fine)
    )


@dataclass(frozen=True)
class Faithfulness:
    """How many statements a chain makes about measurements, and how many of them are true."""

    n_statements: int
    n_true: int


def faithful(sections: Mapping[str, str], cues: Mapping[str, float], relative: Mapping[str, float]) -> Faithfulness:
    """How many statements about cues and prosody agree with what was measured in that window.

    A cue statement is true when the measured intensity lies within half a step (0.12) of its word's range; a prosody
    statement when the measured difference has its sign and at least half its size (`realtime/reason/grounding.py`).
    """
    # With several people, the first one is compared with the measurements.
    told = [*of_face(sections.get("face", ""), [[cues]]), *of_voice(sections.get("voice", ""), [relative])]
    return Faithfulness(len(told), sum(each.holds for each in told))
