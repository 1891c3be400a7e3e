"""Tables of people and of what was said of each."""

from __future__ import annotations

import dataclasses
import json
from datetime import datetime
from pathlib import Path

import pytest

from realtime.publish.events import ClockEvent, SessionOpenedEvent
from realtime.publish.parse import parse
from realtime.publish.tables import columns, rows

EVENTS = json.loads((Path(__file__).parents[1] / "fixtures" / "events.json").read_text())


def test_a_second_has_a_row_for_each_person_with_their_own_label() -> None:
    chain = next(event for event in EVENTS if event["type"] == "label" and event["source"] == "chain")
    fast = next(event for event in EVENTS if event["type"] == "label" and event["source"] == "fast")
    told = [event | ({"faces": fast["faces"]} if event is chain else {}) for event in EVENTS]
    events = [event for line in told if (event := parse(json.dumps(line))) is not None]
    found = [row for row in rows(events, "seconds") if row["t"] == 1]
    assert {row["track"]: row["person_label"] for row in found} == {1: "happy", 2: "unsure"}
    assert {row["track"]: row["person_p_happy"] for row in found} == {1: 0.74, 2: 0.2}
    assert "person_label" in columns(found, "seconds")


def test_marks_valence_arousal_and_wall_clock_time_are_in_the_tables() -> None:
    events = [event for line in EVENTS if (event := parse(json.dumps(line))) is not None]
    clock = next(line for line in EVENTS if line["type"] == "clock")
    mark = next(line for line in EVENTS if line["type"] == "mark")
    label = next(line for line in EVENTS if line["type"] == "label" and line["source"] == "fast")
    (marked,) = rows(events, "marks")
    assert (marked["t"], marked["name"]) == (mark["t"], mark["name"])
    assert json.loads(str(marked["data"])) == mark["data"]
    began, there = (datetime.fromisoformat(str(text)) for text in (clock["started_at"], marked["utc"]))
    assert (there - began).total_seconds() == pytest.approx(mark["t"], abs=0.002)
    seconds = list(rows(events, "seconds"))
    assert [row["t"] for row in seconds if row["marks"] == mark["name"]] == [int(mark["t"])]
    assert {row["utc_error_ms"] for row in [marked, *seconds]} == {clock["started_at_error_ms"]}
    assert "utc_error_ms" in columns(seconds, "seconds")
    # Of a recording nobody knows it.
    first = events[0]
    assert isinstance(first, SessionOpenedEvent)
    events = [event for event in events if not isinstance(event, ClockEvent)]
    events[0] = dataclasses.replace(first, started_at=None, started_at_error_ms=None)
    assert {(row["utc"], row["utc_error_ms"]) for row in rows(events, "seconds")} == {(None, None)}
    told = [row for row in rows(events, "windows") if row["source"] == "fast"]
    assert {row["arousal"] for row in told} == {label["arousal"]["value"]}
    assert {row["valence"] for row in told} == {label["valence"]["value"]}


def test_every_probability_says_whether_it_is_calibrated() -> None:
    """A study's table had own labels with p = 1.00 and nothing that said what this is worth."""
    events = [event for line in EVENTS if (event := parse(json.dumps(line))) is not None]
    told = {(row["source"], row["calibrated"]) for row in rows(events, "windows")}
    assert told == {("fast", True), ("chain", False)}
    assert {row["calibrated"] for row in rows(events, "seconds") if row.get("window") == 0} == {False}
    assert [row["calibrated"] for row in rows(events, "reasons")] == [False]


def test_reasons_say_how_a_question_was_read_and_what_its_answer_is_from() -> None:
    events = [event for line in EVENTS if (event := parse(json.dumps(line))) is not None]
    (row,) = rows(events, "reasons")
    (window,) = (line for line in EVENTS if line["type"] == "window")
    assert (row["read_as"], row["answered_from"]) == (window["read_as"], "measurements")
    assert columns([], "reasons")[-3:] == ["read_as", "answered_from", "turned_by"]
    assert row["turned_by"] == "second_look words"


def test_words_have_a_row_for_each_stretch_that_was_written_down() -> None:
    events = [event for line in EVENTS if (event := parse(json.dumps(line))) is not None]
    (row,) = rows(events, "words")
    assert list(row)[:5] == columns([row], "words")[:5] == ["session", "window", "start", "end", "text"]
    assert (row["start"], row["text"], row["language"]) == (1.2, "That is just what I needed today.", "en")
    assert (row["against_face"], row["against_voice"], row["p_neutral"]) == (0.14, 0.09, 0.52)
