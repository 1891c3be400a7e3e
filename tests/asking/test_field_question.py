"""Field report: labels of one's own in Devanagari, Thai, Tamil, and with decomposed accents were refused."""

from __future__ import annotations

import json
import unicodedata
from typing import Literal

import pytest

from realtime.asking import question as asking
from realtime.errors import BadAsk
from realtime.records import LABELS, Question

SCRIPTS = {
    "Devanagari": ["खुश", "दुःखी", "गुस्सा", "आश्चर्यचकित"],
    "Thai": ["มีความสุข", "เศร้า", "โกรธ"],
    "Tamil": ["மகிழ்ச்சி", "சோகம்", "கோபம்"],
    "Bengali with a joiner": ["র‍্যাগ", "সুখী"],
    "Persian with a non-joiner": ["بی‌حوصله", "شاد"],
    "Arabic with vowels": ["سَعِيد", "حَزِين"],
    "Hebrew with points": ["שָׂמֵחַ", "עָצוּב"],
    "Vietnamese": ["hạnh phúc", "tức giận"],
    "Japanese": ["嬉しい", "悲しい"],
    "Yoruba, whose marks do not compose": ["ìbànújẹ́", "ayọ̀"],
}


def ask(value: object) -> Question:
    question = asking.question_from(json.dumps(value).encode(), LABELS, open_labels=True)
    assert isinstance(question, Question)
    return question


@pytest.mark.parametrize("labels", SCRIPTS.values(), ids=SCRIPTS)
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_labels_of_any_script_are_taken_and_composed(labels: list[str], form: Literal["NFC", "NFD"]) -> None:
    given = [unicodedata.normalize(form, label) for label in labels]
    composed = tuple(unicodedata.normalize("NFC", label) for label in labels)
    assert ask({"labels": given}).labels == composed


def test_a_question_is_composed_and_may_hold_joiners() -> None:
    assert ask({"query": "est-il de\u0301c\u0327u ?"}).query == "est-il d\u00e9\u00e7u ?"
    assert ask({"query": "او بی‌حوصله است؟"}).query == "او بی‌حوصله است؟"


def test_the_same_label_in_two_forms_is_there_twice() -> None:
    with pytest.raises(BadAsk, match="twice"):
        ask({"labels": ["g\u00eane\u0301", "ge\u0302n\u00e9"]})


@pytest.mark.parametrize(
    "label",
    [
        "\u0301a",
        "\u200dsad",
        "sa\u0000d",
        "sa\u202ed",
        "sad\ufeff",
        "sad\u00ad",
        "<b>",
        "a|b",
        "a,b",
        "a.b",
        "1st",
        "🙂",
        "a" + "\u0335" * 5,
    ],
    ids=ascii,
)
def test_control_characters_markup_and_piles_of_marks_are_still_refused(label: str) -> None:
    with pytest.raises(BadAsk, match="cannot be a label"):
        ask({"labels": [label, "happy"]})


@pytest.mark.parametrize("query", ["a\u202eb", "a\u0000b", "a\ufeffb", "<b>", "a|b"], ids=ascii)
def test_control_characters_and_markup_in_a_question_are_still_refused(query: str) -> None:
    with pytest.raises(BadAsk, match="characters that it may not"):
        ask({"query": query})
