"""Tricky answers, and any text at all."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime.records import LABELS
from train.evaluation.answer_parser import parse

MELD = ("neutral", "joy", "anger", "surprise", "sadness", "disgust", "fear")
TABLE = [
    ("happy", "happy"),
    (" Happy. ", "happy"),
    ("**Angry**", "angry"),
    ("3. surprise", "surprise"),
    ("<fine>sad at first, angry later</fine><answer>angry, strong</answer>", "angry"),
    ("<answer>fear, slight", "fear"),
    ("<think>is it happy? no, sad</think>neutral", "neutral"),
    ("<think>happy or sad, hard to", None),
    ("happy, sad", None),
    ("The person looks happy but sounds sad.", None),
    ("She seems sad and angry. Final answer: angry.", "angry"),
    ("Both sad and angry cues. Overall: sad and angry.", None),
    ("not happy", None),
    ("He is not happy, he is sad.", "sad"),
    ("It isn't really very angry; neutral.", "neutral"),
    ("neither happy nor sad but neutral", "neutral"),
    ("not only sad", "sad"),
    ("sad rather than angry", "sad"),
    ("fear instead of surprise", "fear"),
    ("unhappy", None),
    ("The mood is disgusting to him", "disgust"),
    ("happiness", "happy"),
    ("She is frightened.", "fear"),
    ('{"emotion": "Surprised", "confidence": 0.7}', "surprise"),
    ('```json\n{"answer": "sad"}\n```', "sad"),
    ("He does not smile and looks sad.", "sad"),
    ("There is no sign of happiness.", None),
    ("not angry or sad", None),
    ("He doesn't look sad", None),
    ("The answer is: happy (not sad).", "happy"),
    ("happy/neutral", None),
    ('{"happy": 0.2, "Sad": 0.7, "fear": 0.1}', "sad"),
    ('{"happy": 0.5, "sad": 0.5}', None),
    ('{"happy": 0.9, "confidence": 0.2, "sad": 0.1}', None),
    ("没有表现出高兴", None),
    ("非常高兴", "happy"),
    ("不仅悲伤", "sad"),
    ("并不悲伤而是高兴", "happy"),
    ("高兴", "happy"),
    ("他并不是高兴，而是悲伤。", "sad"),
    ("这个人感到愤怒", "angry"),
    ("wütend", "angry"),
    ("triste", "sad"),
    ("unsure", "unsure"),
    ("I cannot tell.", "unsure"),
    ("nostalgic", None),
    ("", None),
    (None, None),
    (7, None),
]


@pytest.mark.parametrize(("text", "label"), TABLE)
def test_the_table_of_tricky_answers(text: object, label: str | None) -> None:
    assert parse(text, LABELS).label == label


@pytest.mark.parametrize(
    ("text", "labels", "label"),
    [
        ("joy", MELD, "joy"),
        ("The speaker is angry.", MELD, "anger"),
        ("happy", MELD, "joy"),
        ("Not sarcastic.", ("sarcastic", "sincere"), "sincere"),
        ("This is sarcasm", ("sarcastic", "sincere"), "sarcastic"),
        ("not funny at all", ("humorous", "serious"), "serious"),
    ],
)
def test_a_set_with_names_of_its_own(text: str, labels: tuple[str, ...], label: str) -> None:
    assert parse(text, labels).label == label


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(), st.lists(st.sampled_from([*LABELS, "not", "<answer>", "{", '"', ",", "不"])).map(" ".join)))
def test_any_text_is_read_without_raising_and_gives_a_label_or_none(text: str) -> None:
    found = parse(text, LABELS)
    assert found.label is None or found.label in (*LABELS, "unsure")
    assert found.how


def test_a_long_text_is_read_in_no_time() -> None:
    """Each mention once looked at all that came before it: 60,000 words took three minutes. Now they take a second."""
    began_s = time.process_time()
    assert parse("not happy " * 30_000, LABELS).label is None
    assert parse("sad, " * 30_000, LABELS).label == "sad"
    assert time.process_time() - began_s < 60


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(LABELS), st.sampled_from(LABELS))
def test_two_labels_are_an_answer_only_when_they_are_the_same(one: str, other: str) -> None:
    assert parse(f"{one} and {other}", LABELS).label == (one if one == other else None)
    assert parse(f"not {one}", LABELS).label is None
