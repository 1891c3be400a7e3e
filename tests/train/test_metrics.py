"""Metrics against published and hand-worked numbers."""

from __future__ import annotations

import numpy as np
import pytest

from train.metrics import (
    bootstrap,
    brier,
    calibration_error,
    calibration_floor,
    confusion,
    intervals,
    recalls,
    uar,
    weighted_f1,
    with_unread,
)

DFEW = ("happy", "sad", "neutral", "angry", "surprise", "disgust", "fear")
MAE_DFER_FOLD_1 = [
    [454, 7, 10, 14, 2, 1, 1],
    [5, 292, 49, 15, 11, 1, 6],
    [19, 30, 403, 38, 33, 5, 6],
    [9, 9, 49, 336, 22, 3, 7],
    [4, 11, 58, 9, 194, 0, 18],
    [0, 0, 16, 4, 3, 3, 3],
    [1, 20, 23, 17, 48, 1, 71],
]
MER2023 = [
    [179, 1, 2, 1, 0, 0],
    [2, 152, 7, 4, 3, 1],
    [10, 10, 134, 6, 2, 4],
    [2, 2, 1, 250, 0, 2],
    [1, 0, 3, 1, 6, 3],
    [4, 1, 3, 2, 1, 34],
]


def unfold(matrix: list[list[int]], labels: tuple[str, ...]) -> tuple[list[str], list[str]]:
    pairs = [(t, g) for t, row in enumerate(matrix) for g, n in enumerate(row) for _ in range(n)]
    return [labels[t] for t, _ in pairs], [labels[g] for _, g in pairs]


def test_dfew_fold_1_reproduces_the_published_war_uar_and_f1() -> None:
    truth, given = unfold(MAE_DFER_FOLD_1, DFEW)
    assert confusion(truth, given, DFEW).tolist() == MAE_DFER_FOLD_1
    accuracy = np.mean([t == g for t, g in zip(truth, given, strict=True)])
    assert round(100 * accuracy, 2) == 74.88
    assert round(100 * recalls(truth, given, DFEW).mean(), 2) == 62.59
    assert round(100 * weighted_f1(truth, given, DFEW), 2) == 74.41


def test_mer2023_reproduces_the_published_accuracy_and_f1() -> None:
    labels = tuple("abcdef")
    truth, given = unfold(MER2023, labels)
    assert round(float(np.mean([t == g for t, g in zip(truth, given, strict=True)])), 6) == 0.905276
    assert round(weighted_f1(truth, given, labels), 6) == 0.903577


def test_an_answer_outside_the_labels_is_wrong_and_counted() -> None:
    assert recalls(["happy", "happy"], ["happy", ""], DFEW)[0] == 0.5


def test_a_truth_outside_the_labels_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="the truth 'bored' is none of happy, sad"):
        confusion(["happy", "bored"], ["happy", "happy"], ("happy", "sad"))


def test_a_class_without_samples_does_not_count_in_uar() -> None:
    """Recalls of happy and sad are 1 and 0.5; nobody was surprised, so the third label has none."""
    truth, given, labels = ["happy", "sad", "sad"], ["happy", "sad", "surprise"], ("happy", "sad", "surprise")
    assert uar(truth, given, labels) == pytest.approx(0.75)
    many = intervals(with_unread(truth * 200, given * 200, labels))["uar"]
    assert 0.7 < many.low < 0.75 < many.high < 0.8


def test_calibration_error_by_hand() -> None:
    # Two answers at 0.9, one right: gap 0.4. Two at 0.6, both right: gap 0.4.
    p = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.6, 0.4]])
    assert calibration_error(p, np.array([0, 1, 0, 0])) == pytest.approx(0.4)
    assert calibration_error(np.array([[1.0, 0.0]]), np.array([0])) == pytest.approx(0, abs=1e-6)


def test_a_confidence_of_exactly_1_is_in_the_last_bin() -> None:
    """One answer at 1, wrong, and one at 0.95, right: together their gap is 0.475, apart 0.525."""
    p = np.array([[1.0, 0.0], [0.95, 0.05]])
    assert calibration_error(p, np.array([1, 0])) == pytest.approx(0.475)
    assert calibration_floor(p, n_draws=20_000) == pytest.approx(0.475 * 0.05 + 0.025 * 0.95, abs=0.002)


def test_what_a_true_model_would_show_by_hand() -> None:
    """One sample of confidence 0.5 is off by 0.5 whatever happens; of two in a bin half the draws are off by none."""
    assert calibration_floor(np.array([[0.5, 0.5]])) == pytest.approx(0.5)
    assert calibration_floor(np.array([[1.0, 0.0]] * 3)) == 0.0
    assert calibration_floor(np.array([[0.5, 0.5]] * 2), n_draws=20_000) == pytest.approx(0.25, abs=0.01)
    many = np.array([[0.7, 0.3]] * 10_000)
    assert calibration_floor(many) < 0.01


def test_brier_by_hand() -> None:
    assert brier(np.array([[0.8, 0.2], [0.4, 0.6]]), np.array([0, 0])) == pytest.approx((0.08 + 0.72) / 2)


def test_brier_takes_what_does_not_sum_to_1_as_shares_of_its_sum() -> None:
    assert brier(np.array([[1.6, 0.4], [0.2, 0.3]]), np.array([0, 0])) == pytest.approx((0.08 + 0.72) / 2)


def test_the_interval_holds_the_mean_and_narrows_with_more_samples() -> None:
    few, many = (bootstrap(np.arange(n) % 2 == 1) for n in (20, 2000))
    assert few.low < 0.5 < few.high
    assert many.high - many.low < few.high - few.low
