"""Compares what a chain says of cues and prosody with what was measured in its window.

    face    "Jaw strongly dropped, brows clearly lowered."      measured: jaw_drop 0.81, brow_lower 0.05
                                    └── unsupported
    voice   "Much louder than usual."                           measured: loudness +0.2 spreads

A small model now and then names a cue that was not there. While it writes, such a statement cannot be chosen in its
usual wording (`grounded.py`). One that it makes in another way is told as unsupported, with the chain. The check knows
the words of `measurements.py`, in which nano and `small` write; it takes what it does not recognise for true. It is
lenient: a degree may be half a step off, and what holds for one frame or one stretch of speech of the window holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from realtime.reason.measurements import CUE_PHRASES, DEGREES, VOICE_WORDS, mean_relative
from realtime.records import Unsupported, Window

HALF_STEP = 0.12
BOUNDS = {
    word: (low - HALF_STEP, high + HALF_STEP) for (low, word), high in zip(DEGREES, (1.0, 0.72, 0.5), strict=True)
}
"Degree → the intensities for which it is true."
FROM_SPREADS = {"much ": 0.7, "": 0.25}
"A difference is true from half of the spreads from which it is named."
PERSON = re.compile(r"\bperson ([a-z]):", re.IGNORECASE)
Values = Sequence[Mapping[str, float]]


@dataclass(frozen=True)
class Statement:
    """What a section says of one cue, or of one measure of the voice."""

    section: str
    start: int
    "Its first character in the section."
    text: str
    holds: bool
    "Whether the measurements bear it out."
    about: str
    "The cue, or the measure of the voice."
    person: int = 0
    "Of whom it is said, counted from the first one told of."


def unsupported(sections: Mapping[str, str], window: Window) -> tuple[Unsupported, ...]:
    """The statements of a chain that the measurements of its window do not bear out, in the order of the text."""
    voice = sorted(of_voice(sections.get("voice", ""), heard_in(window)), key=lambda each: each.start)
    told = [*voice, *of_face(sections.get("face", ""), people_in(window))]
    return tuple(Unsupported(each.section, each.start, each.text) for each in told if not each.holds)


def people_in(window: Window) -> list[list[Mapping[str, float]]]:
    """The intensities, 0–1, of each person in each frame. People are those of the newest frame that has any."""
    newest = next((frame.cues for frame in reversed(window.frames) if frame.cues), ())
    seen = [cues for frame in window.frames for cues in frame.cues]
    return [[cues.intensities for cues in seen if cues.track == person.track] for person in newest]


def heard_in(window: Window) -> list[Mapping[str, float]]:
    """How each stretch of speech, and their mean, differs from the voice's usual, in spreads. Empty: none is known."""
    known = [part for part in window.speech if part.cues.usual_known]
    return [*(part.cues.relative for part in known), mean_relative(known)] if known else []


def cue_holds(cue: str, degree: str, person: Values) -> bool:
    """Whether a cue shows in this degree in any frame of a person."""
    low, high = BOUNDS[degree]
    return any(low <= each.get(cue, 0.0) <= high for each in person)


def difference_holds(key: str, sign: int, much: str, heard: Values) -> bool:
    """Whether a measure of the voice is above (1) or below (-1) its usual; `much` is a key of `FROM_SPREADS`."""
    return any(sign * each.get(key, 0.0) > FROM_SPREADS[much] for each in heard)


def of_face(text: str, people: Sequence[Values]) -> Iterator[Statement]:
    """What a text says of the cues of each person. `people` has the intensities, 0–1, of each in each frame.

    Somebody who is not among them is left out.
    """
    marks = list(PERSON.finditer(text))
    begins = [(0, 0), *((mark.end(), ord(mark.group(1).lower()) - ord("a")) for mark in marks)]
    ends = [*(mark.start() for mark in marks), len(text)]
    for (begin, person), end in zip(begins, ends, strict=True):
        if person < len(people):
            for said, cue in _cues(text, begin, end):
                holds = cue_holds(cue, said.group(1).lower(), people[person])
                yield Statement("face", said.start(), said.group(), holds, cue, person)


def of_voice(text: str, heard: Values) -> Iterator[Statement]:
    """What a text says of the voice against its usual. `heard` has differences in spreads; none: no usual is known."""
    for key, ((less, more), _) in VOICE_WORDS.items():
        for match in re.finditer(rf"\b(much )?({less}|{more})\b", text, re.IGNORECASE):
            sign = 1 if match.group(2).lower() == more else -1
            holds = difference_holds(key, sign, (match.group(1) or "").lower(), heard)
            yield Statement("voice", match.start(), match.group(), holds, key)


def _cues(text: str, begin: int, end: int) -> list[tuple[re.Match[str], str]]:
    """The cues that a part of a text names, in its order. The group of a match is the degree."""
    degrees = rf"({'|'.join(BOUNDS)})"
    found: dict[tuple[str, int], re.Match[str]] = {}
    for cue, phrases in CUE_PHRASES.items():
        for what, how in phrases:
            # An annotator may write the degree after the cue.
            for pattern in (rf"\b{what} {degrees} {how}\b", rf"\b{what} {how} {degrees}\b"):
                for match in re.compile(pattern, re.IGNORECASE).finditer(text, begin, end):
                    longest = found.get((cue, match.start()))
                    if longest is None or len(match.group()) > len(longest.group()):
                        found[cue, match.start()] = match
    return [(match, cue) for (cue, _), match in sorted(found.items(), key=lambda item: item[0][1])]
