"""The quality gate: does a chain contradict the measurements of its clip?

It checks statements, not style: named cues, directions of prosody, light and colour, a missing modality, the label. It
accepts what it does not recognise. Each objection has the name of a rule and a sentence that can be sent back to the
annotator.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from realtime.reason.chain import NEGATIONS, read_answer
from realtime.reason.measurements import CUE_WORDS, VOICE_WORDS
from realtime.reason.prompt import SECTIONS, UNSURE
from realtime.records import LABELS
from train.coet.checks import faithful
from train.coet.observe import SeenClip

CUE_ABSENT = 0.12
"A cue weaker than this cannot be called visible."
PROSODY_AGAINST = 0.5
"A statement about pitch, loudness or rate is wrong from this many spreads in the other direction."
DARK, BRIGHT = (0.5, 0.35)
"Above the first a scene is not dark; below the second it is not bright."
MUTED, COLOURFUL = (0.5, 0.12)
MAX_SECTION_CHARACTERS = 900


@dataclass(frozen=True)
class Objection:
    """One contradiction."""

    rule: str
    text: str


def objections(sections: Mapping[str, str], seen: SeenClip) -> list[Objection]:
    """All objections to a chain; an empty list means that it passes."""
    malformed = list(_form(sections))
    if malformed:
        return malformed
    return [
        *_missing(sections, seen),
        *_face(sections, seen),
        *_voice(sections, seen),
        *_atmosphere(sections, seen),
        *_answer(sections, seen),
    ]


def _form(sections: Mapping[str, str]) -> Iterator[Objection]:
    for name in SECTIONS:
        text = sections.get(name)
        if not isinstance(text, str) or not text.strip():
            yield Objection("form", f"The section {name} is missing or empty.")
        elif len(text) > MAX_SECTION_CHARACTERS:
            yield Objection("form", f"The section {name} is longer than {MAX_SECTION_CHARACTERS} characters.")
        elif re.search(r"</?\w+>|<\|", text):
            yield Objection("form", f"The section {name} holds markup.")


def _missing(sections: Mapping[str, str], seen: SeenClip) -> Iterator[Objection]:
    says_no_face = re.search(r"\bno (face|picture|person)\b|\bnobody\b", sections["face"].lower())
    if seen.whole.people and says_no_face:
        yield Objection(
            "no face", f"A face is in view ({len(seen.whole.people)} measured), but the face section denies it."
        )
    if not seen.whole.people and not says_no_face:
        yield Objection("no face", "No face was found in this clip; the face section has to say so.")
    says_no_speech = re.search(r"\b(no (speech|voice|sound|audio)|silent|silence)\b", sections["voice"].lower())
    if seen.whole.voice and says_no_speech:
        yield Objection("no speech", "Speech was heard, but the voice section denies it.")
    if seen.whole.voice is None and not says_no_speech:
        yield Objection("no speech", "No speech was heard in this clip; the voice section has to say so.")


def _face(sections: Mapping[str, str], seen: SeenClip) -> Iterator[Objection]:
    if not seen.whole.people:
        return
    text = sections["face"].lower()
    strongest = {
        cue: max(person.intensities.get(cue, 0.0) for person in seen.whole.people)
        for cue in seen.whole.people[0].intensities
    }
    for cue, words in CUE_WORDS.items():
        said = next((word for word in words if _affirmed(text, word)), None)
        if said and strongest.get(cue, 0.0) < CUE_ABSENT:
            yield Objection("face cue", f"'{said}' is said, but that cue measures {strongest.get(cue, 0.0):.2f} of 1.")
    told = faithful({"face": sections["face"]}, seen.cues, {})
    # With several people it is not known whose cue is meant, so degrees are checked only where there is one person.
    if len(seen.whole.people) == 1 and told.n_statements > told.n_true:
        yield Objection("face degree", f"{told.n_statements - told.n_true} cue(s) are named with a wrong degree.")


def _voice(sections: Mapping[str, str], seen: SeenClip) -> Iterator[Objection]:
    if seen.whole.voice is None:
        return
    text = sections["voice"].lower()
    for key, ((less, more), noun) in VOICE_WORDS.items():
        z = seen.relative.get(key, 0.0)
        for word, sign in ((less, -1), (more, 1)):
            claimed = re.search(rf"\b{noun}\b[^.,;]{{0,24}}\b{word}\b|\b{word}\b\s+\b{noun}\b", text)
            if claimed and _affirmed(text, claimed.group(0)) and z * sign < -PROSODY_AGAINST:
                yield Objection(
                    "prosody", f"'{claimed.group(0)}' is said, but it measures {z:+.1f} spreads from usual."
                )


def _atmosphere(sections: Mapping[str, str], seen: SeenClip) -> Iterator[Objection]:
    if not seen.whole.has_picture:
        return
    text, light, colour = sections["atmosphere"].lower(), seen.whole.brightness, seen.whole.saturation
    wrong = (
        ("dark", light > DARK, f"brightness {light:.2f} of 1"),
        ("bright", light < BRIGHT, f"brightness {light:.2f} of 1"),
        ("muted colour", colour > MUTED, f"saturation {colour:.2f} of 1"),
        ("strong colour", colour < COLOURFUL, f"saturation {colour:.2f} of 1"),
    )
    for word, is_wrong, measured in wrong:
        if is_wrong and _affirmed(text, word):
            yield Objection("atmosphere", f"'{word}' is said, but the scene measures {measured}.")


def _answer(sections: Mapping[str, str], seen: SeenClip) -> Iterator[Objection]:
    read = read_answer(sections["answer"], LABELS)
    if read.label is None:
        yield Objection("answer", f"The answer names no label, or several; it has to be one of {', '.join(LABELS)}.")
    elif seen.settled and read.label not in (seen.settled, UNSURE):
        yield Objection("label", f"The answer is {read.label}, but this clip's observers say {seen.settled}.")
    elif read.label != UNSURE and not read.intensity:
        yield Objection("answer", "The answer gives no intensity: slight, moderate or strong.")


def _affirmed(text: str, phrase: str) -> bool:
    """Whether `phrase` occurs as whole words without a negation among the two words before it."""
    for match in re.finditer(rf"(?<!\w){re.escape(phrase)}(?!\w)", text):
        before = re.findall(r"[\w']+", text[: match.start()])[-2:]
        if not any(word in NEGATIONS for word in before):
            return True
    return False
