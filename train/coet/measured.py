"""Writes the sections of a chain from the measurements of one window, without a language model.

Every statement follows from a measurement or from votes: cue intensities and head pose from the mesh, prosody against
the voice's own baseline, brightness and saturation, the vote shares of face and voice, and how the crowd decides
between the two. `checks.py` checks such text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from realtime.model.experts import EXPERT_LABELS
from realtime.reason.certainty import SURE_FROM
from realtime.reason.measurements import (
    AS_USUAL,
    AT_REST,
    CUE_WORDS,
    TOO_NEW,
    VOICE_WORDS,
    colour_told,
    cue_told,
    degree,
    difference_told,
    distance,
    light_told,
    place,
    pose_wordings,
)
from realtime.reason.prompt import SECTIONS, UNSURE
from train.arrays import Float64

EXPRESSION = {
    "happy": ("happy", "a smile"), "sad": ("sad", "downcast"), "neutral": ("neutral", "calm"),
    "angry": ("angry", "hostile"), "surprise": ("surprised", "startled"), "disgust": ("disgusted", "repelled"),
    "fear": ("fearful", "afraid"),
}  # fmt: skip
TENDENCY = {
    "happy": "positive", "sad": "negative", "neutral": "neutral", "angry": "negative", "surprise": "mixed",
    "disgust": "negative", "fear": "negative",
}  # fmt: skip
SECONDS_AGO = (
    "just now", "one second ago", "two seconds ago", "three seconds ago", "four seconds ago", "five seconds ago",
    "six seconds ago", "seven seconds ago", "eight seconds ago",
)  # fmt: skip
APART_S = 0.75
"Two events come one after the other from this distance; nearer ones come together."


@dataclass(frozen=True)
class PersonSeen:
    """One measured face."""

    intensities: Mapping[str, float]
    pose_deg: tuple[float, float, float]
    centre: tuple[float, float]
    height: float
    "Of the face, in frame heights."
    shares: Float64
    "(7,) vote shares of observers who see the face alone."
    appeared_s: float | None = None
    "How long before the window's end the expression appeared; None where it was there from the beginning."


@dataclass(frozen=True)
class VoiceHeard:
    """The measured voice of a window."""

    relative: Mapping[str, float]
    "Prosody in spreads from the voice's own baseline."
    shares: Float64
    "(7,) vote shares of observers who hear the voice alone."
    strong: bool | None
    "Whether it is played strongly; None where nobody says."
    usual_known: bool = True
    "Whether the session has heard the voice for long enough to say what is usual for it."
    began_s: float | None = None
    "How long before the window's end the newest stretch of speech began; None where that is not known."


@dataclass(frozen=True)
class WordsRead:
    """What was said, and what the words alone say."""

    text: str
    shares: Float64
    "(7,) what the words say, without face and voice."

    @property
    def label(self) -> str:
        return EXPERT_LABELS[int(self.shares.argmax())]


@dataclass(frozen=True)
class Observation:
    """Everything that is known of one window when its chain is written."""

    people: Sequence[PersonSeen] = ()
    has_picture: bool = True
    brightness: float = 0.5
    saturation: float = 0.3
    voice: VoiceHeard | None = None
    shares: Float64 | None = None
    "(7,) vote shares of observers who see and hear all that is there, words included; None where there is nothing."
    words: WordsRead | None = None
    "None where the chain does not read words."
    tags: Mapping[str, str] = field(default_factory=dict)


class Writer:
    """Writes chains. The same seed writes the same words."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def pick(self, *choices: str) -> str:
        return choices[int(self.rng.integers(len(choices)))]

    def chain(self, seen: Observation) -> dict[str, str]:
        return {
            "voice": self.voice(seen),
            "face": self.face(seen),
            "context": self.context(seen),
            "atmosphere": self.atmosphere(seen),
            "coarse": self.coarse(seen),
            "fine": self.fine(seen),
            "answer": self.answer(seen),
        }

    def face(self, seen: Observation) -> str:
        if not seen.has_picture:
            return self.pick("No picture.", "There is no picture to read.")
        if not seen.people:
            return self.pick("No face in view.", "There is no face in view.")
        told = []
        for index, person in enumerate(seen.people):
            name = f"Person {chr(65 + index)}: " if len(seen.people) > 1 else ""
            # The strongest three, from the brows down: a small model need not work out an order.
            strongest = sorted(CUE_WORDS, key=lambda cue: -person.intensities.get(cue, 0.0))[:3]
            named = [(cue, degree(person.intensities.get(cue, 0.0))) for cue in CUE_WORDS if cue in strongest]
            cues = [cue_told(cue, word, int(self.rng.integers(2))) for cue, word in named if word]
            shown = ", ".join(cues) if cues else self.pick(*AT_REST)
            when = f"It appeared {ago(person.appeared_s)}. " if person.appeared_s is not None else ""
            told.append(f"{name}{shown[0].upper()}{shown[1:]}. {when}{self.reading('expression', person.shares)}")
        return " ".join(told)

    def reading(self, what: str, shares: Float64) -> str:
        first, second = np.argsort(-shares)[:2]
        word = EXPRESSION[EXPERT_LABELS[first]][0]
        if shares[first] - shares[second] < 0.15:
            other = EXPRESSION[EXPERT_LABELS[second]][0]
            return self.pick(f"The {what} is between {word} and {other}.", f"The {what} could be {word} or {other}.")
        if shares[first] < SURE_FROM:
            return self.pick(f"The {what} seems {word}.", f"The {what} is perhaps {word}.")
        return self.pick(
            f"The {what} is {word}.",
            f"The {what} looks {word}." if what == "expression" else f"The {what} sounds {word}.",
        )

    def context(self, seen: Observation) -> str:
        if not seen.has_picture:
            return self.pick("Nothing is seen of the surroundings.", "The surroundings are not seen.")
        if not seen.people:
            return self.pick("Nobody is in the frame.", "The frame shows nobody.")
        person = seen.people[0]
        n = len(seen.people)
        count = "One person" if n == 1 else f"{('Two', 'Three', 'Four', 'Five')[min(n, 5) - 2]} people"
        return f"{count}, {distance(person.height)}, {place(person.centre)}, {self.pose(person.pose_deg)}."

    def pose(self, pose_deg: tuple[float, float, float]) -> str:
        wordings = pose_wordings(pose_deg)
        return self.pick(*wordings) if len(wordings) > 1 else wordings[0]

    def atmosphere(self, seen: Observation) -> str:
        if not seen.has_picture:
            return self.pick("No light or colour to judge.", "Light and colour are not known.")
        light, colour = light_told(seen.brightness), colour_told(seen.saturation)
        return self.pick(f"The scene is {light}, {colour}.", f"A scene that is {light}, {colour}.")

    def voice(self, seen: Observation) -> str:
        if seen.voice is None:
            return self.pick("No speech.", "No speech is heard.")
        if not seen.voice.usual_known:
            told = self.pick(*TOO_NEW)
            return f"{told[0].upper()}{told[1:]}. {self.reading('voice', seen.voice.shares)}"
        parts = [told for key in VOICE_WORDS if (told := difference_told(key, seen.voice.relative[key]))]
        told = ", ".join(parts[:4]) + " than usual" if parts else self.pick(*AS_USUAL)
        return f"{told[0].upper()}{told[1:]}. {self.reading('voice', seen.voice.shares)}"

    def coarse(self, seen: Observation) -> str:
        face = seen.people[0].shares if seen.people else None
        voice = seen.voice.shares if seen.voice else None
        if face is None and voice is None:
            return self.pick("Nothing to go by.", "There is nothing to judge by.")
        assert seen.shares is not None
        tendency, words = TENDENCY[EXPERT_LABELS[int(seen.shares.argmax())]], self.words(seen)
        if voice is None:
            return f"Tendency {tendency}. {self.pick('Only the face speaks', 'The face is the only evidence')}."
        if face is None:
            return (
                f"Tendency {tendency}. {self.pick('Only the voice speaks', 'The voice is the only evidence')}.{words}"
            )
        order = f" {first}." if (first := order_of(seen)) else ""
        if face.argmax() == voice.argmax():
            # Not "face and voice agree": a small model goes on with the commonest word after "voice", "disagree".
            return f"Tendency {tendency}. {self.pick('Both agree', 'Both point the same way')}.{order}{words}"
        return f"Tendency {tendency}. Face and voice disagree; {self.reliable(seen)}.{order}{words}"

    def words(self, seen: Observation) -> str:
        """What the words add to face and voice, as a sentence after a space. Empty where no words are read."""
        if seen.words is None or seen.shares is None:
            return ""
        label, said = EXPERT_LABELS[int(seen.shares.argmax())], seen.words.label
        word = EXPRESSION[said][0]
        if said == "neutral":
            return self.pick(" The words say nothing of it.", " The words are plain.")
        if said == label and words_decide(seen):
            return self.pick(f" The words are {word}, and they decide.", f" It is the {word} words that decide.")
        if said == label:
            return self.pick(f" The words are {word}, too.", f" The words say so, too: {word}.")
        if {TENDENCY[said], TENDENCY[label]} == {"positive", "negative"}:
            return self.pick(
                f" The words are {word}, and hardly meant so.", f" The {word} words are not meant as they are said."
            )
        return self.pick(f" The words are rather {word}, and weigh less.", f" The {word} words weigh less.")

    def reliable(self, seen: Observation) -> str:
        """Which of the two decides, and whether it is the one that is plainer by itself."""
        assert seen.voice is not None
        assert seen.shares is not None
        face, voice, winner = seen.people[0].shares, seen.voice.shares, int(seen.shares.argmax())
        for name, own, other, others in (("face", face, "voice", voice), ("voice", voice, "face", face)):
            if winner == int(own.argmax()):
                if own.max() >= others.max():
                    return self.pick(f"the {name} is plainer and weighs more", f"the {name} is plainer, so it decides")
                return self.pick(f"the {name} weighs more, plain as the {other} is", f"yet the {name} decides")
        return self.pick("neither settles it alone", "neither is a safe guide alone")

    def fine(self, seen: Observation) -> str:
        if seen.shares is None:
            return self.pick("No emotion can be named.", "It stays open.")
        label = EXPERT_LABELS[int(seen.shares.argmax())]
        face = EXPERT_LABELS[int(seen.people[0].shares.argmax())] if seen.people else None
        voice = EXPERT_LABELS[int(seen.voice.shares.argmax())] if seen.voice else None
        sure = "" if seen.shares.max() > 0.55 else self.pick(", with doubt", ", not surely")
        if words_decide(seen):
            word = EXPRESSION[label][0]
            why = self.pick(f"The words are {word}, and nothing speaks against them", f"It is said in {word} words")
            return f"{why}: {label}, {intensity(seen)}{sure}."
        if face and voice and face != voice:
            face_word, voice_word = EXPRESSION[face][0], EXPRESSION[voice][0]
            if label == face:
                why = self.pick(
                    f"The {face_word} face outweighs the {voice_word} voice",
                    f"The face is {face_word}, against {a(voice_word)} voice",
                )
            elif label == voice:
                why = self.pick(
                    f"The {voice_word} voice outweighs the {face_word} face",
                    f"The voice is {voice_word}, against {a(face_word)} face",
                )
            else:
                why = f"{a(face_word).capitalize()} face and {a(voice_word)} voice together"
            return f"{why}: {label}, {intensity(seen)}{sure}."
        return self.pick(
            f"It points to {label}, {intensity(seen)}{sure}.", f"This is {label}, {intensity(seen)}{sure}."
        )

    def answer(self, seen: Observation) -> str:
        if seen.shares is None:
            return UNSURE
        return f"{EXPERT_LABELS[int(seen.shares.argmax())]}, {intensity(seen)}"


def words_decide(seen: Observation) -> bool:
    """Whether all comes to what the words say, and to something that neither face nor voice says."""
    if seen.words is None or seen.shares is None:
        return False
    label = EXPERT_LABELS[int(seen.shares.argmax())]
    alone = [*(person.shares for person in seen.people[:1]), *([seen.voice.shares] if seen.voice else [])]
    return seen.words.label == label and label not in [EXPERT_LABELS[int(part.argmax())] for part in alone]


def ago(seconds: float) -> str:
    """How long ago something was, in words, to the second."""
    return SECONDS_AGO[max(0, min(len(SECONDS_AGO) - 1, round(seconds)))]


def order_of(seen: Observation) -> str:
    """Which came first, a change of the face or the newest speech, as a sentence. Empty where no face changed."""
    face = seen.people[0].appeared_s if seen.people else None
    voice = seen.voice.began_s if seen.voice is not None else None
    if face is None or voice is None:
        return ""
    if abs(face - voice) < APART_S:
        return "The face changed as the voice began"
    return "The face changed before the voice began" if face > voice else "The face changed after the voice began"


def a(word: str) -> str:
    return f"an {word}" if word[0] in "aeiou" else f"a {word}"


def intensity(seen: Observation) -> str:
    """Slight, moderate or strong, from the strongest cue and from how far the voice is from its baseline."""
    levels = []
    if seen.people:
        levels.append(max(seen.people[0].intensities.values(), default=0.0))
    if seen.voice is not None:
        known = []
        if seen.voice.usual_known:
            known.append(float(np.mean([min(abs(seen.voice.relative[key]), 2.0) for key in VOICE_WORDS]) / 1.6))
        if seen.voice.strong is not None:
            known.append(float(seen.voice.strong))
        levels += [float(np.mean(known))] if known else []
    level = float(np.mean(levels)) if levels else 0.0
    return "strong" if level > 0.66 else "moderate" if level > 0.36 else "slight"


def as_text(sections: Mapping[str, str]) -> str:
    """The chain as the Thinker writes it, including the first opening tag."""
    return "".join(f"<{name}>{sections[name]}</{name}>" for name in SECTIONS)
