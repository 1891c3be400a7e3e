"""Compares two runs: is B better than A? A paired bootstrap over the samples that both answered.

realtime train evaluate --compare A B      two folders with answers.jsonl; prints one JSON line
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from realtime.commands.program_parser import ProgramParser
from realtime.errors import RealtimeError
from train import metrics
from train.arrays import Float64, Int64
from train.readers.clip import DataMissing


@dataclass(frozen=True)
class RunAnswer:
    """The truth and the answer of one sample."""

    truth: str
    answer: str | None


def read_run(folder: Path) -> dict[str, RunAnswer]:
    """The answers of a run by sample. Raises DataMissing that names what is missing or which line is broken."""
    path, found = folder / "answers.jsonl", {}
    try:
        lines = path.read_text("utf-8").splitlines()
    except OSError as error:
        raise DataMissing(
            f"{path} cannot be read: it is missing, or {error.strerror}.", "Give two folders that train.evaluate wrote."
        ) from error
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
            if row["truth"]:
                found[str(row["key"])] = RunAnswer(str(row["truth"]), row["answer"])
        except (ValueError, KeyError, TypeError) as error:
            raise DataMissing(
                f"{path}, line {number}, is no answer.", "Remove it and run that benchmark again."
            ) from error
    return found


def paired(
    truth: Sequence[str], a: Sequence[str | None], b: Sequence[str | None], *, n_draws: int = 2000, seed: int = 0
) -> dict[str, Any]:
    """For accuracy, UAR and weighted F1: both runs, the difference B − A with its 95 % interval, and `not_better`, the
    share of draws in which B is not better.

    Samples are drawn with replacement, each with both of its answers. Only a sample's truth and its two answers matter,
    so the draw is of multinomial counts of these triples.
    """
    labels = sorted(set(truth))
    truth_N, a_N, b_N = (metrics.places([one or "" for one in values], labels) for values in (truth, a, b))
    n, n_labels = len(truth_N), len(labels)
    triples, counts = np.unique(np.stack([truth_N, a_N, b_N]), axis=1, return_counts=True)
    draws = np.concatenate([counts[None], np.random.default_rng(seed).multinomial(n, counts / n, n_draws)])
    result: dict[str, Any] = {"n": n}
    figures_a, figures_b = (_figures(draws, triples[0], given, n_labels) for given in triples[1:])
    for name in figures_a:
        difference = figures_b[name] - figures_a[name]
        low, high = np.percentile(difference[1:], [2.5, 97.5])
        result[name] = {
            "a": float(figures_a[name][0]), "b": float(figures_b[name][0]), "difference": float(difference[0]),
            "low": float(low), "high": float(high), "not_better": float((difference[1:] <= 0).mean()),
        }  # fmt: skip
    return result


def _figures(draws_DK: Int64, truth_K: Int64, given_K: Int64, n_labels: int) -> dict[str, Float64]:
    """(D,) each metric for every draw; the first row is the sample itself."""
    n_draws = len(draws_DK)
    hit, rows, columns = (np.zeros((n_draws, n_labels)) for _ in range(3))
    for k, (true, given) in enumerate(zip(truth_K, given_K, strict=True)):
        rows[:, true] += draws_DK[:, k]
        if given < n_labels:
            columns[:, given] += draws_DK[:, k]
        if given == true:
            hit[:, true] += draws_DK[:, k]
    recall, present = hit / np.maximum(rows, 1), rows > 0
    f1 = 2 * hit / np.maximum(rows + columns, 1)
    return {
        "accuracy": hit.sum(1) / rows.sum(1),
        "uar": (recall * present).sum(1) / present.sum(1),
        "weighted_f1": (f1 * rows).sum(1) / rows.sum(1),
    }


def paired_calibration(
    a_NL: Float64, b_NL: Float64, truth_N: Int64, *, n_draws: int = 2000, seed: int = 0
) -> dict[str, float]:
    """The calibration error of two runs on the same samples, and the difference B − A with its 95 % interval.

    Samples are drawn with replacement, each with both distributions. The error of a draw is biased upwards as that of
    any finite sample is; both runs share most of that bias, and the difference loses it.
    """
    rng, n = np.random.default_rng(seed), len(truth_N)
    draws_DN = np.concatenate([np.ones((1, n)), rng.multinomial(n, np.full(n, 1 / n), n_draws)])
    errors_a, errors_b = (np.abs(draws_DN @ gaps(p_NL, truth_N)).sum(1) / n for p_NL in (a_NL, b_NL))
    difference = errors_b - errors_a
    low, high = np.percentile(difference[1:], [2.5, 97.5])
    return {
        "a": float(errors_a[0]), "b": float(errors_b[0]), "difference": float(difference[0]),
        "low": float(low), "high": float(high),
    }  # fmt: skip


def gaps(p_NL: Float64, truth_N: Int64) -> Float64:
    """(N, bins) confidence − hit of each sample, in the column of its bin."""
    confidence_N = p_NL.max(1)
    bin_N = np.minimum((confidence_N * metrics.BINS).astype(int), metrics.BINS - 1)
    gaps_NB: Float64 = (confidence_N - (p_NL.argmax(1) == truth_N))[:, None] * np.eye(metrics.BINS)[bin_N]
    return gaps_NB


def compare(a: Path, b: Path) -> dict[str, Any]:
    """Raises DataMissing for a folder that is no run, runs that share no sample, or of sets whose truths differ."""
    run_a, run_b = read_run(a), read_run(b)
    shared = sorted(run_a.keys() & run_b.keys())
    if not shared:
        raise DataMissing("The two runs share no sample.", "Compare runs of one benchmark and split.")
    other = next((key for key in shared if run_a[key].truth != run_b[key].truth), None)
    if other is not None:
        raise DataMissing(
            f"The truth of {other!r} is {run_a[other].truth!r} in {a} and {run_b[other].truth!r} in {b}.",
            "Compare runs of one benchmark.",
        )
    result = paired(*zip(*((run_a[key].truth, run_a[key].answer, run_b[key].answer) for key in shared), strict=True))
    return result | {"only_in_a": len(run_a) - len(shared), "only_in_b": len(run_b) - len(shared)}


def main() -> None:
    parser = ProgramParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("a", type=Path)
    parser.add_argument("b", type=Path)
    args = parser.parse_args()
    try:
        print(json.dumps(compare(args.a, args.b)))
    except RealtimeError as error:
        parser.exit(error.exit_code, f"{error}\n")


if __name__ == "__main__":
    main()
