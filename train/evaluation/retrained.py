"""The ablation table of rows that were trained each by itself (`train/runs/ablation.sh`), in the form of the paper.

    realtime train evaluation.retrained WORK --out OUT

WORK has a folder for each row, with the adapter and one evaluated run for each benchmark:

    WORK/F_B/adapter/run.json          the row's name: `variant`
    WORK/F_B/conflict/answers.jsonl    what train.evaluate --fast wrote

All rows answered the same samples, so each is compared with the whole model on these (paired bootstrap).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from realtime.commands.program_parser import ProgramParser
from realtime.errors import BadSettings
from realtime.outputs import refuse_input
from train import metrics
from train.command import run_command, write_json
from train.evaluation.ablation import minus_whole
from train.evaluation.report import rounded
from train.evaluation.variants import TABLE, WHOLE

ANSWERS = "answers.jsonl"
KEPT = ("steps", "batch", "accumulate", "lr", "seed", "adapter")
"Settings of the training that the table tells."


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
        benchmark, whole = answers.parent.name, right(answers)
        for name in order:
            path = rows[name] / benchmark / ANSWERS
            # A row that is still being answered has fewer.
            if path.is_file() and (hits := right(path)).keys() == whole.keys():
                found.setdefault(benchmark, {})[name] = row(hits, whole)
    described = runs[rows[WHOLE.name]]
    settings = {name: described["settings"].get(name) for name in KEPT}
    return {"model": described["model"], "n_records": described["n_records"], "settings": settings, "benchmarks": found}


def right(path: Path) -> dict[str, bool]:
    """Key of each sample → whether it was answered rightly."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {row["key"]: row["answer"] == row["truth"] for row in rows}


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
        lines += ["", f"| {benchmark} | n | right | 95 % | − whole (95 %) |", "| --- | ---: | ---: | ---: | ---: |"]
        for name, each in rows.items():
            (low, high), (least, most) = each["right_95"], each["minus_whole"]["war_95"]
            less = f"{each['minus_whole']['war']:+.3f} ({least:+.3f} … {most:+.3f})" if name != WHOLE.name else ""
            lines.append(f"| {name} | {each['n']} | {each['right']:.3f} | {low:.3f}–{high:.3f} | {less} |")
    return "\n".join(lines) + "\n"


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
