"""Questions whose answer is known from measurement, in many wordings, and their answers.

A chain answers the question at the beginning of its section `answer`, before the label. The answer follows from the
same measurements and votes as the rest of the chain (`measured.py`). What cannot be told from them is answered so: a
cue without a face, a comparison with a usual that is not known yet. Who somebody is, how old or how ill, is never
judged.

Some wordings are held out. They are for evaluation, which asks people and wordings that were never trained on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from realtime.model.experts import EXPERT_LABELS
from realtime.reason.affect import CIRCUMPLEX
from train.coet.measured import CUE_WORDS, Observation, ago, degree, difference_told, order_of

Kind = Literal[
    "presence",
    "degree",
    "who",
    "count",
    "loudness",
    "pitch",
    "rate",
    "agreement",
    "valence",
    "arousal",
    "sureness",
    "when",
    "order",
    "light",
    "declined",
    "untold",
]
KINDS: tuple[Kind, ...] = get_args(Kind)
NO_FACE, NO_VOICE = "There is no face to tell", "There is no voice to tell"
NO_SECOND, NO_USUAL = "There is no second person", "Too little of this voice was heard to compare it"
UNCHANGED = "The face did not change"
DECLINED, UNTOLD = "That is not judged here", "That cannot be told from this"
CLEAR = 0.07
"A presence is asked about where the cue's intensity is this far from the limit of being mentioned."
PLACED = 0.15
"A mood is pleasant, or excited, from this distance to the middle of the circumplex."
SURE, FAIRLY_SURE = 0.75, 0.5
"Share of the likeliest label from which a judgement is sure, and fairly sure."
BRIGHT, DARK = 0.65, 0.42
"Brightness above and below which a scene is called so (`Writer.atmosphere`)."

ASKED: Mapping[Kind, tuple[str, ...]] = {
    "presence": (
        "Are the {cue}?", "Do you see {cue}?", "Is it true that the {cue}?", "Does the face show {cue}?",
        "Are there {cue}?", "Can {cue} be seen?", "Does the person have {cue}?",
        "Would you call the {cue}?", "Tell me if you see {cue}.", "Is there a face with {cue}?",
        "Do you find {cue} here?", "Is it so that {cue} can be seen?",
    ),
    "degree": (
        "How strongly are the {cue}?", "How much are the {cue}?", "To what degree are the {cue}?",
        "How clearly are the {cue}?", "How far are the {cue}?",
        "Tell me how strongly the {cue} are.", "How strong is the {cue}?", "How much of {cue} do you see?",
        "In which degree are the {cue}?",
    ),
    "who": (
        "Who has the {cue} more?", "Which person has the {cue} more, A or B?", "Is it person A or person B with {cue}?",
        "Whose {cue} more strongly?", "Who shows more of {cue}?",
        "Of the two, who has the {cue} more?", "Tell me who has the {cue} more.",
        "Is it A or B who has {cue} more strongly?",
    ),
    "count": (
        "How many people are there?", "How many people are in the picture?", "How many faces do you see?",
        "How many persons are in view?", "Is there one person or more?", "What is the number of people?",
        "How many are there?", "Count the people.", "Count the faces in view.", "Tell me how many people you see.",
        "Is there anybody in the picture?", "Are there two people?",
    ),
    "loudness": (
        "Is the voice louder or quieter than usual?", "Is it louder than usual?", "How loud is the voice?",
        "Does the person speak louder or quieter?", "Did the voice become louder?", "Is the voice quieter than before?",
        "Tell me whether the voice is louder or quieter.", "Is the person quieter than usual?",
        "Louder or quieter?", "Has the person become louder?", "Does it sound louder than before?",
    ),
    "pitch": (
        "Is the pitch higher or lower than usual?", "Is the voice higher than usual?", "How high is the pitch?",
        "Does the voice sound higher or lower?", "Did the pitch become higher?", "Is the voice lower than before?",
        "Tell me whether the pitch is higher or lower.", "Is the person's voice lower than usual?",
        "Higher or lower?", "Has the voice gone up or down in pitch?", "Does it sound higher than before?",
    ),
    "rate": (
        "Is the rate faster or slower than usual?", "Does the person speak faster than usual?",
        "How fast is the voice?", "Is the speech faster or slower?", "Did the voice become faster?",
        "Is the speech slower than before?",
        "Tell me whether the speech is faster or slower.", "Is the person slower than usual?", "Faster or slower?",
        "Has the speech become faster?", "Does it sound faster than before?",
    ),
    "agreement": (
        "Do face and voice agree?", "Does the face agree with the voice?", "Do voice and face point the same way?",
        "Is the voice like the face?", "Do face and voice disagree?", "Is there a conflict of face and voice?",
        "Tell me whether face and voice agree.", "Agree or disagree?",
        "Is there agreement between face and voice?", "Does the face say the same as the voice?",
        "Is the voice against the face?",
    ),
    "valence": (
        "Is the mood pleasant or unpleasant?", "Is it pleasant?", "Is the person in a good mood?",
        "Is the tendency positive or negative?", "Does the person feel good or bad?", "Is this a negative mood?",
        "Tell me whether this is pleasant.", "Pleasant or unpleasant?", "Is it a bad mood?", "Is this positive?",
        "Does the person seem pleased?", "Is the feeling good or bad?",
    ),
    "arousal": (
        "Is the person calm or excited?", "How excited is the person?", "Is the mood calm?",
        "Does the person seem excited?", "How much energy is there?", "Is the person aroused or calm?",
        "Tell me how excited the person is.", "Calm or excited?", "Is there much excitement?",
        "Is the person relaxed?", "How calm is this?",
    ),
    "sureness": (
        "How sure is this?", "Are you sure?", "How certain is that?", "Is this sure or a guess?",
        "How much doubt is there?", "Can this be trusted?",
        "Tell me how sure you are.", "Sure or not?", "Is there doubt?", "Do you know that for sure?",
        "How much can this be trusted?",
    ),
    "when": (
        "When did the expression appear?", "When did the face change?", "How long is the expression there?",
        "Since when does the face look like this?", "When did that begin in the face?",
        "Tell me when the face changed.", "How long ago did the face change?", "When did it appear in the face?",
        "Was the change in the face just now?",
    ),
    "order": (
        "What came first, the face or the voice?", "Did the face change before the voice?",
        "Which changed first, face or voice?", "Did the voice begin before the face changed?",
        "In which order did face and voice change?",
        "Tell me what came first.", "Face first or voice first?", "Was the voice first?",
        "Which came first, the voice or the face?",
    ),
    "light": (
        "Is the scene bright or dark?", "How bright is it?", "Is there much light?", "How is the light?",
        "Is it dark in the picture?", "Is the picture bright?",
        "Tell me how bright it is.", "Bright or dark?", "Is the scene dark?", "Is there enough light?",
        "Is it a dark picture?",
    ),
    "declined": (
        "Who is this?", "What is the name of this person?", "How old is she?", "How old is he?", "Is he ill?",
        "What race is the person?", "Is she guilty?", "Where does he come from?", "Is the person healthy?",
        "Is she lying?",
        "Tell me the name.", "How old is this person?", "Is it a man or a woman?", "Is the person sick?",
        "Which religion does she have?", "Did she steal it?", "Is he depressed?", "What is his age?",
        "Who is she?", "Has he done it?",
    ),
    "untold": (
        "What will happen next?", "Why is that?", "What does she do for work?", "Is this sarcasm?",
        "What is he looking at?", "What day is it?", "Does he mean it?", "¿Qué hora es?", "Wie heißt das?",
        "What is the weather like?", "Where is this?", "What did he eat?", "Will it rain?", "Was macht er?",
        "Pourquoi ?", "What is the capital of France?", "How does she know?", "What is the plan?", "¿Por qué?",
    ),
}  # fmt: skip
HELD_OUT: Mapping[Kind, tuple[str, ...]] = {
    "presence": ("Would you say that the {cue}?", "Is {cue} what you see?", "Tell me whether the {cue}."),
    "degree": ("How strong is this: {cue}?", "In what degree do you see the {cue}?"),
    "who": ("Which of the two has {cue} more strongly?", "Person A or person B: who has the {cue} more?"),
    "count": ("How many do you see in view?", "Tell me the number of faces."),
    "loudness": ("Has the voice become louder or quieter?", "Is the person louder than before?"),
    "pitch": ("Has the pitch become higher or lower?", "Is the person's voice higher than before?"),
    "rate": ("Has the voice become faster or slower?", "Is the person faster than before?"),
    "agreement": ("Does the voice agree with what the face shows?", "Are face and voice in conflict?"),
    "valence": ("Would you say that this is pleasant or unpleasant?", "Is that a good mood?"),
    "arousal": ("Would you say calm or excited?", "Is there much energy in this?"),
    "sureness": ("How sure can you be of this?", "Is there much doubt in that?"),
    "when": ("When was the change in the face?", "How long ago did the expression appear?"),
    "order": ("Was the face first or the voice?", "Did the voice come before the face?"),
    "light": ("Would you say that it is bright or dark?", "Is there much light in the scene?"),
    "declined": ("Tell me who this is.", "What age is the person?", "Does she have a disease?", "Did he do it?"),
    "untold": ("What did she do before?", "Where will he go?", "Quelle heure est-il ?"),
}


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
    texts = (HELD_OUT if held_out else ASKED)[kind]
    text = texts[int(rng.integers(len(texts)))]
    if "{cue}" not in text:
        return KnownQuestion(kind, text)
    cues = list(CUE_WORDS)
    if seen.people:
        clear = [cue for cue in cues if _clear(kind, seen, cue)]
        there = [cue for cue in clear if degree(seen.people[0].intensities.get(cue, 0.0))]
        cues = (there if there and rng.random() < 0.5 else clear) or cues
    cue = cues[int(rng.integers(len(cues)))]
    words = CUE_WORDS[cue]
    return KnownQuestion(kind, text.replace("{cue}", words[int(rng.integers(len(words)))]), cue)


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
    "declined": lambda _seen, _cue: DECLINED,
    "untold": lambda _seen, _cue: UNTOLD,
}
