"""What a calibration finds in answers of which the truth is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from realtime.model.config import Calibration
from realtime.model.experts import EXPERT_LABELS
from train.nano.fit_calibration import AnsweredWindow, calibrated, fit, log_softmax, matched_to_live

N = len(EXPERT_LABELS)


def drawn(state: str, n: int, *, sharper: float = 1.0, leaning: float = 0.0) -> list[AnsweredWindow]:
    """Truths drawn from distributions that are told `sharper`, and with `leaning` towards the first label."""
    rng = np.random.default_rng(3)
    true = log_softmax(rng.normal(0, 1.5, (n, N)))
    truth = [rng.choice(N, p=np.exp(row)) for row in true]
    told = log_softmax(sharper * true + leaning * np.eye(N)[0])
    rows = told if state != "both" else np.stack([told, *log_softmax(rng.normal(0, 1, (2 * n, N))).reshape(2, n, N)], 1)
    return [AnsweredWindow(state, row, int(t), np.eye(N)[t], 1.0) for row, t in zip(rows, truth, strict=True)]


def test_a_model_that_is_too_sure_and_leans_to_a_label_is_put_right() -> None:
    fitted = fit(drawn("face", 3000, sharper=2.0, leaning=1.0))
    assert fitted.fast["face"] == pytest.approx(2.0, rel=0.1)
    others = np.mean([fitted.bias["face"][label] for label in EXPERT_LABELS[1:]])
    # All of it would be −0.5; biases are held back (`BIAS_RIDGE`).
    assert -0.5 < fitted.bias["face"][EXPERT_LABELS[0]] - others < -0.25


def test_of_face_and_voice_that_say_nothing_nothing_is_taken() -> None:
    fitted = fit(drawn("both", 3000))
    assert fitted.fast["both"] == pytest.approx(1.0, rel=0.1)
    assert fitted.alone == pytest.approx({"face": 0.0, "voice": 0.0}, abs=0.1)


def test_a_label_of_both_that_speaks_against_the_truth_is_refused_or_hardly_counts() -> None:
    """The truth is what the face alone says, less half of what the label of both says."""
    fair = drawn("both", 3000)
    wrong = [replace(a, log_p=np.stack([a.log_p[1], a.log_p[0] + 0.5 * a.log_p[1], a.log_p[2]])) for a in fair]
    with pytest.raises(SystemExit, match="its label does not count"):
        fit(wrong)
    fitted = fit(wrong, least=0.02)
    assert fitted.fast["both"] == 50.0
    assert fitted.alone["face"] > 0.8


def test_what_comes_live_settles_how_sure_a_state_is_and_moves_no_label() -> None:
    rising = dict(zip(EXPERT_LABELS, np.arange(N) / 5, strict=True))
    fitted = Calibration({"face": 1.0, "both": 0.5}, {"both": rising}, {"face": 0.4, "voice": 0.2})
    live = [*drawn("face", 3000, sharper=2.0), *drawn("both", 40)]
    calibration, found = matched_to_live(fitted, live)
    assert calibration.fast["face"] == pytest.approx(2.0, rel=0.1)
    assert (found["face"].n, found["both"].n) == (3000, 40)
    assert found["face"].after < 0.05 < found["face"].before
    flatter = found["both"].temperature
    both = [a for a in live if a.state == "both"]
    assert calibrated(both, calibration) == pytest.approx(log_softmax(calibrated(both, fitted) / flatter), abs=0.02)
    assert matched_to_live(fitted, [])[0] == fitted
