"""Questions whose answer is known from measurement, and their answers.

A chain answers the question at the beginning of its section `answer`, before the label. The answer follows from the
same measurements and votes as the rest of the chain (`measured.py`). What cannot be told from them is answered so: a
cue without a face, a comparison with a usual that is not known yet. Who somebody is, how old or how ill, is never
judged.

`wordings.py` has the wordings, of which some are held out for evaluation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from realtime.model.experts import EXPERT_LABELS
from realtime.reason.affect import CIRCUMPLEX
from realtime.reason.measurements import CUE_WORDS, degree, difference_told
from train.coet.measured import TENDENCY, Observation, ago, order_of
from train.coet.wordings import ASKED, HELD_OUT, Kind, worded

NO_FACE, NO_VOICE = "There is no face to tell", "There is no voice to tell"
NO_SECOND, NO_USUAL = "There is no second person", "Too little of this voice was heard to compare it"
UNCHANGED = "The face did not change"
DECLINED, UNTOLD = "That is not judged here", "That cannot be told from this"
PLAIN_WORDS, MEANT, PARTLY_MEANT, NOT_MEANT = "The words are plain", "They are meant so", "In part", "Hardly meant so"
TONE = {
    "happy": "Pleased", "sad": "Downcast", "neutral": "Plain", "angry": "Hostile", "surprise": "Amazed",
    "disgust": "Repelled", "fear": "Frightened",
}  # fmt: skip
"What words express, without the name of a label: an answer is followed by the label of all of it."
CLEAR = 0.07
"A presence is asked about where the cue's intensity is this far from the limit of being mentioned."
PLACED = 0.15
"A mood is pleasant, or excited, from this distance to the middle of the circumplex."
SURE, FAIRLY_SURE = 0.75, 0.5
"Share of the likeliest label from which a judgement is sure, and fairly sure."
BRIGHT, DARK = 0.65, 0.42
"Brightness above and below which a scene is called so (`Writer.atmosphere`)."


@dataclass(frozen=True)
class KnownQuestion:
    """A question and what it is about, from which its answer follows."""

    kind: Kind
    text: str
    cue: str = ""
    "The cue that it asks for, for `presence`, `degree` and `who`."

    def answer(self, seen: Observation) -> str:
        """The answer, without a full stop."""
        return ANSWERS[self.kind](seen, self.cue)


def ask(kind: Kind, seen: Observation, rng: np.random.Generator, *, held_out: bool = False) -> KnownQuestion:
    """A question of this kind, about a cue that the window answers clearly where it has a face."""
    patterns = (HELD_OUT if held_out else ASKED)[kind]
    text = worded(patterns[int(rng.integers(len(patterns)))], rng)
    if "{cue}" not in text:
        return KnownQuestion(kind, text)
    cues = list(CUE_WORDS)
    if seen.people:
        clear = [cue for cue in cues if _clear(kind, seen, cue)]
        there = [cue for cue in clear if degree(seen.people[0].intensities.get(cue, 0.0))]
        cues = (there if there and rng.random() < 0.5 else clear) or cues
    cue = cues[int(rng.integers(len(cues)))]
    words = CUE_WORDS[cue]
    text = text.replace("{cue}", words[int(rng.integers(len(words)))])
    return KnownQuestion(kind, f"{text[0].upper()}{text[1:]}", cue)


def _clear(kind: Kind, seen: Observation, cue: str) -> bool:
    """Whether the answer does not hang on a hair."""
    first = seen.people[0].intensities.get(cue, 0.0)
    if kind == "who" and len(seen.people) > 1:
        return abs(first - seen.people[1].intensities.get(cue, 0.0)) > 2 * CLEAR
    return all(abs(first - limit) > CLEAR for limit in (0.3, *(() if kind == "presence" else (0.5, 0.72))))


def _presence(seen: Observation, cue: str) -> str:
    if not seen.people:
        return NO_FACE
    word = degree(seen.people[0].intensities.get(cue, 0.0))
    return f"Yes, {word}" if word else "No"


def _degree(seen: Observation, cue: str) -> str:
    if not seen.people:
        return NO_FACE
    return (degree(seen.people[0].intensities.get(cue, 0.0)) or "not at all").capitalize()


def _who(seen: Observation, cue: str) -> str:
    if not seen.people:
        return NO_FACE
    if len(seen.people) < 2:
        return NO_SECOND
    first, second = (person.intensities.get(cue, 0.0) for person in seen.people[:2])
    return f"Person {'A' if first >= second else 'B'}"


def _count(seen: Observation, _cue: str) -> str:
    return ("Nobody", "One person", "Two people", "Three people", "Four people", "Five people")[
        min(len(seen.people), 5)
    ]


def _against_usual(key: str) -> Callable[[Observation, str], str]:
    def answer(seen: Observation, _cue: str) -> str:
        if seen.voice is None:
            return NO_VOICE
        if not seen.voice.usual_known:
            return NO_USUAL
        return difference_told(key, seen.voice.relative[key]).capitalize() or "As usual"

    return answer


def _agreement(seen: Observation, _cue: str) -> str:
    if not seen.people:
        return NO_FACE
    if seen.voice is None:
        return NO_VOICE
    agree = seen.people[0].shares.argmax() == seen.voice.shares.argmax()
    return "They agree" if agree else "They disagree"


def _placed(axis: int, words: tuple[str, str, str]) -> Callable[[Observation, str], str]:
    def answer(seen: Observation, _cue: str) -> str:
        if seen.shares is None:
            return UNTOLD
        value = float(
            sum(share * CIRCUMPLEX[label][axis] for label, share in zip(EXPERT_LABELS, seen.shares, strict=True))
        )
        return words[0] if value < -PLACED else words[2] if value > PLACED else words[1]

    return answer


def _sureness(seen: Observation, _cue: str) -> str:
    if seen.shares is None:
        return UNTOLD
    top = float(np.asarray(seen.shares, np.float64).max())
    return "Sure" if top > SURE else "Fairly sure" if top > FAIRLY_SURE else "Not sure"


def _when(seen: Observation, _cue: str) -> str:
    if not seen.people:
        return NO_FACE
    appeared_s = seen.people[0].appeared_s
    return UNCHANGED if appeared_s is None else ago(appeared_s).capitalize()


def _order(seen: Observation, _cue: str) -> str:
    if not seen.people:
        return NO_FACE
    if seen.voice is None:
        return NO_VOICE
    return order_of(seen) or UNCHANGED


def _light(seen: Observation, _cue: str) -> str:
    if not seen.has_picture:
        return "There is no picture to tell"
    return "Bright" if seen.brightness > BRIGHT else "Dark" if seen.brightness < DARK else "Evenly lit"


def _words(seen: Observation, _cue: str) -> str:
    return UNTOLD if seen.words is None else f"{TONE[seen.words.label]} words"


def _meant(seen: Observation, _cue: str) -> str:
    """Words that are no emotion's are plain. Others are meant where all of it comes to the same."""
    if seen.words is None or seen.shares is None:
        return UNTOLD
    label, said = EXPERT_LABELS[int(seen.shares.argmax())], seen.words.label
    if said == "neutral":
        return PLAIN_WORDS
    if said == label:
        return MEANT
    return NOT_MEANT if {TENDENCY[said], TENDENCY[label]} == {"positive", "negative"} else PARTLY_MEANT


ANSWERS: Mapping[Kind, Callable[[Observation, str], str]] = {
    "presence": _presence,
    "degree": _degree,
    "who": _who,
    "count": _count,
    "loudness": _against_usual("loudness_db"),
    "pitch": _against_usual("pitch_hz"),
    "rate": _against_usual("rate_hz"),
    "agreement": _agreement,
    "valence": _placed(0, ("Unpleasant", "Neither", "Pleasant")),
    "arousal": _placed(1, ("Calm", "In between", "Excited")),
    "sureness": _sureness,
    "when": _when,
    "order": _order,
    "light": _light,
    "words": _words,
    "meant": _meant,
    "declined": lambda _seen, _cue: DECLINED,
    "untold": lambda _seen, _cue: UNTOLD,
}
