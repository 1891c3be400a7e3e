"""What a person may ask, and what is refused with a reason."""

from __future__ import annotations

import json

import pytest

from realtime.asking import question as asking
from realtime.asking.summary import summary_asked
from realtime.errors import BadAsk, BadRequest, UnknownLabels
from realtime.records import LABELS, OwnLabel, Question


def read(value: object) -> Question:
    question = asking.question_from(json.dumps(value).encode(), LABELS, open_labels=True)
    assert isinstance(question, Question)
    return question


def test_a_question_and_labels_come_through_as_they_were_told() -> None:
    asked = {"query": "is this sarcasm?", "labels": ["sincere", "sarcastic remark", "gerührt", "can't say"]}
    assert asking.as_json(read(asked)) == asked


@pytest.mark.parametrize("nothing", [{}, {"query": None, "labels": None}])
def test_what_is_left_out_is_the_default(nothing: object) -> None:
    assert read(nothing) == Question(labels=LABELS)


def test_spaces_and_lines_become_one_space() -> None:
    assert read({"query": " does she\n seem  tired? "}).query == "does she seem tired?"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"query": 7}, "not text"),
        ({"query": "x" * 201}, "201 characters"),
        ({"query": "hi <|im_end|>"}, "characters that it may not"),
        ({"query": "a\u0000b"}, "characters that it may not"),
        ({"labels": "happy"}, "not a list"),
        ({"labels": ["happy", 3]}, "not a list"),
        ({"query": ""}, "is empty"),
        ({"query": " \n "}, "is empty"),
        ({"labels": ["happy"]}, "There is 1 label\\."),
        ({"labels": []}, "There are 0 labels"),
        ({"labels": [f"label {chr(65 + n)}" for n in range(13)]}, "13 labels"),
        ({"labels": ["happy", ""]}, "A label is empty"),
        ({"labels": ["happy", "</answer>"]}, "cannot be a label"),
        ({"labels": ["happy", "a" * 25]}, "cannot be a label"),
        ({"labels": ["happy", "1st"]}, "begin with a letter"),
        ({"labels": ["happy", "Happy"]}, "twice"),
        ({"labels": ["happy", "unsure"]}, "always possible"),
        ({"queries": "?"}, "not part of a question"),
    ],
)
def test_what_no_model_can_be_asked_is_refused(value: object, words: str) -> None:
    with pytest.raises(BadAsk, match=words) as refused:
        read(value)
    assert refused.value.hint


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"[1]", b"null", b"[" * 4_000])
def test_what_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest):
        asking.question_from(body, LABELS)


def test_a_model_with_a_fixed_set_chooses_from_it_and_is_told_in_the_labels_given() -> None:
    asked = asking.question_of("is it joy?", ["Joy", "rage"])
    assert (asked.labels, asked.told_labels) == (LABELS, ("Joy", "rage"))
    assert asked.own == (OwnLabel("Joy", ("happy",)), OwnLabel("rage", ("angry",)))
    assert asking.as_json(asked) == {"query": "is it joy?", "labels": ["Joy", "rage"]}
    # Its own labels, in its own order, need no words of ours.
    assert asking.question_of(None, list(LABELS)) == Question(labels=LABELS)


def test_labels_that_such_a_model_does_not_know_are_named_and_what_it_knows_with_them() -> None:
    with pytest.raises(UnknownLabels) as refused:
        asking.question_of(None, ["joy", "stressed", "yes"])
    assert refused.value.message == "“stressed” and “yes” are no emotions that this model knows."
    assert refused.value.hint.startswith("It knows happy, sad, neutral, angry, surprise, disgust, fear.")
    problem = refused.value.problem()
    assert (problem["code"], problem["status"], problem["labels"]) == ("unknown_labels", 422, ["stressed", "yes"])
    # A general language model scores them itself.
    assert asking.question_of(None, ["stressed", "yes"], open_labels=True).labels == ("stressed", "yes")


@pytest.mark.parametrize(
    ("query", "last_s"),
    [
        ("Summarise the last two minutes", 120.0),
        ("summarize the last 90 seconds, please", 90.0),
        ("Sum up the last minute", 60.0),
        ("Can you give me a summary?", 120.0),
        ("A summary of the last half a minute", 30.0),
        ("Summary of the last hour", 600.0),
        ("Summary of the last 90 minutes", 600.0),
        ("Recap of the last 5 seconds", 30.0),
        ("Fasse die letzten drei Minuten zusammen", 180.0),
        ("Bitte eine Zusammenfassung der letzten 45 Sekunden", 45.0),
        ("Resume los últimos dos minutos", 120.0),
        ("Résume les cinq dernières minutes", 300.0),
    ],
)
def test_a_summary_is_asked_for_in_plain_words(query: str, last_s: float) -> None:
    assert summary_asked(query) == last_s
    wanted = asking.question_from(json.dumps({"query": query}).encode(), LABELS)
    assert wanted == asking.SummaryWanted(query, last_s)


@pytest.mark.parametrize(
    "query",
    ["Do they resume speaking?", "Is the voice louder than two minutes ago?", "Sind beide zusammen froh?", None],
)
def test_other_questions_ask_for_none(query: str | None) -> None:
    assert summary_asked(query) is None


def test_a_summary_of_a_recording_is_refused_with_where_to_ask_for_it() -> None:
    with pytest.raises(BadAsk, match="of a live session") as refused:
        asking.question_of("Summarise the last minute", None)
    assert "page" in refused.value.hint
