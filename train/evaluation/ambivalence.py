"""Compares the probabilities of a run with the votes of the raters: compound labels and ambivalence on FER+.

    realtime train evaluation.ambivalence RUN --data DATA [--json FILE]

RUN is a folder of `train.evaluate --benchmark ferplus`. Each of three questions is answered beside a baseline that
needs no probabilities of a model:

- Where a second label has a quarter of the votes, are the two likeliest labels the two with most votes?
- How far is the distribution from the votes?
- Does its entropy tell on which faces no label has the majority?

The command prints a table, and JSON as its last line.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from realtime.commands.program_parser import ProgramParser
from realtime.model.experts import EXPERT_LABELS
from realtime.outputs import refuse_input
from train import metrics
from train.arrays import Bools, Float64, Int64
from train.command import run_command, tell_result
from train.evaluation.report import rounded
from train.evaluation.run_folder import Row, finished
from train.metrics import votes
from train.nano import ferplus


def measure(p_NL: Float64, votes_NL: Float64, usual_second_L: Int64) -> dict[str, Any]:
    """The figures of distributions against votes. `usual_second_L`: the label that most often comes second to each."""
    n, first_N = len(p_NL), p_NL.argmax(1)
    both = votes.compound(votes_NL)
    wanted_N2 = votes.two_highest(votes_NL)
    usual_N2 = np.sort(np.stack([first_N, usual_second_L[first_N]], axis=1), axis=1)
    alone_NL = np.eye(p_NL.shape[1])[first_N]
    unclear = votes.ambivalent(votes_NL)
    result: dict[str, Any] = {
        "n": n,
        "divergence": {
            "model": _mean(votes.divergence(p_NL, votes_NL)),
            "its likeliest label alone": _mean(votes.divergence(alone_NL, votes_NL)),
            "the mean vote": _mean(votes.divergence(np.tile(votes_NL.mean(0), (n, 1)), votes_NL)),
            "if the raters drew from the model": {"value": rounded(votes.divergence_floor(p_NL))},
        },
        "compounds": int(both.sum()),
        "ambivalent": int(unclear.sum()),
    }
    if both.any():
        result["two_highest"] = {
            "model": _mean((votes.two_highest(p_NL) == wanted_N2)[both].all(1)),
            "its likeliest label and the usual second": _mean((usual_N2 == wanted_N2)[both].all(1)),
        }
    if unclear.any() and not unclear.all():
        scores = {"entropy": votes.entropy(p_NL), "1 − highest probability": 1 - p_NL.max(1)}
        result["ambivalence_auroc"] = {name: _area(unclear, score) for name, score in scores.items()}
    return result


def _mean(values_N: Float64 | Bools) -> dict[str, Any]:
    interval = metrics.bootstrap(values_N)
    return {"value": rounded(values_N.mean()), "interval_95": [rounded(interval.low), rounded(interval.high)]}


def _area(positive_N: Bools, score_N: Float64) -> dict[str, Any]:
    value, interval = votes.auroc(positive_N, score_N)
    return {"value": rounded(value), "interval_95": [rounded(interval.low), rounded(interval.high)]}


def usual_second(votes_NL: Float64) -> Int64:
    """(L,) for each label the one that most often has the second most votes where it has most."""
    order_NL = np.argsort(votes_NL, axis=1, kind="stable")
    clear = votes.compound(votes_NL)
    n_labels = votes_NL.shape[1]
    counts_LL = np.zeros((n_labels, n_labels), np.int64)
    np.add.at(counts_LL, (order_NL[clear, -1], order_NL[clear, -2]), 1)
    found: Int64 = counts_LL.argmax(1)
    return found


def distributions(rows: Sequence[Row], faces: ferplus.Faces) -> tuple[Float64, Float64]:
    """(N, L) probabilities and (N, L) votes of the answered faces."""
    place = {int(number): at for at, number in enumerate(faces.index_N)}
    told = [row for row in rows if row.get("probabilities")]
    p_NL = np.array([[row["probabilities"].get(label, 0.0) for label in EXPERT_LABELS] for row in told])
    votes_NL = faces.votes_N7[[place[int(row["key"])] for row in told]].astype(np.float64)
    return p_NL / p_NL.sum(1, keepdims=True), votes_NL / votes_NL.sum(1, keepdims=True)


def table(result: Mapping[str, Any]) -> list[str]:
    """Lines of Markdown."""
    titles = {
        "divergence": f"Jensen–Shannon divergence from the votes, bits ({result['n']} faces)",
        "two_highest": f"the two labels with most votes ({result['compounds']} compounds)",
        "ambivalence_auroc": f"AUROC of no majority ({result['ambivalent']} of {result['n']} faces)",
    }
    lines = ["| | | value | 95 % |", "| --- | --- | --- | --- |"]
    for key, title in titles.items():
        for name, row in result.get(key, {}).items():
            between = " – ".join(str(end) for end in row.get("interval_95", ()))
            lines.append(f"| {title} | {name} | {row['value']} | {between} |")
    return lines


def main() -> int:
    parser = ProgramParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, metavar="RUN")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    refuse_input(args.json, args.data, args.run / "answers.jsonl")
    _, rows = finished(args.run, ("ferplus",))
    faces = ferplus.load(args.data)
    result = measure(*distributions(rows, faces), usual_second(faces.votes_N7[faces.part("train")].astype(np.float64)))
    tell_result(result, args.json, table(result))
    return 0


if __name__ == "__main__":
    run_command(main, "train.evaluation.ambivalence")
