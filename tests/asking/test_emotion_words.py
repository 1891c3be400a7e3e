"""Words for the seven emotions: each stands for one set of them, and words between them for none."""

from __future__ import annotations

from collections import Counter

import pytest

from realtime.asking.declined import declined_label, fold
from realtime.asking.emotion_words import MEANINGS, NEGATIVE, WORDS, emotions_of, own_labels, unknown
from realtime.records import LABELS, MAX_LABEL_CHARS, OwnLabel


def test_every_word_has_one_meaning_can_be_a_label_and_is_not_declined() -> None:
    counts = Counter(fold(word) for _, words in WORDS for word in words.split(", "))
    assert [word for word, n in counts.items() if n > 1] == []
    assert {emotion for emotions in MEANINGS.values() for emotion in emotions} == set(LABELS)
    assert [word for word in MEANINGS if declined_label(word) or len(word) > MAX_LABEL_CHARS] == []


def test_each_label_of_the_model_is_itself() -> None:
    assert [emotions_of(label) for label in LABELS] == [(label,) for label in LABELS]


@pytest.mark.parametrize(
    ("label", "emotions"),
    [
        ("joy", ("happy",)),
        ("Rage", ("angry",)),
        ("calm", ("neutral",)),
        ("sadness", ("sad",)),
        ("pleasant", ("happy",)),
        ("Negative", NEGATIVE),
        ("not happy", ("sad", "neutral", "angry", "surprise", "disgust", "fear")),
        ("nicht wütend", tuple(label for label in LABELS if label != "angry")),
        ("Ärger", ("angry",)),
        ("überrascht", ("surprise",)),
        ("uberrascht", ("surprise",)),
        ("colère", ("angry",)),
        ("miedo", ("fear",)),
        ("pas de joie", tuple(label for label in LABELS if label != "happy")),
    ],
)
def test_words_and_what_they_stand_for(label: str, emotions: tuple[str, ...]) -> None:
    assert emotions_of(label) == emotions


@pytest.mark.parametrize(
    "label", ["stressed", "tired", "sarcastic", "yes", "bored", "tense", "not tired", "love", "opfer"]
)
def test_words_between_emotions_or_of_something_else_stand_for_none(label: str) -> None:
    assert emotions_of(label) is None
    assert unknown(["joy", label]) == [label]


def test_other_is_what_no_label_beside_it_is_for() -> None:
    first, other = own_labels(("negative", "other"))
    assert (first, other) == (OwnLabel("negative", NEGATIVE), OwnLabel("other", ("happy", "neutral", "surprise")))
    assert unknown(["anger", "etwas anderes"]) == []
