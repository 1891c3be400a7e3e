"""`realtime analyze FILE` and `realtime watch URL` at a terminal: words for a person; JSON lines for programs."""

from __future__ import annotations

import io
import json
import os
import pty
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from realtime import cli
from realtime.commands.readable import Teller, clock, conflict_words, printer
from realtime.engine import loading
from realtime.formats.percent import percent
from realtime.publish.events import (
    AffectValue,
    EmotionAnswer,
    ErrorEvent,
    LabelEvent,
    LagEvent,
    MarkEvent,
    ModalityConflict,
    ReasonDoneEvent,
    SessionClosedEvent,
    SessionOpenedEvent,
    UnsupportedStatement,
    WindowEvent,
    WordsEvent,
)
from tests.scripted import ScriptedModel


def analyzed(monkeypatch: pytest.MonkeyPatch, ends: tuple[int, int], *arguments: str) -> str:
    """What the command writes to its standard output while that is the second of `ends`; the first one is read."""
    monkeypatch.setattr(loading, "load", lambda *args, **options: ScriptedModel())
    monkeypatch.setenv("COLUMNS", "80")
    read: list[bytes] = []
    reading, writing = ends

    def drain() -> None:
        try:
            while part := os.read(reading, 65536):
                read.append(part)
        except OSError:
            # Linux says so when nobody has the terminal open any more.
            pass

    reader = threading.Thread(target=drain)
    reader.start()
    with os.fdopen(writing, "w", encoding="utf-8") as out:
        monkeypatch.setattr(sys, "stdout", out)
        assert cli.main(["analyze", *arguments]) == 0
    reader.join(60)
    os.close(reading)
    return b"".join(read).decode().replace("\r\n", "\n")


def test_a_terminal_gets_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], a_recording: Path
) -> None:
    said = analyzed(monkeypatch, pty.openpty(), str(a_recording))
    assert not any(line.startswith("{") for line in said.splitlines())
    assert max(map(len, said.splitlines())) <= 80
    assert "happy, " in said
    assert "      Face        The lip corners are pulled up.\n" in said
    assert "      Answer      happy, moderate\n" in said
    assert "--format jsonl" in capsys.readouterr().err


def test_a_pipe_gets_json_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], a_recording: Path
) -> None:
    events = [json.loads(line) for line in analyzed(monkeypatch, os.pipe(), str(a_recording)).splitlines()]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert capsys.readouterr().err == ""


def test_a_pipe_gets_words_where_they_are_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], a_recording: Path, tmp_path: Path
) -> None:
    said = analyzed(monkeypatch, os.pipe(), str(a_recording), "--format", "text")
    assert "      Answer      happy, moderate\n" in said
    assert analyzed(monkeypatch, os.pipe(), str(a_recording), "--format", "text", "--out", str(tmp_path / "x")) == ""
    assert (tmp_path / "x").read_text() == said
    # Whoever names a format knows that there are others.
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("at_a_terminal", [True, False])
def test_a_person_is_told_that_this_is_no_readout_of_feelings(
    monkeypatch: pytest.MonkeyPatch, a_recording: Path, at_a_terminal: bool
) -> None:
    reading, writing = pty.openpty() if at_a_terminal else os.pipe()
    with os.fdopen(writing, "w", encoding="utf-8") as err:
        monkeypatch.setattr(sys, "stderr", err)
        analyzed(monkeypatch, os.pipe(), str(a_recording))
        print("end", file=err, flush=True)
        told = b""
        # A terminal gives line by line.
        while not told.rstrip().endswith(b"end"):
            told += os.read(reading, 65536)
    os.close(reading)
    assert told.decode().splitlines() == ([cli.NO_READOUT] if at_a_terminal else []) + ["end"]


def test_that_no_adapter_is_loaded_is_told_with_the_model() -> None:
    told = Teller(lambda: 300).tell(SessionOpenedEvent("a 3B", "torch", LABELS, stock=True))
    assert told.startswith("Model a 3B, torch. No adapter is loaded: it was never trained to tell emotions")
    assert Teller(lambda: 300).tell(SessionOpenedEvent("nano", "torch", LABELS)) == "Model nano, torch.\n"
    two = SessionOpenedEvent("small", "torch", LABELS, label_model="nano")
    assert Teller(lambda: 300).tell(two) == "Model small, torch. nano gives the labels.\n"
    asked = replace(two, answer_model="nano")
    assert Teller(lambda: 300).tell(asked) == "Model small, torch. nano gives the labels. nano answers questions.\n"


def test_a_terminal_gets_json_lines_where_they_are_asked_for(
    monkeypatch: pytest.MonkeyPatch, a_recording: Path
) -> None:
    said = analyzed(monkeypatch, pty.openpty(), str(a_recording), "--format", "jsonl")
    assert {json.loads(line)["type"] for line in said.splitlines()} >= {"session.opened", "label", "reason.done"}


FACE, VOICE = {"happy": 0.9994, "sad": 0.0006}, {"happy": 0.08, "neutral": 0.38, "angry": 0.42, "sad": 0.12}
LABELS = ("happy", "sad", "neutral", "angry")


def window(number: int, *, query: str | None = None, labels: tuple[str, ...] = LABELS) -> WindowEvent:
    return WindowEvent(number, 0.0, 65.4, 4, 2.0, query=query, labels=labels)


def label(name: str, conflict: ModalityConflict | None, valence: AffectValue | None = None) -> LabelEvent:
    shares = {"happy": 0.45, "sad": 0.4, "neutral": 0.1, "angry": 0.05}
    return LabelEvent(0, name, shares, "fast", conflict, valence=valence)


def opened() -> Teller:
    teller = Teller(lambda: 100)
    teller.tell(SessionOpenedEvent("nano", "torch", LABELS))
    teller.tell(window(0))
    return teller


def test_a_moment_says_its_time_its_label_and_how_face_and_voice_differ() -> None:
    said = opened().tell(label("happy", ModalityConflict(FACE, VOICE, 0.78)))
    assert said == (
        "\n1:05  happy, 45 %\n"
        "      Face alone: happy >99 %. Voice alone: angry 42 %, neutral 38 %. They disagree (0.78 of 1).\n"
    )


def test_an_unsure_label_says_what_it_is_between_and_what_alone_it_is_from() -> None:
    said = opened().tell(label("unsure", None, AffectValue(0.1, "voice")))
    assert said == "\n1:05  unsure, between happy (45 %) and sad (40 %), from the voice alone\n"


def test_labels_of_ones_own_that_do_not_fit_or_are_not_calibrated_are_said_to_be_so() -> None:
    own = LabelEvent(0, "unsure", {"sad": 0.01, "fear": 0.02, "unsure": 0.97}, "fast", None, calibrated=True)
    assert opened().tell(own) == "\n1:05  unsure, none of these labels fits (97 %)\n"
    scored = LabelEvent(0, "sincere", {"sincere": 0.9, "sarcastic": 0.1}, "fast", None, calibrated=False)
    assert opened().tell(scored) == "\n1:05  sincere, 90 %, not calibrated for these labels\n"


def test_what_none_of_ones_own_labels_is_for_is_called_so() -> None:
    sides = ({"sad": 0.01, "fear": 0.02, "unsure": 0.97}, {"sad": 0.6, "fear": 0.1, "unsure": 0.3})
    assert conflict_words(ModalityConflict(*sides, 0.3)).startswith(
        "Face alone: none of these 97 %. Voice alone: sad 60 %, none of these 30 %."
    )


def test_the_answer_to_a_question_comes_before_the_label() -> None:
    sections = {"answer": "Yes, clearly. happy, strong"}
    done = ReasonDoneEvent(0, sections, EmotionAnswer("joy", "strong", 0.9))
    assert opened().tell(done).splitlines()[-1].split(maxsplit=1) == ["Answer", "Yes, clearly. joy, strong"]


@pytest.mark.parametrize(
    ("score", "verdict"),
    [(0.0, "They agree"), (0.149, "They agree"), (0.15, "They differ somewhat"), (0.4, "They disagree")],
)
def test_the_bounds_of_a_conflict_are_the_pages(score: float, verdict: str) -> None:
    assert f". {verdict} (" in conflict_words(ModalityConflict(FACE, VOICE, score))
    page = (Path(__file__).parents[2] / "web/src/draw/conflict.ts").read_text()
    assert "const DIFFER = 0.15;" in page
    assert "const DISAGREE = 0.4;" in page


def test_an_answer_says_what_its_reasons_contradict() -> None:
    answer = EmotionAnswer("unsure", "", 0.4)
    done = ReasonDoneEvent(0, {"fine": "This is angry."}, answer, contradictions=("face", "answer"))
    teller = opened()
    # Another moment was printed since, so the chain says which one it is about.
    said = teller.tell(done)
    assert said.startswith(
        "\n1:05  The reasons:\n      Weighing    This is angry.\n      Answer      unsure: the reasons"
    )
    assert "what was found in the face and the answer that they lead to" in " ".join(said.split())


def test_an_answer_says_that_its_reasons_were_written_again() -> None:
    answer = EmotionAnswer("happy", "", 0.7)
    for rewritten, says in (("yes", True), ("in vain", False), ("no", False)):
        said = opened().tell(ReasonDoneEvent(0, {"fine": "This is happy."}, answer, rewritten=rewritten))
        assert ("written a second time" in " ".join(said.split())) == says


@pytest.mark.parametrize("read", [True, False])
def test_an_answer_says_that_it_was_weighed_with_what_was_said(read: bool) -> None:
    answer = EmotionAnswer("sad", "", 0.7)
    said = opened().tell(ReasonDoneEvent(0, {"fine": "This is sad."}, answer, words_read=read))
    assert ("weighed with what was said" in said) == read


def test_an_answer_says_what_was_measured_otherwise() -> None:
    answer = EmotionAnswer("sad", "", 0.7)
    wrong = (UnsupportedStatement("face", 0, "Jaw slightly dropped"), UnsupportedStatement("voice", 0, "Louder"))
    said = opened().tell(ReasonDoneEvent(0, {"face": "Jaw slightly dropped."}, answer, unsupported=wrong))
    assert "Measured otherwise: jaw slightly dropped; louder.\n" in said
    assert "otherwise" not in opened().tell(ReasonDoneEvent(0, {"face": "Jaw slightly dropped."}, answer))


@pytest.mark.parametrize(
    ("source", "says"),
    [("measurements", "from what was measured, by a rule"), ("nothing", "no question that can be"), ("model", "")],
)
def test_an_answer_says_what_it_is_from(source: str, says: str) -> None:
    answer = EmotionAnswer("sad", "slight", 0.7)
    section = {"answer": "Three seconds ago, at 0:12: jaw clearly dropped. sad, slight"}
    said = " ".join(opened().tell(ReasonDoneEvent(0, section, answer, answered_from=source)).split())
    assert "Answer Three seconds ago, at 0:12: jaw clearly dropped. sad, slight" in said
    assert says in said
    assert ("rule" in said) == bool(says)


def test_an_answer_says_what_turned_it() -> None:
    answer = EmotionAnswer("sad", "slight", 0.7)
    said = " ".join(opened().tell(ReasonDoneEvent(0, {}, answer, turned_by=("second_look", "reasons"))).split())
    assert "(The first impression was another one: a second look at the face and the weighing turned it.)" in said
    assert "first impression" not in opened().tell(ReasonDoneEvent(0, {}, answer))


def test_questions_notes_and_errors_are_told_once() -> None:
    teller = opened()
    own = ("awake", "tired")
    assert teller.tell(window(1, query="Tired?", labels=own)) == "Asked: “Tired?”\nTo choose from: awake, tired.\n"
    assert teller.tell(window(2, query="Tired?", labels=own)) == ""
    assert opened().tell(window(1, labels=own)) == "To choose from: awake, tired.\n"
    # Somebody else may ask something else while the session goes on.
    assert teller.tell(window(3, query="Bored?", labels=own)) == "Asked: “Bored?”\n"
    read = replace(window(3, query="Is he smiling?", labels=own), read_as="Do you see eyes closed?")
    assert teller.tell(read) == "Asked: “Is he smiling?”, read as: “Do you see eyes closed?”\n"
    told = teller.tell(window(4))
    assert told.startswith("Nothing is asked any more.\nTo choose from: happy, sad, ")
    said = teller.tell(ErrorEvent("no_face", "No face is in view.", "Choose another part."))
    assert said == "0:00  No face is in view. Choose another part.\n"
    assert teller.tell(WordsEvent(1.0, 2.0, "Hello", "en", 0.9)) == "0:02  Said: “Hello”\n"
    # A stranger who marked trials read “Mark: trial” for each of them.
    assert teller.tell(MarkEvent("trial", {"number": 1, "word": "exam"})) == "0:00  Mark: trial (number 1, word exam)\n"
    assert teller.tell(MarkEvent("pause", {})) == "0:00  Mark: pause\n"
    assert "the reasons and quiet moments are left out" in teller.tell(LagEvent(9.0, 0, 1, "windows"))
    assert teller.tell(LagEvent(8.0, 0, 1, "windows")) == ""
    assert "caught up" in teller.tell(LagEvent(0.0, 0, 1, "nothing"))
    assert teller.tell(SessionClosedEvent("end of file")) == ""
    assert teller.tell(SessionClosedEvent("no media")) == "0:00  It ended: no media\n"


def test_a_section_that_begins_with_its_heading_says_it_once() -> None:
    """A newcomer read “Tendency    Tendency positive.” on 28 November."""
    done = ReasonDoneEvent(
        0, {"coarse": "Tendency positive. Both agree.", "fine": "Weighing"}, EmotionAnswer("joy", "", 1)
    )
    said = opened().tell(done)
    assert "      Overall     Tendency positive. Both agree.\n" in said
    assert "      Weighing    Weighing\n" in said


def test_who_comes_late_reads_when_a_moment_was_and_nothing_of_unknown_events() -> None:
    out = io.StringIO()
    write = printer(out, in_words=True)
    write(json.dumps({"v": 1, "session": "a", "seq": 7, "t": 65.0, "type": "of a newer server"}))
    shares = {"happy": 0.9, "sad": 0.1}
    label = {"window": 3, "label": "happy", "probabilities": shares, "source": "fast", "conflict": None}
    write(json.dumps({"v": 1, "session": "a", "seq": 8, "t": 65.4, "type": "label", **label}))
    assert out.getvalue() == "\n1:05  happy, 90 %\n"


def test_codes_that_a_terminal_obeys_are_not_passed_on() -> None:
    said = opened().tell(ErrorEvent("x", "\x1b]0;title\x07 red \x1b[31m", ""))
    assert "\x1b" not in said
    assert "\x07" not in said


def test_numbers_in_words() -> None:
    shares = {0.0: "<1 %", 0.005: "<1 %", 0.01: "1 %", 0.5: "50 %", 0.99: "99 %", 0.991: ">99 %", 1.0: ">99 %"}
    assert {share: percent(share) for share in shares} == shares
    assert [clock(seconds) for seconds in (0, 9.99, 75.4, 3600)] == ["0:00", "0:09", "1:15", "60:00"]
