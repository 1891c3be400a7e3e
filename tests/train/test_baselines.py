"""What a baseline is given so that it is no weaker than it has to be."""

from __future__ import annotations

import numpy as np
import pytest

from train.evaluation.baselines import with_bias


def test_a_bias_makes_up_for_emotions_that_are_rarer_where_an_expert_learnt() -> None:
    """An expert that takes the last of seven emotions for rare tells it too seldom."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 7, 2000)
    evidence = rng.normal(size=(2000, 7)) + 1.5 * np.eye(7)[truth]
    log_odds = evidence - np.array([0, 0, 0, 0, 0, 0, 2.0])
    shares = np.exp(log_odds) / np.exp(log_odds).sum(1, keepdims=True)
    known, asked = slice(0, 1000), slice(1000, 2000)
    told = with_bias(shares[known], truth[known], shares[asked])
    assert told.sum(1) == pytest.approx(np.ones(1000))
    rare = truth[asked] == 6
    assert (shares[asked].argmax(1) == 6)[rare].mean() < 0.2 < 0.45 < (told.argmax(1) == 6)[rare].mean()
    assert np.mean(told.argmax(1) == truth[asked]) > np.mean(shares[asked].argmax(1) == truth[asked]) + 0.02
