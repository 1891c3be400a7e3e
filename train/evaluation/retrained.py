"""The ablation table of rows that were trained each by itself (`train/runs/ablation.sh`), in the form of the paper.

    realtime train evaluation.retrained WORK --out OUT

WORK has a folder for each row, with the adapter and one evaluated run for each benchmark:

    WORK/F_B/adapter/run.json          the row's name: `variant`
    WORK/F_B/conflict/answers.jsonl    what train.evaluate --fast wrote
    WORK/F_B/prior/conflict/answers.jsonl    the same of validation people, where there is any

All rows answered the same samples, so each is compared with the whole model on these (paired bootstrap). After a short
training some labels are too likely as such. Where a row has answers of validation people, its labels are also counted
with a temperature and a bias of its own, fitted on these (`nano/fit_calibration.py`).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from realtime.commands.program_parser import ProgramParser
from realtime.errors import BadSettings
from realtime.outputs import refuse_input
from train import metrics
from train.arrays import Floats
from train.command import run_command, write_json
from train.evaluation.ablation import minus_whole
from train.evaluation.report import rounded
from train.evaluation.variants import TABLE, WHOLE
from train.nano.fit_calibration import fit_state

ANSWERS = "answers.jsonl"
KEPT = ("steps", "batch", "accumulate", "lr", "seed", "adapter", "precision")
"Settings of the training that the table tells."
FITTED = "prior"
"Folder of a row's answers of validation people."
SCORES = "fast_probabilities"
LEAST = 1e-9
"A probability of zero has no logarithm."


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = ProgramParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="folder of ablation.json and ablation.md")
    return parser.parse_args(words)


def table(work: Path) -> dict[str, Any]:
    """The rows that are finished, by benchmark. Raises BadSettings where the whole model is not among them."""
    runs = {path.parents[1]: json.loads(path.read_text(encoding="utf-8")) for path in work.glob("*/adapter/run.json")}
    rows = {run["variant"]: folder for folder, run in runs.items()}
    if WHOLE.name not in rows:
        raise BadSettings(f"{work} has no whole model to compare with.", f"Train the row '{WHOLE.name}' first.")
    order = dict.fromkeys(each.name for variants in TABLE.values() for each in variants if each.name in rows)
    found: dict[str, dict[str, Any]] = {}
    for answers in sorted(rows[WHOLE.name].glob(f"*/{ANSWERS}")):
        benchmark, whole = answers.parent.name, answered(answers)
        for name in order:
            path = rows[name] / benchmark / ANSWERS
            # A row that is still being answered has fewer.
            if path.is_file() and (own := answered(path)).keys() == whole.keys():
                told = row(right(own), right(whole))
                fitted, fitted_whole = refitted(own, rows[name]), refitted(whole, rows[WHOLE.name])
                if fitted is not None and fitted_whole is not None:
                    told[FITTED] = row(fitted, fitted_whole)
                found.setdefault(benchmark, {})[name] = told
    described = runs[rows[WHOLE.name]]
    settings = {name: described["settings"].get(name) for name in KEPT}
    return {"model": described["model"], "n_records": described["n_records"], "settings": settings, "benchmarks": found}


def answered(path: Path) -> dict[str, dict[str, Any]]:
    """Key of each sample → its row."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {row["key"]: row for row in rows}


def right(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, bool]:
    """Key of each sample → whether it was answered rightly."""
    return {key: row["answer"] == row["truth"] for key, row in rows.items()}


def refitted(rows: Mapping[str, Mapping[str, Any]], folder: Path) -> dict[str, bool] | None:
    """Whether the likeliest label is right after the fit of `FITTED` in the row's folder; None without such answers."""
    paths = sorted(folder.glob(f"{FITTED}/*/{ANSWERS}"))
    seen = [each for path in paths for each in answered(path).values() if each.get(SCORES)]
    if not seen:
        return None
    labels = list(seen[0][SCORES])
    target_N = np.array([labels.index(each["truth"]) for each in seen])
    weights, bias = fit_state(log_p(seen, labels)[:, None], target_N, np.ones(len(seen)))
    told = {key: each for key, each in rows.items() if each.get(SCORES)}
    best = (weights[0] * log_p(list(told.values()), labels) + bias).argmax(1)
    answers = dict(zip(told, (labels[index] for index in best), strict=True))
    # What showed neither face nor voice has no scores, and stays as it was answered.
    return {key: answers.get(key, each["answer"]) == each["truth"] for key, each in rows.items()}


def log_p(rows: Sequence[Mapping[str, Any]], labels: Sequence[str]) -> Floats:
    """(N, L) log-probabilities of the fast labels."""
    scores: Floats = np.log(np.maximum([[each[SCORES][label] for label in labels] for each in rows], LEAST))
    return scores


def row(hits: dict[str, bool], whole: dict[str, bool]) -> dict[str, Any]:
    hits_N = np.array(list(hits.values()), bool)
    interval = metrics.bootstrap(hits_N)
    return {
        "n": len(hits_N),
        "right": rounded(hits_N.mean()),
        "right_95": [rounded(interval.low), rounded(interval.high)],
        "minus_whole": minus_whole(hits, whole),
    }


def as_markdown(result: dict[str, Any]) -> str:
    """One table for each benchmark."""
    lines = [
        "# Ablations, each row trained by itself",
        "",
        f"Model {result['model']}, {result['n_records']} windows, settings {json.dumps(result['settings'])}.",
        "",
        "`F` are focal tokens and the cue tokens of faces, `B` background tokens, `A` everything heard. The last",
        f"column is the difference from `{WHOLE.name}` on the same samples.",
    ]
    for benchmark, rows in result["benchmarks"].items():
        lines += rows_as_markdown(benchmark, rows)
        if any(FITTED in each for each in rows.values()):
            own = {name: each[FITTED] for name, each in rows.items() if FITTED in each}
            lines += ["", "With a temperature and a bias of each row's own, fitted on validation people:"]
            lines += rows_as_markdown(benchmark, own)
    return "\n".join(lines) + "\n"


def rows_as_markdown(benchmark: str, rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    lines = ["", f"| {benchmark} | n | right | 95 % | − whole (95 %) |", "| --- | ---: | ---: | ---: | ---: |"]
    for name, each in rows.items():
        (low, high), (least, most) = each["right_95"], each["minus_whole"]["war_95"]
        less = f"{each['minus_whole']['war']:+.3f} ({least:+.3f} … {most:+.3f})" if name != WHOLE.name else ""
        lines.append(f"| {name} | {each['n']} | {each['right']:.3f} | {low:.3f}–{high:.3f} | {less} |")
    return lines


def main(words: Sequence[str] | None = None) -> None:
    args = parse(words)
    refuse_input(args.out, args.work)
    result = table(args.work)
    args.out.mkdir(parents=True, exist_ok=True)
    write_json(args.out / "ablation.json", result)
    text = as_markdown(result)
    (args.out / "ablation.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    run_command(main, "train.evaluation.retrained")
