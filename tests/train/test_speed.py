"""Metrics stay quick on large sets."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from tests.counting import lines_run
from train.evaluation.report import report
from train.metrics import calibration_error

LABELS = ("happy", "sad", "neutral", "angry", "surprise", "disgust", "fear")


def drawn(n: int) -> list[dict[str, Any]]:
    rng, sexes = np.random.default_rng(0), ("female", "male")
    p_NL = rng.dirichlet(np.ones(len(LABELS)), n)
    given_N, truth_N = p_NL.argmax(1), rng.integers(0, len(LABELS), n)
    return [
        {
            "key": str(place), "truth": LABELS[truth], "answer": LABELS[given], "folds": [place % 5 + 1],
            "probabilities": dict(zip(LABELS, p, strict=True)), "slices": {"sex": sexes[place % 2]}, "parse": "text",
        }
        for place, (truth, given, p) in enumerate(zip(truth_N.tolist(), given_N.tolist(), p_NL.tolist(), strict=True))
    ]  # fmt: skip


@pytest.mark.slow
def test_ten_times_the_predictions_are_no_more_than_ten_times_the_work() -> None:
    """The whole report: every metric, its intervals, slices and folds.

    A bound of five seconds for 100,000 once failed on a machine that was slower than ours, so lines of Python are
    counted. They are 50 for a prediction; ten more for each, or work that grows with the square, fails.
    """

    def work(n: int) -> int:
        rows = drawn(n)
        return lines_run(lambda: report("dfew", "drawn", "test", rows), package="train")

    few, many = work(10_000), work(100_000)
    assert many <= 10 * few
    assert many / 100_000 < 60


@pytest.mark.slow
def test_a_hundred_thousand_predictions_are_no_matter_of_minutes() -> None:
    """What runs in C counts too here. They take a second and a half of the processor; forty times that is a fault."""
    rows = drawn(100_000)
    # What imports take is paid before.
    calibration_error(np.eye(len(LABELS)), np.arange(len(LABELS)))
    began_s = time.process_time()
    result = report("dfew", "drawn", "test", rows)
    assert time.process_time() - began_s < 60
    assert result["n"] == 100_000
    assert result["folds"]["mean"]["n"] == 20_000
