"""When a transcript is believed. A recogniser writes words for noise too, and for languages that it does not know.

The first three limits are those that Whisper's authors publish for its long decoding. They stop noise. They do not stop
`tiny.en` from writing English for Spanish: it has no token for another language, so its output never names one. What
gives it away is that it guesses: the mean probability of its tokens is lower than for English. The limit for such a
model, `SURE`, was measured on Spanish, Italian, Polish and English speech (docs/bench.md).
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass

MOST_NO_SPEECH = 0.6
"Probability that nothing is said, above which nothing is written."
LEAST_CONFIDENCE = 0.37
"Mean probability of the tokens: e to the −1."
MOST_COMPRESSION = 2.4
"How many times smaller gzip may make a text. Text that says one thing again and again compresses better."
SURE = 0.6
"Mean probability of the tokens for a model of one language, which cannot say that it hears another one."
KNOWN_LANGUAGE = 0.5
"Probability of the language for a model of many. Below it, the sound may be in none that it knows."
LETTERS = re.compile(r"\w")


@dataclass(frozen=True, slots=True)
class Transcript:
    """What a recogniser wrote for one utterance, with what tells whether to believe it."""

    text: str
    language: str
    "ISO 639-1."
    confidence: float
    "Mean probability of its tokens, 0–1: the geometric mean."
    no_speech: float
    "Probability that nothing is said, 0–1."
    language_share: float | None
    "Probability of the language, 0–1; None where the model knows only one."


def doubt(found: Transcript) -> str | None:
    """Why the transcript is not believed, in a word for counting; None where it is."""
    if not LETTERS.search(found.text):
        return "empty"
    if found.no_speech > MOST_NO_SPEECH:
        return "no_speech"
    if compression(found.text) > MOST_COMPRESSION:
        return "repeats"
    if found.language_share is not None and found.language_share < KNOWN_LANGUAGE:
        return "language"
    if found.confidence < (SURE if found.language_share is None else LEAST_CONFIDENCE):
        return "unsure"
    return None


def compression(text: str) -> float:
    """How many times smaller zlib makes the text."""
    data = text.encode()
    return len(data) / len(zlib.compress(data)) if data else 0.0
