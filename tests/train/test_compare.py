"""Paired comparison of two runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import f1_score, recall_score

from train.evaluation.compare import compare, main, paired, read_run
from train.readers.clip import DataMissing


def test_a_clear_gain_is_told_from_none() -> None:
    truth = ["sad"] * 400
    a = ["sad" if index % 2 else "happy" for index in range(400)]
    b = ["happy" if index % 4 == 2 else "sad" for index in range(400)]
    gain = paired(truth, a, b)["accuracy"]
    assert gain["difference"] == pytest.approx(0.25)
    assert 0 < gain["low"] < 0.25 < gain["high"]
    assert gain["not_better"] == 0
    same = paired(truth, a, a)["accuracy"]
    assert (same["low"], same["high"], same["not_better"]) == (0, 0, 1)


def test_each_figure_is_the_libraries_own_and_its_interval_that_of_drawn_samples() -> None:
    rng = np.random.default_rng(1)
    labels = np.array(["happy", "sad", "fear"])
    truth_N, a_N, b_N = (rng.choice(3, 300, p=p) for p in ([0.6, 0.3, 0.1], [0.5, 0.4, 0.1], [0.4, 0.4, 0.2]))
    b_N = np.where(rng.random(300) < 0.4, truth_N, b_N)
    told = [None if place < 5 else str(labels[given]) for place, given in enumerate(a_N)]
    found = paired(list(labels[truth_N]), told, list(labels[b_N]))
    read = [one or "" for one in told]
    assert found["accuracy"]["a"] == pytest.approx(np.mean(labels[truth_N] == np.array(read)))
    assert found["uar"]["a"] == pytest.approx(recall_score(labels[truth_N], read, labels=labels, average="macro"))
    assert found["weighted_f1"]["b"] == pytest.approx(f1_score(labels[truth_N], labels[b_N], average="weighted"))
    drawn = [
        (truth_N[rows] == b_N[rows]).mean() - (labels[truth_N[rows]] == np.array(read)[rows]).mean()
        for rows in rng.integers(0, 300, (2000, 300))
    ]
    low, high = np.percentile(drawn, [2.5, 97.5])
    assert found["accuracy"]["low"] == pytest.approx(low, abs=0.02)
    assert found["accuracy"]["high"] == pytest.approx(high, abs=0.02)


def write(folder: Path, *rows: tuple[str, str, str | None]) -> Path:
    folder.mkdir()
    lines = [json.dumps({"key": key, "truth": truth, "answer": answer}) + "\n" for key, truth, answer in rows]
    (folder / "answers.jsonl").write_text("".join(lines), encoding="utf-8")
    return folder


def test_runs_are_compared_where_both_answered_and_on_one_truth(tmp_path: Path) -> None:
    a = write(tmp_path / "a", ("1", "sad", "sad"), ("2", "happy", None), ("3", "happy", "sad"))
    b = write(tmp_path / "b", ("1", "sad", "sad"), ("2", "happy", "happy"))
    found = compare(a, b)
    assert (found["n"], found["only_in_a"], found["only_in_b"]) == (2, 1, 0)
    assert (found["accuracy"]["a"], found["accuracy"]["b"]) == (0.5, 1.0)
    with pytest.raises(DataMissing, match="truth of '1' is 'sad'"):
        compare(a, write(tmp_path / "c", ("1", "happy", "sad")))
    with pytest.raises(DataMissing, match="share no sample"):
        compare(a, write(tmp_path / "d", ("9", "happy", "sad")))


def test_an_unreadable_line_is_named(tmp_path: Path) -> None:
    rows = [json.dumps({"key": "1", "answer": None, "truth": "sad"}), '{"key": "2", "ans']
    (tmp_path / "answers.jsonl").write_text("\n".join(rows), encoding="utf-8")
    with pytest.raises(DataMissing, match="line 2"):
        read_run(tmp_path)


def test_a_missing_run_ends_in_a_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["train.evaluation.compare", str(tmp_path), str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 3
    assert "it is missing" in capsys.readouterr().err
