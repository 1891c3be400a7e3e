"""Compound labels, ambivalence and named emotions against votes, on values that were worked out by hand."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from realtime.model.experts import EXPERT_LABELS
from realtime.records import LABELS
from train.evaluation import ambivalence, open_words
from train.metrics import own_wheel, votes, wheel

HALVES = 0.8112781 - 0.5
"Bits between (1, 0) and (1/2, 1/2): the entropy of their mean (3/4, 1/4) minus the mean of their entropies."


def test_the_divergence_by_hand() -> None:
    p_NL = np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.3, 0.7]])
    q_NL = np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5], [0.3, 0.7]])
    np.testing.assert_allclose(votes.divergence(p_NL, q_NL), [0, 1, HALVES, 0], atol=1e-6)


def test_the_floor_is_what_few_raters_cannot_tell() -> None:
    """Two raters of an even choice agree half of the time, and then say (1, 0); else both labels have a single vote."""
    assert votes.divergence_floor(np.array([[0.5, 0.5]] * 50), n_raters=2) == pytest.approx(HALVES, abs=1e-6)
    assert votes.divergence_floor(np.array([[1.0, 0.0]])) == 0
    few, many = (votes.divergence_floor(np.full((200, 4), 0.25), n_raters=n) for n in (10, 1000))
    assert few > 10 * many > 0


def test_a_compound_has_one_plain_second_label() -> None:
    votes_NL = np.array([[0.6, 0.3, 0.1], [0.5, 0.25, 0.25], [0.8, 0.2, 0.0], [0.3, 0.1, 0.6]])
    assert votes.compound(votes_NL).tolist() == [True, False, False, True]
    assert votes.two_highest(votes_NL)[[0, 3]].tolist() == [[0, 1], [0, 2]]


def test_a_face_is_ambivalent_without_a_majority() -> None:
    assert votes.ambivalent(np.array([[0.5, 0.5], [0.6, 0.4]])).tolist() == [True, False]
    np.testing.assert_allclose(votes.entropy(np.array([[0.5, 0.5], [1.0, 0.0]])), [1, 0], atol=1e-12)


def test_the_area_of_a_detection_by_hand() -> None:
    positive = np.array([True, True, False, False])
    assert votes.auroc(positive, np.array([4.0, 3.0, 2.0, 1.0]))[0] == 1
    value, interval = votes.auroc(positive, np.array([4.0, 1.0, 3.0, 2.0]))
    assert value == 0.5
    assert interval.low <= value <= interval.high
    # Of two positive and two negative scores, draws of one each twice give every area from 0 to 1.
    assert (interval.low, interval.high) == (0, 1)
    with pytest.raises(ValueError, match="positive and negative"):
        votes.auroc(np.ones(3, bool), np.zeros(3))


def test_a_model_that_tells_the_votes_is_perfect_and_its_first_label_alone_is_not() -> None:
    votes_NL = np.array([[0.6, 0.4, 0.0], [0.5, 0.0, 0.5], [1.0, 0.0, 0.0], [0.0, 0.9, 0.1]])
    found = ambivalence.measure(votes_NL, votes_NL, ambivalence.usual_second(votes_NL[:1]))
    assert (found["compounds"], found["ambivalent"]) == (2, 1)
    assert found["divergence"]["model"]["value"] == 0
    assert found["divergence"]["its likeliest label alone"]["value"] > 0.05
    assert found["two_highest"]["model"]["value"] == 1
    # The usual second of label 0 is 1: right for the first face, wrong for the second.
    assert found["two_highest"]["its likeliest label and the usual second"]["value"] == 0.5
    assert found["ambivalence_auroc"]["entropy"]["value"] == 1
    shy = ambivalence.measure(np.tile([0.4, 0.3, 0.3], (4, 1)), votes_NL, np.array([1, 0, 0]))
    assert shy["ambivalence_auroc"]["entropy"]["value"] == 0.5
    assert shy["divergence"]["model"]["value"] > 0.1


def test_own_words_go_to_their_emotion_and_its_side() -> None:
    wheels = own_wheel.own()
    assert [wheels.group(word, "own", "level2") for word in ("Furious", "colère", "worried", "amazed")] == [
        "angry", "angry", "fear", "surprise",
    ]  # fmt: skip
    assert wheels.group("worried", "own", "level1") == wheels.group("rage", "own", "level1") == "unpleasant"
    assert wheels.group("neutral", "own", "level1") is None
    assert {wheels.group(label, "own", "level2") for label in LABELS} == {*LABELS, None} - {"neutral"}


def test_named_emotions_are_held_to_all_that_were_voted() -> None:
    rows = [
        {
            "key": "1", "answer": "happy", "probabilities": {"happy": 0.7, "surprise": 0.25, "sad": 0.05},
            "sections": {"face": "Not angry. The expression is surprised.", "answer": "happy, strong"},
        },
        {"key": "2", "answer": "neutral", "probabilities": {"neutral": 0.9}, "sections": {"answer": "neutral"}},
    ]  # fmt: skip
    ways = open_words.told(rows)
    assert [words["1"] for words in ways.values()] == [["happy"], ["surprise", "happy"], ["happy", "surprise"]]
    found = open_words.measure(own_wheel.own(), {"1": ["happy", "surprise"], "2": ["neutral"]}, ways)
    assert (found["n"], found["on_the_wheel"]) == (2, 1), "neutral is on no wheel"
    answer, chain = (found["ways"][name]["wheel_level2"] for name in ("the answer", "the chain"))
    assert (answer["precision"], answer["recall"]) == (1, 0.5)
    assert chain == {"f1": 1, "precision": 1, "recall": 1}
    assert found["words"] == {"the answer": 1, "the chain": 1.5, "labels of 0.2 and more": 1.5}


@pytest.mark.parametrize("command", [ambivalence, open_words])
def test_the_commands_read_a_run(
    command: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """FER+ in its own file, and a run in the form of `train.evaluate`; then a folder that is none."""
    counts = np.zeros((6, 10), np.uint8)
    # neutral, happy, surprise, sad, …: ten votes each, in FER+'s order.
    counts[:, 0], counts[:, 1] = (9, 1, 5, 0, 0, 4), (1, 9, 5, 2, 6, 4)
    counts[:, 3] = 10 - counts.sum(1)
    (tmp_path / "ferplus").mkdir()
    np.savez(
        tmp_path / "ferplus" / "ferplus48_q6.npz",
        images=np.zeros((6, 48, 48), np.uint8), shift=2, votes=counts, split=np.array([0, 0, 2, 2, 2, 2]),
    )  # fmt: skip
    run = tmp_path / "run"
    run.mkdir()
    (run / "run.json").write_text(json.dumps({"benchmark": "ferplus"}))
    sure = dict.fromkeys(EXPERT_LABELS, 0.0) | {"happy": 0.6, "sad": 0.4}
    rows = [{"key": str(number), "answer": "happy", "truth": "happy", "probabilities": sure} for number in (2, 3, 4, 5)]
    (run / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.setattr(sys, "argv", ["command", str(run), "--data", str(tmp_path), "--json", str(tmp_path / "o.json")])
    assert command.main() == 0  # type: ignore[attr-defined]
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((tmp_path / "o.json").read_text("utf-8"))
    assert printed["n"] == 4
    if command is ambivalence:
        # Votes: 5 and 5, 8 sad and 2 happy, 6 happy and 4 sad, 4, 4 and 2.
        assert (printed["compounds"], printed["ambivalent"]) == (3, 2)
        assert printed["two_highest"]["model"]["value"] == pytest.approx(1 / 3, abs=1e-4)
    else:
        assert printed["ways"]["labels of 0.2 and more"]["wheel_level2"]["recall"] == 1
    monkeypatch.setattr(sys, "argv", ["command", str(tmp_path), "--data", str(tmp_path)])
    with pytest.raises(Exception, match=r"run\.json cannot be read"):
        command.main()  # type: ignore[attr-defined]


def test_wheel_metrics_take_the_wheel_as_they_take_the_published_ones() -> None:
    found = wheel.measure(own_wheel.own(), {"a": ["rage"], "b": ["sorrow"]}, {"a": ["fury"], "b": ["joy"]})
    assert found["hit"] == {"hit": 0.5, "n": 2}
    assert found["wheel_level1"]["f1"] == 0.5
