"""How sure a model may tell its labels, counted on windows of which the truth is known."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from realtime.engine.loading import LoadedModel
from tests.train.people import people
from train.tuning import surest


def test_a_bound_is_the_share_of_the_surest_that_was_right_and_never_1() -> None:
    confidence = np.linspace(1.0, 0.5, 400)
    assert surest.bound(confidence, np.ones(400, np.bool_)) == 0.997  # 401 of 402
    right = np.arange(400) >= 20  # the twenty surest are wrong
    assert surest.bound(confidence, right) == 0.947  # 381 of 402: the more are counted, the less those weigh
    right = np.arange(400) < 150
    assert surest.bound(confidence, right) == 0.993  # 151 of 152
    assert surest.bound(confidence[::-1], right[::-1]) == 0.993, "their order is that of their confidence"


def test_too_few_windows_or_wrong_ones_give_no_bound() -> None:
    confidence = np.linspace(1.0, 0.5, 99)
    assert surest.bound(confidence, np.ones(99, np.bool_)) is None
    assert surest.bound(np.linspace(1.0, 0.5, 200), np.zeros(200, np.bool_)) is None


def test_each_kind_of_window_has_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    told = [("apart", 0.9, at % 10 != 0) for at in range(100)] + [("face", 0.99, True)] * 100 + [("voice", 0.9, True)]
    assert surest.bounds(told) == {"apart": 0.892, "face": 0.99}
    assert "face: 100 windows, 1.000 right; bound 0.99, 0 were told surer\n" in capsys.readouterr().out


@pytest.mark.slow
def test_the_bounds_are_added_to_the_models_calibration(
    nano: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, out = people(tmp_path / "data"), tmp_path / "calibration.json"
    (data / "ravdess").mkdir()
    monkeypatch.setattr("train.tuning.calibrate.BENCHMARKS", ("voices",))
    monkeypatch.setattr(surest, "LEAST", 3)
    monkeypatch.setattr("sys.argv", ["surest", "--model", "nano", "--data", str(data), "--out", str(out)])
    surest.main()
    written, shipped = json.loads(out.read_text()), asdict(nano.weights.config.emotion.calibration)
    bounds = written.pop("at_most")
    assert set(bounds) <= {"voice"}, "validation people of this folder are heard alone"
    assert shipped.pop("at_most").keys() >= {"face", "both", "apart"}
    assert written == shipped
