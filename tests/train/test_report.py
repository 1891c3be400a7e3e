"""Reports, saved predictions, run_folder that are resumed, and the messages of the command."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from realtime.records import LABELS
from train import evaluate
from train.evaluation import ablation, predictions, run_folder
from train.evaluation.answering import Row
from train.evaluation.report import as_markdown, contradictions, report, write
from train.evaluation.turned import turned
from train.evaluation.variants import TABLE, Variant
from train.readers.clip import DataMissing


def rows() -> list[dict[str, Any]]:
    p = dict.fromkeys(LABELS, 0.05) | {"happy": 0.7}
    told = {"probabilities": p, "fast_probabilities": p, "fast": "happy", "told": "happy", "slices": {"sex": "female"}}
    return [
        {"key": "1", "truth": "happy", "answer": "happy", "folds": [1], "statements": 4, "true_statements": 3, **told},
        {"key": "2", "truth": "sad", "answer": None, "folds": [2], "parse": "names none", **told},
    ]


def test_the_report_has_the_agreed_keys_and_counts_the_unparsed_as_wrong(tmp_path: Path) -> None:
    result = report("dfew", "nano", "test", rows())
    assert {"benchmark", "model", "n", "unparsed", "metrics"} <= result.keys()
    assert (result["n"], result["unparsed"]) == (2, 1)
    assert {"accuracy", "uar", "war", "weighted_f1", "ece"} <= result["metrics"].keys()
    assert result["metrics"]["accuracy"] == result["metrics"]["war"] == 0.5
    assert result["metrics"]["faithfulness"] == 0.75
    assert result["slices"]["sex: female"]["n"] == 2
    assert result["folds"]["mean"]["war"] == 0.5
    write(result, tmp_path)
    assert (tmp_path / "confusion.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((tmp_path / "report.json").read_text("utf-8"))["n"] == 2
    assert "| sad | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 1 | 0.0 |" in as_markdown(result)


def test_answers_that_the_chain_turned_are_counted_and_shown() -> None:
    def row(truth: str, fast: str, answer: str) -> dict[str, Any]:
        sections = {"fine": f"It points to {answer}.", "face": "Cheeks clearly raised."}
        return {"key": truth, "truth": truth, "fast": fast, "answer": answer, "sections": sections}

    same = [row("happy", "happy", "happy")] * 96
    answers = [*same, *[row("sad", "angry", "sad")] * 3, row("fear", "fear", "surprise")]
    found = turned(answers)
    assert (found["right"]["n"], found["wrong"]["n"], found["difference"]) == (3, 1, 0.02)
    assert found["low"] < 0.02 < found["high"]
    assert found["right"]["between"] == {"angry → sad": 3}
    page = as_markdown(report("conflict", "nano", "test", answers))
    assert "| | | fear | fear | surprise | It points to surprise. |" in page
    assert "Cheeks" not in page
    assert turned([{"truth": "sad", "answer": "sad"}]) == {}


def test_arguments_that_were_written_again_are_counted() -> None:
    chain = {"face": "The expression is happy.", "voice": "The voice is sad.", "coarse": "Face and voice disagree."}
    holds, strays = ({"fine": f"The {face} face outweighs the sad voice: happy."} for face in ("happy", "fearful"))
    told = [("no", holds), ("no", holds), ("yes", holds), ("in vain", strays)]
    counted = contradictions([{"rewritten": again, "sections": chain | fine} for again, fine in told])
    assert counted == {"contradictions": 0.25, "compared": 4, "rewritten": 1, "rewritten_in_vain": 1}
    assert "rewritten" not in contradictions([{"sections": chain | holds}])


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_anybodys_predictions_are_scored(tmp_path: Path, suffix: str) -> None:
    told = [("clips/1.mp4", "The person is joyful."), ("2", "not sad")]
    path = tmp_path / f"theirs.{suffix}"
    if suffix == "csv":
        path.write_text("name,response\n" + "".join(f'"{k}","{v}"\n' for k, v in told), encoding="utf-8")
    else:
        path.write_text("".join(json.dumps({"id": k, "text": v}) + "\n" for k, v in told), encoding="utf-8")
    known: dict[str, Row] = {key: {"key": key, "truth": "happy", "slices": {}} for key in ("1", "2", "3")}
    scored = predictions.score(path, known, LABELS)
    assert [row["answer"] for row in scored] == ["happy", None, None]
    assert report("x", "theirs", "test", scored)["unparsed"] == 2


def test_predictions_for_another_set_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "theirs.csv"
    path.write_text("name,answer\nother,happy\n", encoding="utf-8")
    with pytest.raises(DataMissing, match="No key"):
        predictions.score(path, {"1": {"key": "1", "truth": "sad", "slices": {}}}, LABELS)
    with pytest.raises(DataMissing, match="no column truth"):
        predictions.score(path, None, LABELS)


def test_a_folder_of_another_run_is_refused_and_a_broken_line_named(tmp_path: Path) -> None:
    run_folder.claim(tmp_path, {"benchmark": "meld", "split": "test"})
    run_folder.claim(tmp_path, {"benchmark": "meld", "split": "test"})
    with pytest.raises(run_folder.OtherRun, match="split 'test', now 'valid'"):
        run_folder.claim(tmp_path, {"benchmark": "meld", "split": "valid"})
    (tmp_path / "answers.jsonl").write_text('{"key": "1"}\nnonsense\n{"key": "3"}\n', encoding="utf-8")
    with pytest.raises(run_folder.BrokenRun, match="line 2"):
        run_folder.read_answers(tmp_path / "answers.jsonl")


@pytest.mark.slow
def test_the_ablation_table_has_every_row_of_the_paper(tmp_path: Path) -> None:
    settings = {"benchmark": "conflict", "split": "test", "model": "nano"}
    made: list[Path] = []

    def answer(variant: Variant, out: Path) -> tuple[list[Any], tuple[str, ...]]:
        made.append(out)
        right = 0 if variant.name == "no face expert" else 1
        return [row | {"answer": "happy" if row["key"] in ("1",)[:right] else None} for row in rows()], LABELS

    result = ablation.table(tmp_path, settings, answer)
    ablation.write(result, tmp_path)
    page = (tmp_path / "ablation.md").read_text("utf-8")
    assert len(set(made)) == len(made) == len(result["rows"])
    names = {variant.name for variants in TABLE.values() for variant in variants}
    assert {"F", "B", "A", "F + B", "F + A", "F + B + A", "attention selection", "δ = 0.5", "λ = 4"} <= names
    assert all(f"| {name} |" in page for name in names)
    assert result["rows"]["F + B + A"]["minus_whole"] == {"war": 0.0, "war_95": [0.0, 0.0]}
    lost = result["rows"]["no face expert"]["minus_whole"]
    assert (lost["war"], lost["war_95"]) == (-0.5, [-1.0, 0.0])
    assert "-0.500 (-1.000 … +0.000) |" in page


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--benchmark", "meld", "--data", "{tmp}", "--out", "{tmp}/o"], "test_sent_emo.csv"),
        (["--benchmark", "dfew", "--data", "{tmp}/nowhere", "--out", "{tmp}/o"], "no folder"),
        (["--benchmark", "ferplus", "--data", "{tmp}", "--out", "{tmp}/o"], "ferplus48_q6.npz is missing"),
        (["--benchmark", "ferplus"], "--data is missing"),
        (["--compare", "{tmp}/a", "{tmp}/b"], "is missing"),
        (["--predictions", "{tmp}/none.csv", "--out", "{tmp}/o"], "There is no file"),
    ],
)
def test_mistakes_end_in_a_message(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["evaluate", *(part.format(tmp=tmp_path) for part in arguments)])
    with pytest.raises(SystemExit) as ended:
        evaluate.main()
    assert ended.value.code not in (0, None)
    told = capsys.readouterr().err
    assert message in told
    assert "Traceback" not in told
