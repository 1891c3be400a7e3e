"""Chains that are worse than the annotated one in one known way, for the preference stage (`train.dpo`).

    absent cue        the face section names a cue that is not there, or the voice section turns a difference round
    other evidence    a section names the emotion of the other modality instead of its own
    contradiction     the argument and the answer take another emotion than the sections lead to

Each is written by the annotator that wrote the accepted chain (`coet/measured.py`), from an observation in which one
thing is false. So the wording tells nothing, and only what is said can be preferred. Each is held to serving's own
checkers: a chain that they would accept is not rejected here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from realtime.model.experts import EXPERT_LABELS
from realtime.reason.consistency import contradictions
from realtime.reason.measurements import CUE_WORDS, VOICE_WORDS
from realtime.records import LABELS
from train.arrays import Float64
from train.coet.checks import faithful
from train.coet.measured import Observation, Writer

PLAIN = 0.9
"The intensity that an absent cue is given."
ABSENT = 0.05
"A cue that measures no more is absent."
TURNED = 0.6
"Differences of the voice from its usual, in spreads, that are turned round: smaller ones are hardly told."


@dataclass(frozen=True)
class Rejected:
    """A chain that should be less likely than the annotated one."""

    kind: str
    sections: Mapping[str, str]


Sections = dict[str, str]


def rejected(sections: Mapping[str, str], seen: Observation, rng: np.random.Generator) -> Rejected | None:
    """A worse chain for what was seen, of a kind that is drawn among those that can be made; None where none can."""
    kinds: list[tuple[str, Callable[[Sections, Observation, np.random.Generator], Sections | None]]] = [
        ("absent cue", absent_cue), ("other evidence", other_evidence), ("contradiction", contradiction),
    ]  # fmt: skip
    for at in rng.permutation(len(kinds)):
        name, make = kinds[int(at)]
        made = make(dict(sections), seen, rng)
        if made is not None and worse(made, sections, seen):
            return Rejected(name, made)
    return None


def worse(made: Mapping[str, str], sections: Mapping[str, str], seen: Observation) -> bool:
    """Whether a checker finds more fault with `made` than with the accepted chain."""
    return faults(made, seen) > faults(sections, seen)


def faults(sections: Mapping[str, str], seen: Observation) -> int:
    """Statements that the measurements do not bear out, and contradictions."""
    told = faithful(
        sections, seen.people[0].intensities if seen.people else {}, seen.voice.relative if seen.voice else {}
    )
    alone = {
        name: dict(zip(EXPERT_LABELS, shares.tolist(), strict=True))
        for name, shares in (
            ("face", seen.people[0].shares if seen.people else None),
            ("voice", seen.voice.shares if seen.voice else None),
        )
        if shares is not None
    }
    return told.n_statements - told.n_true + len(contradictions(sections, LABELS, alone))


def absent_cue(sections: Sections, seen: Observation, rng: np.random.Generator) -> Sections | None:
    """A cue that is not there, in place of the strongest; or a difference of the voice turned round."""
    choices: list[Callable[[], Sections | None]] = [
        lambda: _with_absent_cue(sections, seen, rng), lambda: _with_turned_voice(sections, seen, rng),
    ]  # fmt: skip
    return next((made for at in rng.permutation(2) if (made := choices[int(at)]()) is not None), None)


def _with_absent_cue(sections: Sections, seen: Observation, rng: np.random.Generator) -> Sections | None:
    # With several people it is not checked whose cue is named.
    if len(seen.people) != 1:
        return None
    person = seen.people[0]
    absent = [cue for cue in CUE_WORDS if person.intensities.get(cue, 0.0) <= ABSENT]
    if not absent:
        return None
    strongest = max(CUE_WORDS, key=lambda cue: person.intensities.get(cue, 0.0))
    shown = {**person.intensities, strongest: 0.0, absent[int(rng.integers(len(absent)))]: PLAIN}
    return sections | {"face": _writer(rng).face(replace(seen, people=[replace(person, intensities=shown)]))}


def _with_turned_voice(sections: Sections, seen: Observation, rng: np.random.Generator) -> Sections | None:
    if seen.voice is None or not seen.voice.usual_known:
        return None
    plain = [key for key in VOICE_WORDS if abs(seen.voice.relative[key]) >= TURNED]
    if not plain:
        return None
    turned = plain[int(rng.integers(len(plain)))]
    relative = {**seen.voice.relative, turned: -seen.voice.relative[turned]}
    return sections | {"voice": _writer(rng).voice(replace(seen, voice=replace(seen.voice, relative=relative)))}


def other_evidence(sections: Sections, seen: Observation, rng: np.random.Generator) -> Sections | None:
    """The face section with the voice's emotion, or the voice section with the face's, where they differ."""
    if len(seen.people) != 1 or seen.voice is None:
        return None
    face, voice = seen.people[0].shares, seen.voice.shares
    if face.argmax() == voice.argmax():
        return None
    writer = _writer(rng)
    if rng.random() < 0.5:
        return sections | {"face": writer.face(replace(seen, people=[replace(seen.people[0], shares=_plain(voice))]))}
    return sections | {"voice": writer.voice(replace(seen, voice=replace(seen.voice, shares=_plain(face))))}


def contradiction(sections: Sections, seen: Observation, rng: np.random.Generator) -> Sections | None:
    """Argument and answer for faces and voices of other emotions than the sections found."""
    if len(seen.people) != 1 or seen.voice is None or seen.shares is None:
        return None
    found = {int(seen.people[0].shares.argmax()), int(seen.voice.shares.argmax())}
    others = [index for index in range(len(EXPERT_LABELS)) if index not in found]
    face, voice = (_only(int(index)) for index in rng.choice(others, 2, replace=False))
    false = replace(
        seen, people=[replace(seen.people[0], shares=face)], voice=replace(seen.voice, shares=voice), shares=face
    )
    writer = _writer(rng)
    return sections | {"coarse": writer.coarse(false), "fine": writer.fine(false), "answer": writer.answer(false)}


def _writer(rng: np.random.Generator) -> Writer:
    return Writer(int(rng.integers(2**31)))


def _only(index: int) -> Float64:
    shares: Float64 = np.full(len(EXPERT_LABELS), 0.02)
    shares[index] = 1.0 - 0.02 * (len(EXPERT_LABELS) - 1)
    return shares


def _plain(shares: Float64) -> Float64:
    """Shares that name one emotion, the likeliest, so that a section says it plainly."""
    return _only(int(shares.argmax()))
