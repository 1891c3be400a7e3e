"""Words put to faces and voices: which words a case gets, and that a model is counted with them and without."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from realtime.engine.loading import LoadedModel
from realtime.records import LABELS, Answer, Label, Question, Window
from tests.reason.windows import BOTH
from train.coet.measured import TENDENCY
from train.coet.questions import MEANT
from train.evaluation import said
from train.evaluation.batch import ChainAnswer
from train.evaluation.judged import JudgedWindow
from train.evaluation.said import CASES, WITHOUT, count, count_judged, spoken, wanted
from train.evaluation.samples import SAMPLES
from train.evaluation.served import Served

TRUTHS = ("neutral", "happy", "sad", "angry", "surprise", "neutral", "neutral")


class Written:
    def __init__(self, _data: Path, _part: str, *, as_read: bool) -> None:
        assert not as_read

    def of(self, label: str, _rng: np.random.Generator) -> str:
        return f"It is all about {label}."


@pytest.fixture(autouse=True)
def pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each speaker's pairs, perceived."""
    seen = [(SimpleNamespace(truth=truth), replace(BOTH, index=n)) for n, truth in enumerate(TRUTHS)]
    monkeypatch.setattr(said, "perceive", lambda *_args: (seen, []))
    monkeypatch.setitem(SAMPLES, "agree", lambda *_args: iter(()))
    monkeypatch.setattr(said, "WrittenSentences", Written)


def test_words_fit_the_case() -> None:
    assert "neutral" not in wanted("decide", "neutral")
    assert wanted("against", "happy") == [name for name in LABELS if TENDENCY[name] == "negative"]
    assert wanted("against", "angry") == ["happy"]
    assert wanted("against", "surprise") == []
    assert wanted("same", "fear") == ["fear"]
    assert wanted("plain", "fear") == ["neutral"]


def test_words_decide_where_face_and_voice_show_nothing_and_nowhere_else(nano: LoadedModel) -> None:
    found = list(spoken(nano, Path(), "test", 9, np.random.default_rng(0)))
    assert [one.case for one in found] == ["decide", "against", "same", "plain", "decide", "plain"]
    assert [one.truth for one in found if one.case != "decide"] == ["happy", "sad", "angry", "neutral"]
    assert all(one.truth == one.said != "neutral" for one in found if one.case == "decide")


class TakesWords:
    """Answers with the emotion that the words name, else neutral, and that all words are meant. It keeps the words.

    Of a real model nobody would know what its answers have to come to.
    """

    def __init__(self) -> None:
        self.given: list[list[str]] = []

    def chains(self, _model: Served, windows: Sequence[Window], _ask: Question) -> list[ChainAnswer]:
        self.given.append([one.said for one in windows])
        return [self._answer(next((name for name in LABELS if name in one.said), "neutral")) for one in windows]

    def _answer(self, name: str) -> ChainAnswer:
        label = Label(name, {name: 1.0}, "fast", None)
        return ChainAnswer(label, {"answer": MEANT}, {}, Answer(name, "moderate", 1.0), {name: 1.0}, "no")


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> TakesWords:
    stand_in = TakesWords()
    monkeypatch.setattr(said, "chains", stand_in.chains)
    return stand_in


def test_a_model_that_does_not_read_words_answers_the_same_with_and_without(
    nano: LoadedModel, answering: TakesWords
) -> None:
    cases: dict[str, Any] = count(nano, Path(), "test", 9)["cases"]
    assert set(cases) == set(CASES)
    assert [case["n"] for case in cases.values()] == [2, 1, 1, 2]
    for case in cases.values():
        assert case["changed"] == 0.0
        assert case["right"] == case["right_without"]
    assert not any(words for one in answering.given for words in one)


def test_a_model_that_reads_them_is_given_them_and_its_answers_are_counted(
    nano: LoadedModel, answering: TakesWords, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = nano.weights.config
    monkeypatch.setattr(nano.weights, "config", replace(config, emotion=replace(config.emotion, words=True)))
    figures = count(nano, Path(), "test", 9)
    heard, silent, *meant = answering.given
    assert all(heard)
    assert not any(silent)
    assert sorted(words for one in meant for words in one) == sorted(heard)
    counted = {case: {k: v for k, v in of.items() if k != "n"} for case, of in figures["cases"].items()}
    assert counted == {
        "decide": {"right": 1.0, "right_without": 0.0, "changed": 1.0, "meant": 1.0},
        "against": {"right": 0.0, "right_without": 0.0, "changed": 1.0, "meant": 0.0},
        "same": {"right": 1.0, "right_without": 0.0, "changed": 1.0, "meant": 1.0},
        "plain": {"right": 0.5, "right_without": 0.5, "changed": 0.0, "meant": 0.0},
    }
    assert figures["should_n"] == 3
    assert figures["as_it_should"] == pytest.approx(2 / 3, abs=1e-3)
    assert figures["as_it_should_without"] == 0.0
    low, high = figures["as_it_should_95"]
    assert low < 2 / 3 < high


def test_what_is_judged_is_counted_by_case_with_words_and_without(
    nano: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = nano.weights.config
    monkeypatch.setattr(nano.weights, "config", replace(config, emotion=replace(config.emotion, words=True)))

    def judgements(_model: Served, seen: Sequence[tuple[str, Window]]) -> list[JudgedWindow]:
        """What the words say, else happy; the fast label never changes."""
        named = [next((name for name in LABELS if name in window.said), "happy") for _, window in seen]
        shares = [{label: 0.0 if label == name else -9.0 for label in LABELS} for name in named]
        return [JudgedWindow({"sad": 1.0}, each, truth) for (truth, _), each in zip(seen, shares, strict=True)]

    monkeypatch.setattr(said, "judgements", judgements)
    kinds = count_judged(nano, Path(), "test", 9)["kinds"]
    assert {kind: each["right"] for kind, each in kinds.items()} == {
        "decide": 1.0,
        f"decide{WITHOUT}": 0.0,
        "against": 0.0,
        f"against{WITHOUT}": 1.0,
        "same": 1.0,
        f"same{WITHOUT}": 0.0,
        "plain": 0.5,
        f"plain{WITHOUT}": 0.0,
    }
    assert kinds["decide"]["hits"] == {"0": True, "4": True}
    assert kinds["decide"]["probability"] == pytest.approx(1 / (1 + 6 * np.exp(-9)), abs=1e-4)
    assert kinds["against"]["probability"] == pytest.approx(0.0, abs=1e-3)
    assert sum(each["n"] for each in kinds.values()) == 2 * 6
