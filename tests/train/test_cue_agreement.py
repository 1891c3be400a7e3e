"""The comparison of our cues with another tool's, on values that are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from realtime.errors import BadSettings
from realtime.evidence.cues import CUES
from train.evaluation.cue_agreement import POSE, Landmarker, compared, pose_deg, spearman


def test_ranks_are_correlated_as_scipy_does_ties_included() -> None:
    rng = np.random.default_rng(0)
    a_N, b_N = rng.integers(8, size=(2, 60)).astype(float)
    assert spearman(a_N, a_N + b_N) == pytest.approx(float(spearmanr(a_N, a_N + b_N)[0]))
    assert np.isnan(spearman(a_N, np.zeros(60)))


def test_a_cue_that_agrees_and_one_that_does_not() -> None:
    ours_NV = np.random.default_rng(0).normal(size=(200, len(CUES) + len(POSE)))
    theirs_NV = np.exp(ours_NV)
    theirs_NV[:, 1] = np.random.default_rng(1).normal(size=200)
    theirs_NV[:, -3:] = ours_NV[:, -3:] + 4.0
    rows = compared(ours_NV, theirs_NV, n_draws=50)
    assert [row["name"] for row in rows] == [*CUES, *POSE]
    assert (rows[0]["rho"], rows[0]["low"], rows[0]["high"]) == (1.0, 1.0, 1.0)
    assert rows[1]["low"] < 0 < rows[1]["high"]
    assert [row["apart_deg"] for row in rows[-3:]] == [4.0, 4.0, 4.0]


def test_a_head_is_turned_with_our_signs() -> None:
    """MediaPipe counts right, up and towards the camera; we look up, and to the viewer's right, with plus."""
    yaw, pitch = np.radians([20.0, 10.0])
    right = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    up = np.array([[1, 0, 0], [0, np.cos(pitch), np.sin(pitch)], [0, -np.sin(pitch), np.cos(pitch)]])
    clockwise = np.array([[np.cos(yaw), np.sin(yaw), 0], [-np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
    assert pose_deg(right @ up) == pytest.approx((20.0, 10.0, 0.0), abs=1e-6)
    assert pose_deg(clockwise) == pytest.approx((0.0, 0.0, 20.0), abs=1e-6)


def test_without_the_model_file_it_says_which() -> None:
    with pytest.raises(BadSettings, match=r"There is no none\.task"):
        Landmarker(Path("none.task"))
