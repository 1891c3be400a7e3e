"""Tells the distribution over a model's own labels in the labels that a person gave (`records.OwnLabel`).

The probability of a label is the sum of those of its emotions. An emotion that several labels claim is shared equally
among them. What no label claims is told as `unsure`, so the shares still add up to 1 and none of them is made larger
than what is known of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from realtime.reason.calibrate import bounded, divergence_bits
from realtime.reason.prompt import UNSURE
from realtime.records import Conflict, Label, OwnLabel

SAME = 1e-6
"Shares closer than this are equal: nothing tells such labels apart."


def shares(own: Sequence[OwnLabel], probabilities: Mapping[str, float], *, most: float = 1.0) -> dict[str, float]:
    """Probability of each label, and of `UNSURE` where the labels leave out some of the emotions.

    Of several emotions together, too, no label is told with more than `most` (`calibrate.bounded`).
    """
    told = dict.fromkeys((label.name for label in own), 0.0)
    left_out = 0.0
    claims = {emotion: [label.name for label in own if emotion in label.emotions] for emotion in probabilities}
    for emotion, probability in probabilities.items():
        for name in claims[emotion]:
            told[name] += probability / len(claims[emotion])
        if not claims[emotion]:
            left_out += probability
    if not all(claims.values()):
        told[UNSURE] = left_out
    # What no label claims is not bounded: the labels would gain what is not theirs.
    return told if left_out > most else bounded(told, most)


def likeliest(told: Mapping[str, float], unsure_below: float, *, among: Sequence[str] | None = None) -> str:
    """The label with the largest share, of all or of those `among` which it has to be.

    It is `UNSURE` where that is less than `unsure_below` or than what no label claims, or where two are equal.
    """
    ranked = sorted((name for name in among or told if name != UNSURE), key=lambda name: -told[name])
    if not ranked or told[ranked[0]] < max(unsure_below, told.get(UNSURE, 0.0)):
        return UNSURE
    tied = len(ranked) > 1 and told[ranked[0]] - told[ranked[1]] < SAME
    return UNSURE if tied else ranked[0]


def for_emotion(own: Sequence[OwnLabel], emotion: str | None, told: Mapping[str, float], unsure_below: float) -> str:
    """The label for a chain's emotion: the likeliest of those that claim it, `UNSURE` where none does."""
    names = [label.name for label in own if emotion in label.emotions]
    return likeliest(told, unsure_below, among=names) if names else UNSURE


def in_own(
    own: Sequence[OwnLabel], label: Label, unsure_below: float, *, name: str | None = None, most: float = 1.0
) -> Label:
    """A label with all its distributions in these labels, the joint one with no probability above `most`.

    `name` is told where it is not the likeliest.
    """
    told, conflict = shares(own, label.probabilities, most=most), label.conflict
    if conflict is not None:
        face, voice = shares(own, conflict.face), shares(own, conflict.voice)
        conflict = Conflict(face, voice, divergence_bits(list(face.values()), list(voice.values())))
    faces = []
    for each in label.faces:
        of_face = shares(own, each.probabilities)
        faces.append(replace(each, label=likeliest(of_face, unsure_below), probabilities=of_face))
    return replace(
        label,
        label=likeliest(told, unsure_below) if name is None else name,
        probabilities=told,
        conflict=conflict,
        faces=tuple(faces),
    )
