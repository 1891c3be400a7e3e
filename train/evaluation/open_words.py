"""Scores what a run says of FER+ faces as open-vocabulary answers: the emotion-wheel metric against all that was voted.

    realtime train evaluation.open_words RUN --data DATA [--wheels FOLDER] [--json FILE]

RUN is a folder of `train.evaluate --benchmark ferplus`. The truth of a face are all labels that at least two of its ten
raters chose. Three ways of naming emotions are told apart: the answer alone, every emotion that the chain names without
negating it, and every label of at least the probability 0.2. Without --wheels the words go by our own wheel
(`train/metrics/own_wheel.py`). Prints a table, and as its last line JSON.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from realtime.commands.program_parser import ProgramParser
from realtime.model.experts import EXPERT_LABELS
from realtime.outputs import refuse_input
from train.command import run_command, tell_result
from train.evaluation.answer_parser import affirmed
from train.evaluation.run_folder import Row, finished
from train.metrics import own_wheel, wheel
from train.nano import ferplus

NAMED = 0.2
"Probability from which on a label counts as named: two of ten raters."


def told(rows: Sequence[Row]) -> dict[str, dict[str, list[str]]]:
    """Way of naming → face → the words."""
    return {
        "the answer": {row["key"]: [row["answer"]] if row["answer"] else [] for row in rows},
        "the chain": {row["key"]: named(row.get("sections", {})) for row in rows},
        f"labels of {NAMED} and more": {
            row["key"]: [label for label, p in row.get("probabilities", {}).items() if p >= NAMED] for row in rows
        },
    }


def named(sections: Mapping[str, str]) -> list[str]:
    """The emotions that a chain names, each once, in the order in which they come."""
    text = "\n".join(sections.values())
    return list(dict.fromkeys(label for _, label in affirmed(text, EXPERT_LABELS) if label in EXPERT_LABELS))


def voted(rows: Sequence[Row], faces: ferplus.Faces) -> dict[str, list[str]]:
    """Face → the labels with votes. Those with a single one have been removed (`ferplus.load`)."""
    place = {str(int(number)): at for at, number in enumerate(faces.index_N)}
    return {
        row["key"]: [
            label for label, share in zip(EXPERT_LABELS, faces.votes_N7[place[row["key"]]], strict=True) if share > 0
        ]
        for row in rows
    }


def measure(wheels: wheel.Wheels, truth: wheel.Words, ways: Mapping[str, wheel.Words]) -> dict[str, Any]:
    """The wheel metrics of each way of naming; and how many words it names."""
    return {
        "wheels": wheels.version,
        "n": len(truth),
        "on_the_wheel": sum(
            any(wheels.grouped(words, name, "level1") for name in wheels.groups) for words in truth.values()
        ),
        "words": {name: round(sum(map(len, words.values())) / len(words), 3) for name, words in ways.items()},
        "ways": {name: wheel.measure(wheels, truth, words) for name, words in ways.items()},
    }


def table(result: Mapping[str, Any]) -> list[str]:
    """Lines of Markdown."""
    lines = ["| named by | words | level | F1 | precision | recall |", "| --- | --- | --- | --- | --- | --- |"]
    for name, found in result["ways"].items():
        for level in wheel.LEVELS:
            row = found[f"wheel_{level}"]
            cells = " | ".join(f"{row[figure]:.3f}" for figure in ("f1", "precision", "recall"))
            lines.append(f"| {name} | {result['words'][name]} | {level} | {cells} |")
    return lines


def main() -> int:
    parser = ProgramParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, metavar="RUN")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--wheels", type=Path, help="folder in the layout of MERTools, instead of our own wheel")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    refuse_input(args.json, args.data, args.wheels, args.run / "answers.jsonl")
    _, rows = finished(args.run, ("ferplus",))
    wheels = own_wheel.own() if args.wheels is None else wheel.read(args.wheels)
    result = measure(wheels, voted(rows, ferplus.load(args.data)), told(rows))
    tell_result(result, args.json, table(result))
    return 0


if __name__ == "__main__":
    run_command(main, "train.evaluation.open_words")
