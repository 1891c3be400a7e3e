"""Says a question in words that a small model was trained on: "Is she smiling?" → "Do you see lip corners pulled up?".

nano was trained on questions of a few kinds (`train/coet/wordings.py`) with a vocabulary of some hundred words. People
type others. So a question of a kind that nano knows is put to it in one wording of that kind, and a person is told how
their question was read (`window.read_as`). Questions about when, what first, who more and what changed are told by a
rule (`reason/answers.py`), and so is that a question of no known kind cannot be answered. A general language model gets
any question as it is.

Questions are read in English. Rules read a kind from words that say so (`lexicon.py`): what compares two things, such
as face and voice, is tried before what is about one of them. A classifier of all words has its say, too (`kinds.py`).
Where both differ, and it is sure enough, its kind counts. What a question asks for, such as a cue or a measure of the
voice, is always taken from the lexicon; where it is not there, the question is left alone. So is one that sounds like
a kind and names nothing that is measured: "when is lunch".
"""

from __future__ import annotations

import re

from realtime.asking.declined import fold
from realtime.asking.emotion_words import emotions_of
from realtime.asking.kinds import classifier, kind_of, slips
from realtime.asking.lexicon import (
    AROUSAL,
    ASKS_HOW_MUCH,
    ASKS_WHEN,
    BECAME,
    BEFORE,
    BEGAN,
    CHANGED,
    CHANGES,
    COMPARED,
    COUNTED,
    COUNTS_THINGS,
    CUES,
    FACE,
    FEELS,
    HIGH,
    HOW_MUCH,
    LIGHT,
    LOUD,
    MIXED,
    MOVED,
    NOT_MEASURED,
    OF_A_PERSON,
    OF_TWO,
    OF_WORDS,
    ORDERED,
    PERSON,
    PITCH,
    RATE,
    SAYS_FIRST,
    SHOWS,
    SPEAKING,
    SPOKE,
    SURE,
    USUAL,
    VALENCE,
    VOICE,
    WHEN,
    YOU_AGREE,
)
from realtime.reason.measurements import CUE_WORDS
from realtime.records import About, AskedKind

WHEN_CHANGED, WHAT_FIRST = "When did the face change?", "What changed first, the face or the voice?"
WHEN_SPOKE, WHAT_CHANGED = "When did the voice begin?", "What changed?"
OF_CUE: dict[AskedKind, str] = {
    "presence": "Do you see {cue}?",
    "degree": "How strongly are the {cue}?",
    "who": "Who has the {cue} more?",
    "when": "When did this change: {cue}?",
    "order": "What came first: {cue}, or the voice?",
}
WHICH_OF_BOTH = "Which is there: {one}, or {other}?"
WHOSE_FACE = "Whose face shows more?"
WHOSE_EMOTION = {
    label: f"Who shows more {noun}?"
    for label, noun in {
        "happy": "happiness",
        "sad": "sadness",
        "angry": "anger",
        "surprise": "surprise",
        "disgust": "disgust",
        "fear": "fear",
    }.items()
}
LOUDNESS, THAN_BEFORE = "Is the voice louder or quieter than usual?", "Is the voice louder or quieter than before?"
RATED, RATED_BEFORE = "Is the speech faster or slower than usual?", "Is the speech faster or slower than before?"
PITCHED, PITCHED_BEFORE = "Is the voice higher or lower than usual?", "Is the voice higher or lower than before?"
ABOUT: dict[str, About] = {
    "How sure are you?": About("sureness"),
    "Do face and voice agree?": About("agreement"),
    "How many people are there?": About("count"),
    "Is it bright or dark?": About("light"),
    "Is the person calm or excited?": About("arousal"),
    "Is the mood pleasant or unpleasant?": About("valence"),
    LOUDNESS: About("loudness"),
    PITCHED: About("pitch"),
    RATED: About("rate"),
    THAN_BEFORE: About("before", "loudness_db"),
    PITCHED_BEFORE: About("before", "pitch_hz"),
    RATED_BEFORE: About("before", "rate_hz"),
    WHEN_CHANGED: About("when"),
    WHEN_SPOKE: About("when", "voice"),
    WHAT_FIRST: About("order"),
    WHAT_CHANGED: About("changed"),
    WHOSE_FACE: About("who"),
    **{text: About("who", label) for label, text in WHOSE_EMOTION.items()},
    **{
        wording.format(cue=words[0]): About(kind, cue)
        for kind, wording in OF_CUE.items()
        for cue, words in CUE_WORDS.items()
    },
    **{
        WHICH_OF_BOTH.format(one=CUE_WORDS[one][0], other=CUE_WORDS[other][0]): About("either", f"{one} {other}")
        for one in CUE_WORDS
        for other in CUE_WORDS
        if one != other
    },
}
"A question as it is restated → what it is about."
OWN = ""
"In place of a question about emotions: the model's own, which it was taught most."
MOST_WORDS = 30
"A longer text is no question of one kind."
KNOWN, OVER_RULES, NONE_OF_OURS = 0.5, 0.6, 0.5
"""Probability of a kind from which it counts: where the rules read nothing; where they read another one; and, of none
of ours, from which a question that they read is left alone. Chosen on sets that a fit left out (`train/asking/fit.py`).
"""
SUBJECT = re.compile(
    r"^(?:(?:so|and|but|well|hey) )?(?:(?:how|when|why|where|what|since when|at what time|how long) (?:\w+ )?)?"
    r"(?:is|are|was|were|do|does|did|has|have|will|can|which|how many)\s+"
    r"(?:(?:the|an?|your|my|our|these|those|any|some|both|this|that) )?([a-z]{3,})\b"
)
"What a question says something of: “is the *kettle* on”, “which *team* is faster”."
OF_NO_KIND = ("untold", "declined", "words")
"Kinds of the classifier that are none of ours."
WHILE = re.compile(
    r"^(.+?),? (?:when|whenever|while|as) (?:she|he|they|(?:the|this) (?:\w+ )?(?:person|speaker|woman|man)) "
    r"(?:is|are|gets?|talk|speak|listen|smile|\w+s)\b[^,]*$"
)
"What is asked, before a clause in the present."
LEAST_ASKED = 4
"Words of what is asked there. “Do you see when she smiles” asks for the time."
ONE_WORDING: dict[str, str] = {
    found.kind: text
    for text, found in ABOUT.items()
    if found.kind in ("sureness", "agreement", "count", "light", "arousal", "valence", "loudness", "pitch", "rate")
} | {"changed": WHAT_CHANGED, "own": OWN}


def about(query: str, read_as: str | None) -> About | None:
    """What a question of a person is about, as a small model is asked; None where the model answers as it can.

    A question of no known kind cannot be told from a window, unless it is about what was said.
    """
    if read_as is None and not OF_WORDS.said_in(fold(query)):
        return ABOUT.get(query, About("untold"))
    return None if read_as is None else ABOUT.get(read_as)


def restated(query: str) -> str | None:
    """The question in the words of its kind, or `OWN`; None for one of no kind that is known."""
    text = fold(query)
    if len(text.split()) > MOST_WORDS:
        return None
    text = without_while(classifier().spelled(text))
    return chosen(text, *kind_of(text))


def without_while(text: str) -> str:
    """The text without a clause at its end that says while what: "is she smiling when she speaks" asks no time."""
    match = WHILE.match(text)
    if match is None or len(match[1].split()) < LEAST_ASKED:
        return text
    asked = match[1]
    return asked if by_words(asked) is not None or FACE.said_in(asked) or VOICE.said_in(asked) else text


def chosen(text: str, kind: str, probability: float) -> str | None:
    """The question in the words of its kind, as the rules read it, or as the classifier does with this probability."""
    said = by_words(text)
    known = "untold" if said is None else "own" if said == OWN else ABOUT[said].kind
    if known == "either" and kind in ("presence", "degree"):
        # A classifier knows no question of two cues.
        return said
    none_of_ours = kind in OF_NO_KIND
    least = NONE_OF_OURS if none_of_ours else KNOWN if said is None else OVER_RULES
    if kind != known and probability >= least:
        said = None if none_of_ours else _of_kind(kind, text)
    return None if said is not None and _of_something_else(text) else said


def _of_something_else(text: str) -> bool:
    """Whether a text is about a thing that is in no question of ours: "is the kettle on", "the book or the film".

    What is said of it, such as "loud", may be said of a voice, too. A text that has a person, a face, a voice or a cue
    in it is none of those.
    """
    if PERSON.said_in(text) or FACE.said_in(text) or VOICE.said_in(text) or cue_in(text):
        return False
    subject = SUBJECT.match(text)
    things = re.findall(r"\b(?:the|an?) ([a-z]{3,})\b", text) if SAYS_FIRST.said_in(text) else []
    return any(not _known(thing) for thing in (*things, *([subject[1]] if subject else ())))


def _known(word: str) -> bool:
    """Whether a word is in questions of ours, if spelled right and without an s; adjectives of verbs say nothing."""
    words = classifier().words
    if word in words or word.removesuffix("s") in words or word.endswith(("ed", "ing", "ly")):
        return True
    return word not in classifier().others and bool(slips(word) & words)


def _of_kind(kind: str, text: str) -> str | None:
    """The question of this kind; None where the text does not say what it asks for."""
    if not _of_ours(kind, text):
        return None
    if kind in ONE_WORDING:
        return ONE_WORDING[kind]
    cue = cue_in(text)
    voice, face = VOICE.said_in(text) or SPOKE.said_in(text), FACE.said_in(text)
    match kind:
        case "when":
            if cue is None and not face and voice:
                return WHEN_SPOKE if BEGAN.said_in(text) else None
            return WHEN_CHANGED if cue is None else OF_CUE["when"].format(cue=CUE_WORDS[cue][0])
        case "order":
            return WHAT_FIRST if cue is None else OF_CUE["order"].format(cue=CUE_WORDS[cue][0])
        case "before":
            return THAN_BEFORE if LOUD.said_in(text) else RATED_BEFORE if RATE.said_in(text) else _of_pitch(text)
        case "who" if cue is None:
            emotion = _emotion_in(text)
            return WHOSE_FACE if emotion is None else WHOSE_EMOTION.get(emotion)
        case "presence" | "degree" | "who" if cue is not None:
            return OF_CUE[kind].format(cue=CUE_WORDS[cue][0])
    return None


def _of_ours(kind: str, text: str) -> bool:
    """Whether a text that sounds like this kind has a word of what is measured.

    "When is lunch" sounds like a question of time, and "who is taller" like one of two people. A classifier that has
    seen few questions of the wide world takes them for those.
    """
    cue, face, voice = cue_in(text), FACE.said_in(text), VOICE.said_in(text) or SPOKE.said_in(text)
    match kind:
        case "when":
            moved = any(each.said_in(text) for each in (CHANGED, MOVED, CHANGES, BECAME, FEELS, VALENCE))
            return bool(cue or face or voice or moved or _emotion_in(text))
        case "who":
            shown = any(each.said_in(text) for each in (SHOWS, FEELS, AROUSAL))
            return bool(cue or face or shown or _emotion_in(text))
        case "agreement":
            return not YOU_AGREE.search(text)
        case "sureness":
            return SURE.said_in(text)
        case "light":
            return not text.startswith("where ")
        case "count":
            return not COUNTS_THINGS.search(text)
    return True


def _emotion_in(text: str) -> str | None:
    """The one emotion that a text names first: "happier" names happiness, "negative" none alone."""
    for word in re.findall(r"\w+", text):
        stem = re.sub(r"(?:er|est)$", "", word)
        # Happier, sadder, calmer.
        forms = (word, stem, re.sub(r"i$", "y", stem), re.sub(r"(.)\1$", r"\1", stem))
        found = next((emotions for form in forms if (emotions := emotions_of(form))), ())
        if len(found) == 1:
            return found[0]
    return None


def _of_pitch(text: str) -> str | None:
    return PITCHED_BEFORE if PITCH.said_in(text) or HIGH.said_in(text) or VOICE.said_in(text) else None


def cue_in(text: str) -> str | None:
    """The facial cue that a text names first in the lexicon."""
    return next((name for name, phrases in CUES if phrases.said_in(text)), None)


def by_words(text: str) -> str | None:
    """What the rules alone read in a folded text."""
    cue = cue_in(text)
    voice, face = VOICE.said_in(text), FACE.said_in(text)
    if ordered := _of_order(text, cue, face=face, voice=voice or SPOKE.said_in(text)):
        return ordered
    if NOT_MEASURED.said_in(text):
        return None
    if SURE.said_in(text) and not OF_A_PERSON.search(text):
        return "How sure are you?"
    if voice and (cue is not None or face) and COMPARED.said_in(text) and not (cue and OF_TWO.said_in(text)):
        return "Do face and voice agree?"
    if MIXED.said_in(text):
        return "Do face and voice agree?"
    if timed := _of_time(text, cue, voice=voice):
        return timed
    return _of_one_thing(text, face=face, voice=voice) if cue is None else _of_a_cue(cue, text)


def _of_order(text: str, cue: str | None, *, face: bool, voice: bool) -> str | None:
    """A question about what came first, a change of the face or the voice; None for any other."""
    if voice and (cue is not None or face) and ORDERED.said_in(text) and not _compares_a_voice(text, cue):
        return WHAT_FIRST if cue is None else OF_CUE["order"].format(cue=CUE_WORDS[cue][0])
    return WHAT_FIRST if SAYS_FIRST.said_in(text) and not OF_WORDS.said_in(text) else None


def _compares_a_voice(text: str, cue: str | None) -> bool:
    """Whether the voice is compared with what it was: "does she look louder than before"."""
    return cue is None and BEFORE.said_in(text) and (LOUD.said_in(text) or RATE.said_in(text) or PITCH.said_in(text))


def _of_time(text: str, cue: str | None, *, voice: bool) -> str | None:
    """A question about when the face changed, or the voice began; None for any other."""
    if not (WHEN.said_in(text) or ASKS_WHEN.search(text)):
        return None
    if cue is None and SPEAKING.said_in(text) and BEGAN.said_in(text):
        return WHEN_SPOKE
    if not voice and (cue or CHANGED.said_in(text)):
        return WHEN_CHANGED if cue is None else OF_CUE["when"].format(cue=CUE_WORDS[cue][0])
    return None


def _either_in(text: str) -> tuple[str, str] | None:
    """The two cues of which a text asks which is there: "is she smiling or frowning", "are the brows up or down"."""
    one, found, other = text.partition(" or ")
    if not found or OF_TWO.said_in(text):
        return None
    moved = re.search(r"\b(?:eye)?brows?\b|\b(?:eye)?lids?\b|\beyes?\b|\bmouth\b|\blips?\b", one)
    first, second = cue_in(one), cue_in(other) or (cue_in(f"{moved[0]} {other}") if moved else None)
    return None if first is None or second is None or first == second else (first, second)


def _of_a_cue(cue: str, text: str) -> str:
    if (both := _either_in(text)) is not None:
        one, other = (CUE_WORDS[each][0] for each in both)
        return WHICH_OF_BOTH.format(one=one, other=other)
    how_much = HOW_MUCH.said_in(text) or ASKS_HOW_MUCH.search(text)
    kind: AskedKind = "who" if OF_TWO.said_in(text) else "degree" if how_much else "presence"
    return OF_CUE[kind].format(cue=CUE_WORDS[cue][0])


def _of_one_thing(text: str, *, face: bool, voice: bool) -> str | None:
    if COUNTED.said_in(text) and not COUNTS_THINGS.search(text):
        return "How many people are there?"
    before = BEFORE.said_in(text) and not USUAL.said_in(text)
    if LOUD.said_in(text):
        return THAN_BEFORE if before else LOUDNESS
    if RATE.said_in(text):
        return RATED_BEFORE if before else RATED
    if PITCH.said_in(text) or (voice and HIGH.said_in(text)):
        return PITCHED_BEFORE if before else PITCHED
    if CHANGES.said_in(text) or (face and MOVED.said_in(text)):
        return WHAT_CHANGED
    if LIGHT.said_in(text) and not voice:
        return "Is it bright or dark?"
    if AROUSAL.said_in(text):
        return "Is the person calm or excited?"
    if VALENCE.said_in(text):
        return "Is the mood pleasant or unpleasant?"
    of_emotions = FEELS.said_in(text) or any(emotions_of(word) for word in re.findall(r"\w+", text))
    return OWN if of_emotions else None
