"""Finds contradictions in a chain: between its judgement and its texts, and between its texts and the label branches.

A small model sometimes contradicts itself: its text finds a sad face, and its argument speaks of a happy one. Such an
answer becomes unsure (`conclusion.py`), and is counted (`/metrics`).

Only plain contradictions count, those that a reader would notice. A text that names no emotion, or several, contradicts
nothing. An argument that was given two different emotions and says nothing of a conflict evades it, and counts too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from realtime.reason.chain import NEGATIONS
from realtime.records import Contradiction

ADJECTIVES = {"surprise": "surprised", "disgust": "disgusted", "fear": "fearful"}
"The words of labels that are nouns, as they stand before a noun. Other labels are their own."
ALONE = re.compile(r"\b[Oo]nly the (?:face|voice) speaks\b|\b[Tt]he (?:face|voice) is the only evidence\b")
"How a text says that there is one of them alone."
UNLIKELY = 0.25
"An emotion is unlikely where the label branch gives it less than this share of its likeliest label's probability."


def contradictions(
    sections: Mapping[str, str],
    labels: Sequence[str],
    alone: Mapping[str, Mapping[str, float]],
    *,
    given_both: bool = False,
) -> tuple[Contradiction, ...]:
    """What a chain contradicts, in the order of `Contradiction`.

    `alone` holds the probabilities of each label from the face and from the voice alone, where they are known.
    `given_both`: the argument began with both emotions where they differ, as in an evidence-first chain.

    - `face`, `voice`: the argument names another emotion for it than its section did, or the section names one that its
      label branch finds unlikely.
    - `agreement`: face and voice are said to disagree though one emotion was named of both, or the other way round. Or
      one of them is said to be alone; or, with `given_both`, nothing is said of two that differ.
    - `answer`: it is none of the labels that the last step of the argument names.
    """
    fine, found = sections.get("fine", ""), dict[Contradiction, bool]()
    face, voice = (named_alone(sections.get(name, ""), labels) for name in ("face", "voice"))
    found["face"] = _strays(face, _argued(fine, "face", labels), alone.get("face", {}))
    found["voice"] = _strays(voice, _argued(fine, "voice", labels), alone.get("voice", {}))
    found["agreement"] = face is not None and voice is not None and _denies(sections, face == voice, given_both)
    answered, concluded = named_alone(sections.get("answer", ""), labels), named(fine, labels)
    found["answer"] = answered is not None and bool(concluded) and answered not in concluded
    return tuple(what for what, holds in found.items() if holds)


def _denies(sections: Mapping[str, str], alike: bool, given_both: bool) -> bool:
    """Whether `coarse` says otherwise of a face and a voice that were named alike or not; where it is empty, no."""
    coarse = sections.get("coarse", "")
    disagree = _disagreement(coarse)
    if disagree is None and coarse:
        return bool(ALONE.search(coarse)) or (given_both and not alike)
    return disagree == alike


def _strays(label: str | None, argued: set[str], shares: Mapping[str, float]) -> bool:
    """Whether the argument is about another label than was named, or that one is unlikely."""
    if label is None:
        return False
    return bool(argued - {label}) or (label in shares and shares[label] < UNLIKELY * max(shares.values()))


def words_of(label: str) -> tuple[str, ...]:
    """The words by which a text names a label."""
    return (label.lower(), *([ADJECTIVES[label]] if label in ADJECTIVES else []))


def named_alone(text: str, labels: Sequence[str]) -> str | None:
    """The one label that a text names, or None where it names none or several."""
    found = named(text, labels)
    return next(iter(found)) if len(found) == 1 else None


def named(text: str, labels: Sequence[str]) -> set[str]:
    """The labels that a text names as whole words, and does not negate."""
    lowered, found = text.lower(), set()
    for label in labels:
        for match in re.finditer(rf"(?<!\w)(?:{_any(label)})(?!\w)", lowered):
            before = re.findall(r"[\w']+", lowered[: match.start()])[-2:]
            if not any(word in NEGATIONS for word in before):
                found.add(label)
                break
    return found


def _argued(text: str, name: str, labels: Sequence[str]) -> set[str]:
    """The labels that a text gives to the face or to the voice: "the sad face", "the voice is angry"."""
    lowered = text.lower()
    return {
        label
        for label in labels
        if re.search(
            rf"(?<!\w)(?:{_any(label)}) {name}\b|\b{name} (?:is|seems|looks|sounds) (?:{_any(label)})(?!\w)", lowered
        )
    }


def _disagreement(text: str) -> bool | None:
    """Whether a text says that face and voice disagree, or that they agree; None where it says neither."""
    lowered = text.lower()
    if re.search(r"\bdisagree|\bdo not agree|\bdon't agree", lowered):
        return True
    return False if re.search(r"\bagree\b|\bpoint the same way\b", lowered) else None


def _any(label: str) -> str:
    return "|".join(re.escape(word) for word in words_of(label))
