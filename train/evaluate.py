"""Whole-pipeline accuracy on people a model never saw: picture or sound in, answer text out.

    python -m train.evaluate --benchmark NAME --data DATA --model nano --out DIR [--split test] [--limit N]

`ferplus`, `ravdess`, and pairs of the two that `agree` or `conflict`; their truth is what the crowd would conclude.
Every sample goes through the very perception and reasoning that serve a live session: FER+ faces one by one, as
strangers; RAVDESS sentences as one session per actor, so that the voice's running baseline settles as it does live.
Each answer is saved with its text (DIR/answers.jsonl, appended as it goes; a run that was stopped goes on where it
was), then DIR/report.json and DIR/report.md. An answer that cannot be read is wrong, and counted.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

from tqdm import tqdm

from train.evaluation.answering import Asked, answers
from train.evaluation.report import as_markdown, report
from train.evaluation.samples import SAMPLES, SPLITS, sessions

PART = 64
"Samples that a worker takes at a time."


def read_answers(path: Path) -> list[dict[str, Any]]:
    """Answers of an earlier run. A last line that a kill cut in half is taken off the file: it is answered again."""
    if not path.exists():
        return []
    whole, newline, _ = path.read_text("utf-8").rpartition("\n")
    path.write_text(whole + newline, encoding="utf-8")
    return [json.loads(line) for line in whole.splitlines()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--benchmark", choices=sorted(SAMPLES), required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--adapter", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--split", choices=SPLITS, default="test")
    parser.add_argument("--limit", type=int, help="at most so many samples (FER+: drawn at random; RAVDESS: per actor)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes, each with a model")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / "answers.jsonl"
    rows = read_answers(path)
    try:
        samples = SAMPLES[args.benchmark](args.data, args.split, args.limit)
        parts = sessions(samples, at_least=PART)
        done = frozenset(row["key"] for row in rows)
        with path.open("a", encoding="utf-8") as file, tqdm(unit="sample", mininterval=5) as bar:
            for part in answers(Asked(args.model, args.adapter), parts, done, n_workers=args.workers):
                file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in part)
                file.flush()
                rows += part
                bar.update(len(part))
    except FileNotFoundError as error:
        parser.exit(3, f"{error.filename} is missing; --data expects the layout of the data folder's README.\n")
    result = report(args.benchmark, args.model, args.split, rows)
    (args.out / "report.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    (args.out / "report.md").write_text(as_markdown(result), encoding="utf-8")
    print(json.dumps(result["metrics"]))


if __name__ == "__main__":
    main()
