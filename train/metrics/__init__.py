"""The metrics of the reports. They use scikit-learn and torchmetrics where these have the metric.

Both are imported where they are used: they take a second and more, and much of what needs this package needs neither.

The order of labels is always an argument and never inferred from the data. `tests/train/test_metrics.py` compares each
metric with published or hand-computed numbers. The open-vocabulary metrics are in `wheel.py`:
`realtime train metrics wheel …`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import repeat

import numpy as np

from train.arrays import Bools, Float64, Int64

BINS = 15
"The number of equal-width bins of the calibration error."
STEPS = 20
"Steps of each bin within which `calibration_floor` takes confidences for equal."


@dataclass(frozen=True)
class Interval:
    """A 95 % interval."""

    low: float
    high: float


def places(values: Sequence[str], labels: Sequence[str]) -> Int64:
    """(N,) index of each value in `labels`; one past the last for what is none of them."""
    index = {label: place for place, label in enumerate(labels)}
    return np.fromiter(map(index.get, values, repeat(len(labels))), np.int64, len(values))


def with_unread(truth: Sequence[str], given: Sequence[str], labels: Sequence[str]) -> Int64:
    """(L, L + 1) counts, rows are the truth; the last column holds answers outside the labels."""
    n, index = len(labels), {label: place for place, label in enumerate(labels)}
    counts = np.zeros((n, n + 1), np.int64)
    for (true, answer), times in Counter(zip(truth, given, strict=True)).items():
        if true not in index:
            raise ValueError(f"the truth {true!r} is none of {', '.join(labels)}")
        counts[index[true], index.get(answer, n)] += times
    return counts


def confusion(truth: Sequence[str], given: Sequence[str], labels: Sequence[str]) -> Int64:
    """(L, L), rows are the truth. Answers outside the labels fall in no column: rows then sum to less."""
    return with_unread(truth, given, labels)[:, :-1]


@dataclass(frozen=True)
class _Cells:
    """The cells of `with_unread` as scikit-learn takes them: a hundred thousand samples become one weight each."""

    truth_C: Int64
    given_C: Int64
    "(C,) places; one past the last label for an answer outside the labels."
    n_C: Int64

    @classmethod
    def of(cls, truth: Sequence[str], given: Sequence[str], labels: Sequence[str]) -> _Cells:
        counts = with_unread(truth, given, labels)
        truth_C, given_C = counts.nonzero()
        return cls(truth_C, given_C, counts[truth_C, given_C])


def recalls(truth: Sequence[str], given: Sequence[str], labels: Sequence[str]) -> Float64:
    """(L,) recall of each class; 0 for a class without samples. The mean over classes that have samples is UAR."""
    return _recalls(_Cells.of(truth, given, labels), len(labels))


def _recalls(cells: _Cells, n_labels: int) -> Float64:
    from sklearn.metrics import recall_score

    values: Float64 = recall_score(
        cells.truth_C, cells.given_C, labels=np.arange(n_labels), average=None, sample_weight=cells.n_C, zero_division=0
    )
    return values


def uar(truth: Sequence[str], given: Sequence[str], labels: Sequence[str]) -> float:
    """Mean recall over the classes that occur (a set may hold only some of the labels: CREMA-D has no surprise)."""
    cells = _Cells.of(truth, given, labels)
    return float(_recalls(cells, len(labels))[np.unique(cells.truth_C)].mean())


def weighted_f1(truth: Sequence[str], given: Sequence[str], labels: Sequence[str]) -> float:
    return _f1(truth, given, labels, "weighted")


def macro_f1(truth: Sequence[str], given: Sequence[str], labels: Sequence[str]) -> float:
    return _f1(truth, given, labels, "macro")


def _f1(truth: Sequence[str], given: Sequence[str], labels: Sequence[str], average: str) -> float:
    from sklearn.metrics import f1_score

    cells, n = _Cells.of(truth, given, labels), np.arange(len(labels))
    options = {"labels": n, "average": average, "sample_weight": cells.n_C, "zero_division": 0}
    return float(f1_score(cells.truth_C, cells.given_C, **options))


def calibration_error(probabilities_NL: Float64, truth_N: Int64, bins: int = BINS) -> float:
    """Expected calibration error: |confidence − accuracy| of the top label over equal-width bins, weighted by size."""
    import torch
    from torchmetrics.functional.classification import multiclass_calibration_error

    # torchmetrics gives a confidence of exactly 1 a bin of its own; it belongs to the last one. It computes in float32,
    # to which 1 - 1e-9 would be 1 again.
    p = torch.from_numpy(np.minimum(probabilities_NL, np.nextafter(np.float32(1), np.float32(0))))
    error = multiclass_calibration_error(
        p, torch.from_numpy(np.asarray(truth_N, np.int64)), num_classes=p.shape[1], n_bins=bins, norm="l1"
    )
    return float(error)


def calibration_floor(probabilities_NL: Float64, bins: int = BINS, *, n_draws: int = 500, seed: int = 0) -> float:
    """The average calibration error of these confidences if they were exactly true.

    With a few hundred samples it is never 0, so an error near this floor is no sign of a fault (Kumar et al., NeurIPS
    2019). Confidences in one step, 1/300 apart at most, are drawn as one binomial count of their mean.
    """
    confidence_N = probabilities_NL.max(1)
    n_steps = bins * STEPS
    step_N = np.minimum((confidence_N * n_steps).astype(int), n_steps - 1)
    n_S = np.bincount(step_N, minlength=n_steps)
    expected_S = np.bincount(step_N, confidence_N, n_steps)
    mean_S = np.minimum(expected_S / np.maximum(n_S, 1), 1)
    hits_SD = np.random.default_rng(seed).binomial(n_S[:, None], mean_S[:, None], (n_steps, n_draws))
    gaps_BD = (hits_SD - expected_S[:, None]).reshape(bins, STEPS, n_draws).sum(1) / len(confidence_N)
    return float(np.abs(gaps_BD).sum(0).mean())


def brier(probabilities_NL: Float64, truth_N: Int64) -> float:
    """Mean squared distance between the distribution and the truth's unit vector (0 … 2)."""
    from sklearn.metrics import brier_score_loss

    p = probabilities_NL / probabilities_NL.sum(1, keepdims=True)
    return float(brier_score_loss(truth_N, p, labels=np.arange(p.shape[1]), scale_by_half=False))


def bootstrap(values_N: Float64 | Bools, *, n_draws: int = 2000, seed: int = 0) -> Interval:
    """95 % percentile interval of the mean, samples drawn with replacement."""
    rng, n = np.random.default_rng(seed), len(values_N)
    values, counts = np.unique(np.asarray(values_N, np.float64), return_counts=True)
    if len(values) <= 64:
        # Few values: drawing how often each occurs is the same as drawing the samples, and much quicker.
        means = rng.multinomial(n, counts / n, n_draws) @ values / n
    else:
        means = np.array([values_N[rng.integers(0, n, n)].mean() for _ in range(n_draws)])
    return _percentiles(means)


def intervals(counts_LM: Int64, *, n_draws: int = 2000, seed: int = 0) -> dict[str, Interval]:
    """95 % intervals of accuracy, UAR and weighted F1 from counts as `with_unread` gives them.

    Samples drawn with replacement give multinomial counts, so the counts are drawn.
    """
    n_labels, total = counts_LM.shape[0], int(counts_LM.sum())
    draws = np.random.default_rng(seed).multinomial(total, counts_LM.ravel() / total, n_draws)
    draws = draws.reshape(n_draws, *counts_LM.shape).astype(np.float64)
    hit = draws[:, np.arange(n_labels), np.arange(n_labels)]  # (draws, L)
    rows, columns = draws.sum(2), draws[:, :, :n_labels].sum(1)
    recall = hit / np.maximum(rows, 1)
    f1 = 2 * hit / np.maximum(rows + columns, 1)
    present = rows > 0
    return {
        "accuracy": _percentiles(hit.sum(1) / total),
        "uar": _percentiles((recall * present).sum(1) / np.maximum(present.sum(1), 1)),
        "weighted_f1": _percentiles((f1 * rows).sum(1) / total),
    }


def _percentiles(values: Float64) -> Interval:
    low, high = np.percentile(values, [2.5, 97.5])
    return Interval(float(low), float(high))
