"""The metrics of the reports. Label order is always handed in; nothing is inferred from the data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import confusion_matrix, f1_score, recall_score


@dataclass(frozen=True)
class Interval:
    low: float
    high: float


def confusion(truth: Sequence[str], given: Sequence[str], labels: Sequence[str]) -> np.ndarray:
    """(L, L), rows are the truth. Answers outside the labels fall in no column: rows then sum to less."""
    matrix: np.ndarray = confusion_matrix(truth, given, labels=list(labels))
    return matrix


def recalls(truth: Sequence[str], given: Sequence[str], labels: Sequence[str]) -> np.ndarray:
    """(L,) recall of each class; 0 for a class without samples. Their mean is UAR."""
    values: np.ndarray = recall_score(truth, given, labels=list(labels), average=None, zero_division=0)
    return values


def weighted_f1(truth: Sequence[str], given: Sequence[str], labels: Sequence[str]) -> float:
    return float(f1_score(truth, given, labels=list(labels), average="weighted", zero_division=0))


def calibration_error(probabilities_NL: np.ndarray, truth_N: np.ndarray, bins: int = 15) -> float:
    """Expected calibration error: |confidence − accuracy| of the top label over equal-width bins, weighted by size."""
    confidence = probabilities_NL.max(1)
    hit = probabilities_NL.argmax(1) == truth_N
    index = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [
        (index == b).mean() * abs(confidence[index == b].mean() - hit[index == b].mean())
        for b in range(bins)
        if (index == b).any()
    ]
    return float(sum(gaps))


def brier(probabilities_NL: np.ndarray, truth_N: np.ndarray) -> float:
    """Mean squared distance between the distribution and the truth's unit vector (0 … 2)."""
    unit = np.eye(probabilities_NL.shape[1])[truth_N]
    return float(((probabilities_NL - unit) ** 2).sum(1).mean())


def bootstrap(values_N: np.ndarray, *, n_draws: int = 2000, seed: int = 0) -> Interval:
    """95 % percentile interval of the mean, samples drawn with replacement."""
    rng = np.random.default_rng(seed)
    means = [values_N[rng.integers(0, len(values_N), len(values_N))].mean() for _ in range(n_draws)]
    low, high = np.percentile(means, [2.5, 97.5])
    return Interval(float(low), float(high))
