"""Metrics stay quick on large sets."""

from __future__ import annotations

import time

import numpy as np

from realtime.model.experts import EXPERT_LABELS
from train.metrics import bootstrap, brier, calibration_error, confusion, recalls, weighted_f1


def test_a_hundred_thousand_predictions_take_under_five_seconds() -> None:
    rng = np.random.default_rng(0)
    p_NL = rng.dirichlet(np.ones(len(EXPERT_LABELS)), 100_000)
    index_N = rng.integers(0, len(EXPERT_LABELS), 100_000)
    truth = [EXPERT_LABELS[i] for i in index_N]
    given = [EXPERT_LABELS[i] for i in p_NL.argmax(1)]
    began_s = time.process_time()
    confusion(truth, given, EXPERT_LABELS)
    recalls(truth, given, EXPERT_LABELS)
    weighted_f1(truth, given, EXPERT_LABELS)
    calibration_error(p_NL, index_N)
    brier(p_NL, index_N)
    bootstrap(p_NL.argmax(1) == index_N)
    assert time.process_time() - began_s < 5
