"""The kind of an English question, by a small classifier of its words: when, who, count, …, or none of these.

    when did teh expression switch → ("when", 0.99)
    What is she thinking?          → ("untold", 0.98)

A softmax regression on words, pairs of words, pieces of words, and what the lexicon finds in the text (`lexicon.py`).
`train/asking/fit.py` fits it; its 8-bit weights are in `kinds.json`. Words that it never met, and that are one slip of
a finger away from one that it knows, are read as that one.
"""

from __future__ import annotations

import base64
import functools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

import numpy as np

from realtime.asking import lexicon
from realtime.asking.emotion_words import emotions_of
from realtime.asking.lexicon import Wordings
from realtime.records import Float32

CONCEPTS: Mapping[str, Wordings] = {name: each for name, each in vars(lexicon).items() if isinstance(each, Wordings)}
"What the lexicon has wordings for, by their names there."
WORD, PIECE, CONCEPT = 1.0, 0.5, 0.5
"How much a word or a pair, a piece of a word, and a finding of the lexicon weigh. A text's words and pieces add up to"
LENGTH = 3.0
"this length, however many there are."
PIECES = (3, 4)
LEAST_SLIP, MOST_SLIP = 4, 16
"Letters of a word that may be a slip."
LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class Classifier:
    """The weights, as they are stored."""

    kinds: tuple[str, ...]
    words: frozenset[str]
    "Words of questions, spelled right."
    others: frozenset[str]
    "Other words of English, which are no slips."
    places: Mapping[str, int]
    "Feature → row of the weights."
    weights_FK: Float32
    bias_K: Float32

    def probabilities(self, text: str) -> Float32:
        """(K,) of each kind, for a text that is folded and `spelled`."""
        logits_K = self.bias_K.copy()
        for feature, value in features(text).items():
            if (place := self.places.get(feature)) is not None:
                logits_K += np.float32(value) * self.weights_FK[place]
        shares_K = np.exp(logits_K - logits_K.max())
        found: Float32 = shares_K / shares_K.sum()
        return found

    def spelled(self, text: str) -> str:
        """The text with each slip in place of which only one known word can stand put right."""
        return re.sub(r"[a-z]+", lambda match: self._spelled(match[0]), text)

    def _spelled(self, word: str) -> str:
        if not LEAST_SLIP <= len(word) <= MOST_SLIP or word in self.words or word in self.others:
            return word
        near = self.words & slips(word)
        return next(iter(near)) if len(near) == 1 else word


def slips(word: str) -> set[str]:
    """What a word may have been: two letters swapped, one left out, too many or wrong. The first letter stays."""
    cuts = [(word[:place], word[place:]) for place in range(1, len(word) + 1)]
    return {
        *(before + after[1:] for before, after in cuts if after),
        *(before + after[1] + after[0] + after[2:] for before, after in cuts if len(after) > 1),
        *(before + letter + after[1:] for before, after in cuts if after for letter in LETTERS),
        *(before + letter + after for before, after in cuts for letter in LETTERS),
    }


def features(text: str) -> dict[str, float]:
    """What is found in a folded text, by name, with its weight."""
    words = words_of(text)
    found = {f"w:{word}": WORD for word in words}
    found |= {f"b:{one} {other}": WORD for one, other in zip(["^", *words], [*words, "$"], strict=True)}
    for word in words:
        whole = f"<{word}>"
        found |= {f"c:{whole[at : at + n]}": PIECE for n in PIECES for at in range(len(whole) - n + 1)}
    length = sum(value * value for value in found.values()) ** 0.5
    found = {name: value * LENGTH / length for name, value in found.items()} if length else {}
    return found | dict.fromkeys((f"k:{name}" for name in concepts(text, words)), CONCEPT)


def concepts(text: str, words: Sequence[str]) -> list[str]:
    """What the lexicon finds in a text, by name; a cue and an emotion, whichever it is, too."""
    found = [name for name, wordings in CONCEPTS.items() if wordings.said_in(text)]
    if any(wordings.said_in(text) for _, wordings in lexicon.CUES):
        found.append("CUE")
    if any(emotions_of(word) for word in words):
        found.append("EMOTION")
    if lexicon.ASKS_WHEN.search(text):
        found.append("ASKS_WHEN")
    if lexicon.ASKS_HOW_MUCH.search(text):
        found.append("ASKS_HOW_MUCH")
    return found


def words_of(text: str) -> list[str]:
    return re.findall(r"[a-z0-9']+", text)


@functools.cache
def classifier() -> Classifier:
    stored = json.loads(resources.files("realtime.asking").joinpath("kinds.json").read_text("utf-8"))
    kinds = tuple(stored["kinds"])
    rows_FK = np.frombuffer(base64.b64decode(stored["weights"]), np.int8).reshape(-1, len(kinds))
    return Classifier(
        kinds,
        frozenset(stored["words"].split()),
        frozenset(stored["others"].split()),
        {feature: place for place, feature in enumerate(stored["features"])},
        rows_FK.astype(np.float32) * np.float32(stored["step"]),
        np.array(stored["bias"], np.float32),
    )


def kind_of(text: str) -> tuple[str, float]:
    """The likeliest kind of a text that is folded and `spelled`, and its probability."""
    model = classifier()
    shares_K = model.probabilities(text)
    best = int(shares_K.argmax())
    return model.kinds[best], float(shares_K[best])
