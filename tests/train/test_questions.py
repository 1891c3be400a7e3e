"""Questions with known answers: what each kind answers, what cannot be told, and which wordings are kept apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from realtime.reason.chain import read_answer
from realtime.reason.measurements import CUE_WORDS
from realtime.reason.prompt import LABELS
from realtime.records import About, Answer, Label, Question, Window
from tests.train.observations import person, shares, voice
from train.coet.measured import Observation, WordsRead
from train.coet.questions import (
    DECLINED,
    MEANT,
    NO_FACE,
    NO_USUAL,
    NO_VOICE,
    NOT_MEANT,
    PARTLY_MEANT,
    PLAIN_WORDS,
    UNCHANGED,
    UNTOLD,
    KnownQuestion,
    ask,
)
from train.coet.wordings import ASKED, HELD_OUT, KINDS, all_wordings, worded
from train.evaluation import questions
from train.evaluation.batch import ChainAnswer
from train.evaluation.questions import AskedWindow, on_a_hair, right
from train.evaluation.served import Served
from train.evaluation.staged import NOT_MEASURED, Paraphrase

SMILE = replace(person({"lip_corner_pull": 0.8, "jaw_drop": 0.4}, shares(happy=0.9, neutral=0.1)), appeared_s=3.2)
SCOWL = person({"brow_lower": 0.6}, shares(angry=1.0))
LOUD = replace(voice(shares(sad=1.0), loudness_db=2.0, pitch_hz=-0.8), began_s=1.9)
SAD_WORDS = WordsRead("I cried all day.", shares(sad=0.9, neutral=0.1))
SEEN = Observation((SMILE, SCOWL), brightness=0.8, voice=LOUD, shares=shares(happy=0.8, sad=0.2), words=SAD_WORDS)


@pytest.mark.parametrize(
    ("kind", "cue", "answer"),
    [
        ("presence", "lip_corner_pull", "Yes, strongly"),
        ("presence", "nose_wrinkle", "No"),
        ("degree", "jaw_drop", "Slightly"),
        ("degree", "nose_wrinkle", "Not at all"),
        ("who", "lip_corner_pull", "Person A"),
        ("who", "brow_lower", "Person B"),
        ("count", "", "Two people"),
        ("loudness", "", "Much louder"),
        ("pitch", "", "Lower in pitch"),
        ("rate", "", "As usual"),
        ("agreement", "", "They disagree"),
        ("valence", "", "Pleasant"),
        ("arousal", "", "Excited"),
        ("sureness", "", "Sure"),
        ("when", "", "Three seconds ago"),
        ("order", "", "The face changed before the voice began"),
        ("light", "", "Bright"),
        ("words", "", "Downcast words"),
        ("meant", "", NOT_MEANT),
        ("declined", "", DECLINED),
        ("untold", "", UNTOLD),
    ],
)
def test_an_answer_follows_from_what_was_measured(kind: str, cue: str, answer: str) -> None:
    assert KnownQuestion(kind, "?", cue).answer(SEEN) == answer  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("said", "answer"), [("neutral", PLAIN_WORDS), ("happy", MEANT), ("surprise", PARTLY_MEANT), ("angry", NOT_MEANT)]
)
def test_words_are_meant_where_face_and_voice_come_to_the_same(said: str, answer: str) -> None:
    words = WordsRead("So.", shares(**{said: 1.0}))
    assert KnownQuestion("meant", "?").answer(replace(SEEN, words=words)) == answer
    assert KnownQuestion("meant", "?").answer(replace(SEEN, words=None)) == UNTOLD
    assert KnownQuestion("words", "?").answer(replace(SEEN, words=None)) == UNTOLD


def test_what_is_not_there_is_said_to_be_missing() -> None:
    nobody, silent = replace(SEEN, people=()), replace(SEEN, voice=None)
    strange = replace(SEEN, voice=replace(LOUD, usual_known=False))
    assert KnownQuestion("presence", "?", "jaw_drop").answer(nobody) == NO_FACE
    assert KnownQuestion("loudness", "?").answer(silent) == NO_VOICE
    assert KnownQuestion("pitch", "?").answer(strange) == NO_USUAL
    assert KnownQuestion("agreement", "?").answer(nobody) == NO_FACE
    assert KnownQuestion("agreement", "?").answer(silent) == NO_VOICE
    assert KnownQuestion("valence", "?").answer(replace(SEEN, shares=None)) == UNTOLD
    still = replace(SEEN, people=(replace(SMILE, appeared_s=None),))
    assert KnownQuestion("when", "?").answer(still) == KnownQuestion("order", "?").answer(still) == UNCHANGED
    assert KnownQuestion("count", "?").answer(nobody) == "Nobody"


def test_no_wording_is_both_trained_and_held_out_and_none_belongs_to_two_kinds() -> None:
    by_kind = {
        kind: {text for pattern in (*ASKED[kind], *HELD_OUT[kind]) for text in all_wordings(pattern)} for kind in KINDS
    }
    texts = [text.lower() for kind in KINDS for text in by_kind[kind]]
    assert len(set(texts)) == len(texts)
    trained = {text.lower() for kind in KINDS for pattern in ASKED[kind] for text in all_wordings(pattern)}
    assert not trained & {text.lower() for kind in KINDS for text in HELD_OUT[kind]}
    assert set(ASKED) == set(HELD_OUT) == set(KINDS)
    assert min(len(texts) for texts in by_kind.values()) > 20
    assert min(len(wordings) for wordings in HELD_OUT.values()) >= 2


def test_a_pattern_gives_each_of_its_wordings_and_no_other() -> None:
    pattern = "Is [it|this] [bright|dark][| here]?"
    found = {worded(pattern, np.random.default_rng(seed)) for seed in range(200)}
    assert found == set(all_wordings(pattern))
    assert len(found) == 8


def test_a_question_asks_for_a_cue_that_is_answered_clearly() -> None:
    for seed in range(60):
        rng = np.random.default_rng(seed)
        asked = ask("presence", SEEN, rng, held_out=seed % 2 == 0)
        assert any(words in asked.text.lower() for words in CUE_WORDS[asked.cue])
        assert abs(SMILE.intensities[asked.cue] - 0.3) > 0.07


def test_an_answer_names_no_label_so_that_the_label_after_it_is_read() -> None:
    for kind in KINDS:
        for seen in (SEEN, replace(SEEN, people=()), replace(SEEN, voice=None)):
            text = f"{ask(kind, seen, np.random.default_rng(1)).answer(seen)}. fear, slight"
            read = read_answer(text, LABELS)
            assert (read.label, read.intensity) == ("fear", "slight")


def test_a_cue_is_not_asked_about_on_a_hair() -> None:
    asked = KnownQuestion("presence", "?", "brow_lower")
    hair = replace(SMILE, intensities={**SMILE.intensities, "brow_lower": 0.33})
    assert on_a_hair(asked, replace(SEEN, people=(hair,)))
    assert not on_a_hair(asked, SEEN)
    assert not on_a_hair(asked, replace(SEEN, people=()))


def test_next_to_a_limit_both_words_are_right_and_far_from_it_one() -> None:
    loud = KnownQuestion("loudness", "?")
    nearly = replace(SEEN, voice=replace(LOUD, relative={**LOUD.relative, "loudness_db": 0.6}))
    assert right(loud, nearly, "Louder. happy, slight")
    assert right(loud, nearly, "As usual. happy, slight")
    assert not right(loud, nearly, "Quieter. happy, slight")
    assert right(loud, SEEN, "louder. happy, slight"), "how much is not asked"
    assert not right(loud, SEEN, "As usual. happy, slight")
    alone = "than usual; no earlier stretch of speech is there to compare with. happy, slight"
    assert right(loud, SEEN, f"Louder {alone}"), "as a rule tells it"
    assert not right(loud, SEEN, f"Quieter {alone}")
    smile = KnownQuestion("degree", "?", "lip_corner_pull")
    assert right(smile, SEEN, "Strongly. happy, strong")
    assert right(smile, SEEN, "Clearly. happy, strong"), "0.8 lies within half a step of its limit"
    assert not right(smile, SEEN, "Not at all. happy, strong")
    there = KnownQuestion("presence", "?", "lip_corner_pull")
    assert right(there, SEEN, "Yes, slightly. happy, strong")
    assert not right(there, SEEN, "No. happy, strong")
    assert not right(there, SEEN, "happy, strong"), "a label alone answers nothing"


def test_answers_are_counted_by_kind_and_in_all_and_what_was_invented(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in is right about a cue, and invents one of three answers that nobody should give."""
    pairs = [SimpleNamespace(session="a") for _ in range(20)]
    monkeypatch.setattr(questions, "SAMPLES", {name: lambda *_args: pairs for name in ("agree", "conflict")})
    monkeypatch.setattr(questions, "ASKED_KINDS", ("presence", "declined"))

    def session(
        _model: object, _samples: object, asked: KnownQuestion, _question: Question, *, agree: bool
    ) -> Iterator[AskedWindow]:
        assert agree, "one session of each kind"
        kind = asked.kind
        texts = {"presence": ["Is she smiling?"] * 3, "declined": ["Who is this?", "Tell me her age.", "Is it so?"]}
        for text in texts[kind]:
            yield AskedWindow(Window(0, 0.0, 1.0, (), ()), KnownQuestion(kind, text, "nose_wrinkle"), SEEN)

    def chains(_model: object, windows: Sequence[Window], ask: Question) -> list[ChainAnswer]:
        told = [f"{DECLINED}. happy", f"{UNTOLD}. happy", "He is John. happy"] if ask.about is None else ["Yes."] * 3
        label = Label("happy", {"happy": 1.0}, "fast", None)
        return [
            ChainAnswer(
                label,
                {"answer": text},
                {},
                Answer("happy", "", 1.0),
                {"happy": 1.0},
                "no",
                told="No. happy" if text == "Yes." else text,
                answered_from="measurements" if text == "Yes." else "model",
            )
            for text in told
        ]

    monkeypatch.setattr(questions, "session", session)
    monkeypatch.setattr(questions, "chains", chains)
    model = cast(Served, SimpleNamespace(name="ours", answer_model="nano", labels=LABELS, open_labels=False))
    asked = questions.as_served(model, "Is she smiling?", "presence")
    assert (asked.query, asked.read_as) == ("Is she smiling?", "Do you see lip corners pulled up?")
    assert questions.as_served(model, "Who is she?", "declined") == Question("Who is she?", LABELS)
    assert questions.as_served(model, "Quelle heure est-il ?", "untold").about == About("untold")
    found = questions.count(model, Path(), "test", 1)
    assert (found["model"], found["answered_by"]) == ("ours", "nano")
    assert (found["n"], found["n_wrong"], found["right"]) == (6, 2, 0.667)
    assert found["right_95"][0] < 0.667 < found["right_95"][1]
    assert [found["kinds"][kind]["n_wrong"] for kind in ("presence", "declined")] == [0, 2]
    presence = found["kinds"]["presence"]
    assert (presence["own"], presence["from"]) == (0.0, {"measurements": 3}), "the model said that it is there"
    assert (found["not_judged"], found["invented"], found["declined_at_the_door"]) == (3, 1, 2)


def test_wordings_of_a_file_are_asked_as_on_a_page_and_it_is_counted_how_they_are_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pairs = [SimpleNamespace(session="a") for _ in range(20)]
    monkeypatch.setattr(questions, "SAMPLES", {name: lambda *_args: pairs for name in ("agree", "conflict")})
    put = list[Question]()

    def session(
        _model: object, _samples: object, asked: KnownQuestion, question: Question, *, agree: bool
    ) -> Iterator[AskedWindow]:
        put.append(question)
        yield AskedWindow(Window(0, 0.0, 1.0, (), ()), asked, SEEN)

    def chains(_model: object, windows: Sequence[Window], question: Question) -> list[ChainAnswer]:
        text = "That cannot be told from this. sad" if question.about == About("untold") else "No. sad"
        answer = ChainAnswer(
            Label("sad", {}, "fast", None), {"answer": text}, {}, Answer("sad", "", 1.0), {}, "no", told=text
        )
        return [answer] * len(windows)

    monkeypatch.setattr(questions, "session", session)
    monkeypatch.setattr(questions, "chains", chains)
    model = cast(Served, SimpleNamespace(name="ours", answer_model="nano", labels=LABELS, open_labels=False))
    said = {
        "presence": [
            Paraphrase("Is the nose wrinkled?", "nose_wrinkle"),
            Paraphrase("Is the chin raised?", NOT_MEASURED),
            Paraphrase("Is it dark?", "nose_wrinkle"),
        ],
        "declined": [Paraphrase("How old is she?"), Paraphrase("What colour is her car?"), Paraphrase("Is it dark?")],
    }
    kinds = questions.count(model, Path(), "test", 3, kinds=("presence", "declined"), said=said)["kinds"]
    assert (kinds["presence"]["right"], kinds["presence"]["read"], kinds["presence"]["other"]) == (1.0, 0.667, 0.333)
    assert (kinds["declined"]["right"], kinds["declined"]["read"], kinds["declined"]["other"]) == (0.667, 0.333, 0.333)
    assert kinds["declined"]["from"] == {"door": 1, "model": 2}
    assert [question.about for question in put] == [
        About("presence", "nose_wrinkle"),
        About("untold"),
        About("light"),
        About("untold"),
        About("untold"),
        About("light"),
    ]
