"""Metrics stay quick on large sets."""

from __future__ import annotations

import time

import numpy as np
import pytest

from train.evaluation.report import report
from train.metrics import calibration_error

LABELS = ("happy", "sad", "neutral", "angry", "surprise", "disgust", "fear")


@pytest.mark.slow
def test_a_hundred_thousand_predictions_take_under_five_seconds() -> None:
    """The whole report: every metric, its intervals, slices and folds. Measured in processor time, which others on the
    machine change little; what imports take is paid before."""
    rng = np.random.default_rng(0)
    n, sexes = 100_000, ("female", "male")
    p_NL = rng.dirichlet(np.ones(len(LABELS)), n)
    given_N, truth_N = p_NL.argmax(1), rng.integers(0, len(LABELS), n)
    rows = [
        {
            "key": str(place), "truth": LABELS[truth], "answer": LABELS[given], "folds": [place % 5 + 1],
            "probabilities": dict(zip(LABELS, p, strict=True)), "slices": {"sex": sexes[place % 2]}, "parse": "text",
        }
        for place, (truth, given, p) in enumerate(zip(truth_N.tolist(), given_N.tolist(), p_NL.tolist(), strict=True))
    ]  # fmt: skip
    calibration_error(p_NL[:10], truth_N[:10])
    began_s = time.process_time()
    result = report("dfew", "drawn", "test", rows)
    assert time.process_time() - began_s < 5
    assert result["n"] == n
    assert result["folds"]["mean"]["n"] == n / 5
