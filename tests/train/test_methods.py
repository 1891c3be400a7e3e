"""The table of methods, from runs whose answers are known."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from realtime.model.checkpoint import NANO
from realtime.model.config import Method
from train.evaluation import methods
from train.evaluation.compare import paired, paired_calibration
from train.metrics import bootstrap, places
from train.readers.clip import DataMissing

ROOT = Path(__file__).parents[2]
LABELS = ("happy", "sad")
Right = Callable[[int, int], bool]
"Sample, seed → whether the answer is right."


def write_run(work: Path, method: str, seed: int, right: Right, *, n: int = 60, skip: Sequence[str] = ()) -> None:
    folder = work / (method if method == methods.UNTRAINED else f"{method}-{seed}")
    for benchmark in (*methods.BENCHMARKS, methods.CHAINS):
        if benchmark in skip:
            continue
        rows: list[dict[str, Any]] = []
        for sample in range(n):
            truth = LABELS[sample % 2]
            answer = truth if right(sample, seed) else LABELS[1 - sample % 2]
            rows.append(
                {
                    "key": str(sample),
                    "truth": truth,
                    "answer": answer,
                    "slices": {"corpus": ("north", "south")[sample % 3 == 0]},
                    "parse": "label",
                    "probabilities": dict(zip(LABELS, (0.8, 0.2) if answer == "happy" else (0.2, 0.8), strict=True)),
                    "statements": 4,
                    "true_statements": 3 if sample % 2 else 4,
                }
            )
        (folder / benchmark).mkdir(parents=True)
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / benchmark / "answers.jsonl").write_text(text, encoding="utf-8")
        (folder / benchmark / "report.json").write_text("{}", encoding="utf-8")
    if methods.QUESTIONS not in skip:
        hits = {f"{sample} 4": right(sample, seed) for sample in range(n)}
        told = {"kinds": {"light": {"n": n, "hits": hits}}}
        for name in methods.COUNTED:
            (folder / f"{name}.json").write_text(json.dumps(told), encoding="utf-8")


def test_a_difference_is_of_the_same_samples_and_seeds(tmp_path: Path) -> None:
    for seed in range(3):
        write_run(tmp_path, "emothinker", seed, lambda sample, seed: (sample + seed) % 3 > 0)
        write_run(tmp_path, "hybrid", seed, lambda sample, seed: (sample + seed) % 3 > 0 or sample < 12)
        write_run(tmp_path, "emochat", seed, lambda sample, seed: (sample + seed) % 3 > 0)
    write_run(tmp_path, methods.UNTRAINED, 0, lambda sample, _seed: sample % 3 > 0)
    runs = methods.read_runs(tmp_path)
    better = methods.compared(runs, "hybrid")["conflict"]
    assert (better["n"], better["seeds"]) == (60, 3)
    assert better["value"] == pytest.approx(2 / 3 + 4 / 60, abs=1e-4)
    assert better["difference"] == pytest.approx(4 / 60, abs=1e-4)
    low, high = better["difference_95"]
    assert 0 < low < 4 / 60 < high < 0.15
    same = methods.compared(runs, "emochat")
    assert same["conflict"]["difference_95"] == [0, 0], "no difference in any draw of the same samples and seeds"
    assert same["faithfulness"]["value"] == pytest.approx(7 / 8)
    untrained = methods.compared(runs, methods.UNTRAINED)["conflict"]
    assert untrained["seeds"] == 3, "it stands beside each seed"
    assert untrained["difference"] == 0
    assert untrained["difference_95"][0] < 0 < untrained["difference_95"][1]


def test_of_one_seed_the_intervals_are_those_of_other_reports(tmp_path: Path) -> None:
    """They are drawn by other code there: `compare.paired`, `paired_calibration`, `metrics.bootstrap`."""
    write_run(tmp_path, "emothinker", 0, lambda sample, _seed: sample % 3 > 0, n=300)
    write_run(tmp_path, "hybrid", 0, lambda sample, _seed: sample % 5 > 0, n=300)
    runs = methods.read_runs(tmp_path)
    found = methods.compared(runs, "hybrid")
    a, b = ([runs[name][0]["conflict"][str(at)] for at in range(300)] for name in ("emothinker", "hybrid"))
    truth = [row["truth"] for row in a]
    known = paired(truth, [row["answer"] for row in a], [row["answer"] for row in b])["accuracy"]
    assert found["conflict"]["value"] == pytest.approx(known["b"], abs=1e-4)
    assert found["conflict"]["difference_95"] == pytest.approx([known["low"], known["high"]], abs=0.015)
    whole = bootstrap(np.array([row["answer"] == row["truth"] for row in b]))
    assert found["conflict"]["value_95"] == pytest.approx([whole.low, whole.high], abs=0.015)
    p_a, p_b = (np.array([[row["probabilities"][x] for x in LABELS] for row in 4 * side]) for side in (a, b))
    error = paired_calibration(p_a, p_b, places(4 * truth, LABELS))
    assert found["calibration error"]["n"] == 1200
    assert found["calibration error"]["value"] == pytest.approx(error["b"], abs=1e-4)
    assert found["calibration error"]["difference"] == pytest.approx(error["difference"], abs=1e-4)


def test_what_is_not_finished_is_left_out(tmp_path: Path) -> None:
    write_run(tmp_path, "emothinker", 0, lambda *_: True)
    write_run(tmp_path, "emothinker", 1, lambda *_: True, skip=["conflict"])
    write_run(tmp_path, "hybrid", 0, lambda *_: False, skip=["agree"])
    write_run(tmp_path, "hybrid", 1, lambda *_: False)
    found = methods.compared(methods.read_runs(tmp_path), "hybrid")
    assert {name: figure["seeds"] for name, figure in found.items() if name in methods.BENCHMARKS.values()} == {
        "FER+": 2, "voices": 2, "agree": 1, "conflict": 1,
    }  # fmt: skip
    assert "calibration error" not in found, "it is of all four benchmarks, which no seed has on both sides"


def test_voices_are_told_by_corpus_and_what_was_forgotten_by_questions(tmp_path: Path) -> None:
    write_run(tmp_path, "emothinker", 0, lambda sample, _seed: sample % 3 > 0)
    write_run(tmp_path, "full", 0, lambda sample, _seed: sample % 3 > 0 and sample > 20)
    found = methods.compared(methods.read_runs(tmp_path), "full")
    assert {name: (found[name]["n"], found[name]["value"]) for name in ("voices, north", "voices, south")} == {
        "voices, north": (40, pytest.approx(26 / 40)),
        "voices, south": (20, 0.0),
    }
    for column in methods.COUNTED.values():
        assert found[column]["n"] == 60
        assert found[column]["difference"] == pytest.approx(-14 / 60, abs=1e-4)


def test_what_is_judged_of_words_is_told_by_their_kind(tmp_path: Path) -> None:
    for method, right in (("emothinker", 3), ("emochat", 6)):
        write_run(tmp_path, method, 0, lambda *_: True)
        kinds = {"decide": {str(at): at < right for at in range(8)}, "plain": {"9": True}}
        told = json.dumps({"kinds": {kind: {"hits": hits} for kind, hits in kinds.items()}})
        (tmp_path / f"{method}-0" / "words.json").write_text(told, encoding="utf-8")
    found = methods.compared(methods.read_runs(tmp_path), "emochat")
    assert (found["words, decide"]["n"], found["words, decide"]["difference"]) == (8, pytest.approx(3 / 8))
    assert (found["words, plain"]["n"], found["words, plain"]["difference"]) == (1, 0.0)


def test_answers_to_questions_that_are_none_are_named(tmp_path: Path) -> None:
    write_run(tmp_path, "emothinker", 0, lambda *_: True)
    (tmp_path / "emothinker-0" / "questions.json").write_text('{"kinds": {"light": {"n": 3}}}', encoding="utf-8")
    with pytest.raises(DataMissing, match=r"questions\.json holds no answers that were counted by kind"):
        methods.read_runs(tmp_path)


def test_runs_that_were_asked_other_questions_are_not_compared(tmp_path: Path) -> None:
    """With twice the sessions, those of the same number are about other people and other cues."""
    write_run(tmp_path, "emothinker", 0, lambda *_: True)
    write_run(tmp_path, "full", 0, lambda *_: True, n=120)
    with pytest.raises(DataMissing, match=r"full-0/questions\.json and .* were asked other questions"):
        methods.read_runs(tmp_path)


def test_a_table_without_its_reference_is_refused(tmp_path: Path) -> None:
    write_run(tmp_path, "hybrid", 0, lambda *_: True)
    for work in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(DataMissing, match="holds no finished benchmark of emothinker"):
            methods.read_runs(work)


@pytest.mark.slow
def test_the_table_is_written_with_what_each_method_costs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    work, out = tmp_path / "work", tmp_path / "out"
    write_run(work, "emothinker", 0, lambda sample, _seed: sample % 3 > 0)
    write_run(work, methods.UNTRAINED, 0, lambda *_: True)
    adapter = work / "emothinker-0" / "adapter"
    adapter.mkdir()
    for name in ("emothinker.json", "emothinker.safetensors"):
        (adapter / name).write_bytes((NANO / name).read_bytes())
    (adapter / "run.json").write_text(json.dumps({"n_trained": 5, "result": {"steps": 7}}), encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["methods", str(work), "--out", str(out)])
    methods.main()
    result = json.loads((out / "methods.json").read_text("utf-8"))
    assert [*result["rows"]] == ["untrained", "emothinker"]
    assert result["rows"]["emothinker"]["trained"] == [{"parameters": 5, "steps": 7}]
    costs = [row["costs"] for row in result["rows"].values()]
    assert all(cost["tokens_of_a_frame"] > 16 and cost["label_ms"] > 0 for cost in costs)
    assert costs[0]["tokens_of_the_speech"] == costs[1]["tokens_of_the_speech"] > 10
    said = capsys.readouterr().out
    assert said == (out / "methods.md").read_text("utf-8")
    assert "| untrained |  | 1.000 (+0.333, " in said
    assert "| emothinker | 1 | 0.667 (" in said


def test_the_script_knows_the_methods() -> None:
    text = (ROOT / "train" / "runs" / "methods.sh").read_text("utf-8")
    subprocess.run(["bash", "-n", str(ROOT / "train" / "runs" / "methods.sh")], check=True)
    given = text.split('"${METHODS:=', 1)[1].split("}", 1)[0].split()
    assert set(get_args(Method)) <= set(given)
    (looped,) = [line for line in text.splitlines() if "for benchmark in" in line]
    assert {*methods.WHOLE} == set(looped.split(" in ")[1].strip(";do ").split())
    assert all(f'stage "$run/{name}"' in text for name in (methods.CHAINS, methods.WORDS, *methods.COUNTED))
