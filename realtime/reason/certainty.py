"""Keeps a chain from being surer of a face or a voice than its evidence is.

    the voice alone   angry 0.43, neutral 0.35        so it may be angry, and no more than that
    the chain         The voice is ─┬─ angry.         the model's first choice is too sure
                                    └─ perhaps angry.

A small model often writes "is" where the distribution of that modality is flat. In training (`train/coet/measured.py`)
it learnt three wordings: "is", "seems" or "is perhaps", and "is between … and …" or "could be … or …". Where the
likeliest emotion of a modality has less than `SURE_FROM`, and the model's best token would make the statement a sure
one, the likeliest of the other wordings is taken in its place. The emotion that it was about to name stays, since it
would sometimes name another one after "perhaps". Of two emotions the second is not the first again. Every wording that
this module does not know is left to the model.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from realtime.model.tokenizer import Vocabulary
from realtime.reason.consistency import ADJECTIVES, words_of
from realtime.reason.grounding import PERSON
from realtime.records import LABELS, Label, Window

SURE_FROM = 0.6
"Calibrated probability of its likeliest emotion from which a face or a voice is told without a doubt."
SUBJECT = re.compile(r"\bThe (?:expression|voice)$")
SAID_TO_BE = re.compile(r"\bThe (?:expression|voice) is$")
PERHAPS = re.compile(r"\bThe (?:expression|voice) is perhaps$")
SURE_VERBS = (" looks", " sounds")
UNSURE_VERBS = (" seems", " could", " is")
"What follows “is” decides."
UNSURE_AFTER_IS = (" perhaps", " between")
ONE_OF_TWO = re.compile(r"\bThe (?:expression|voice) (?:is between (\w+) and|could be (\w+) or)$")
EMOTIONS = tuple(word for label in LABELS for word in words_of(label))
NAMED = tuple(ADJECTIVES.get(label, label) for label in LABELS)
"What a face or a voice is said to be."


@dataclass
class Certainty:
    """Which statements about face and voice of one chain may be sure ones, while they are written."""

    vocabulary: Vocabulary
    sure: Mapping[str, Sequence[bool]]
    "Section → whether it may be, for each person of whom it tells, in its order. Of others it may."
    _meant: int | None = field(default=None, init=False)
    "First token of the emotion in whose place another word came."

    def in_place_of(self, token: int, section: str, text: str) -> list[int]:
        """The tokens one of which has to come after `text` in place of this one; empty where it may stand."""
        people, named = self.sure.get(section, ()), PERSON.findall(text)
        person = ord(named[-1].lower()) - ord("a") if named else 0
        if person >= len(people) or people[person]:
            return []
        said = self.vocabulary.text([token])
        if said in SURE_VERBS and SUBJECT.search(text):
            return self._tokens(UNSURE_VERBS)
        if _begins_emotion(said) and SAID_TO_BE.search(text):
            self._meant = token
            return self._tokens(UNSURE_AFTER_IS)
        if self._meant is not None and PERHAPS.search(text):
            meant, self._meant = self._meant, None
            return [] if meant == token else [meant]
        one = ONE_OF_TWO.search(text)
        if one and _begins_emotion(said) and (first := one[1] or one[2]).startswith(said.strip()):
            # The others are told apart from it by their first tokens.
            return sorted({self.vocabulary.ids(f" {word}")[0] for word in NAMED if word != first} - {token})
        return []

    def _tokens(self, words: Sequence[str]) -> list[int]:
        """Those of these words that are one token of the vocabulary."""
        return [ids[0] for word in words if len(ids := self.vocabulary.ids(word)) == 1]


def certainty(vocabulary: Vocabulary, label: Label, window: Window) -> Certainty | None:
    """Which statements of a chain about this window may be sure ones, by its fast label.

    None where the labels are others than those of `LABELS`, of which the texts tell.
    """
    if not set(LABELS) <= set(label.probabilities):
        return None
    sure: dict[str, list[bool]] = {}
    people = [face.track for face in next((frame.faces for frame in reversed(window.frames) if frame.faces), ())]
    if len(people) == 1:
        sure["face"] = [_is_sure(label.conflict.face if label.conflict else label.probabilities)]
    elif people:
        alone = {each.track: each.probabilities for each in label.faces}
        sure["face"] = [track not in alone or _is_sure(alone[track]) for track in people]
    if window.speech:
        sure["voice"] = [_is_sure(label.conflict.voice if label.conflict else label.probabilities)]
    return Certainty(vocabulary, sure)


def _is_sure(probabilities: Mapping[str, float]) -> bool:
    return max(probabilities.values()) >= SURE_FROM


def _begins_emotion(token: str) -> bool:
    begun = token.strip().lower()
    return len(begun) > 1 and any(word.startswith(begun) for word in EMOTIONS)
