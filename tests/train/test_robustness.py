"""Missing and shifted modalities: what is lost, what stays, and what the table says of answers that are known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from realtime.engine.loading import LoadedModel
from realtime.errors import BadSettings
from realtime.records import SAMPLE_RATE_HZ, SpeechSegment, VideoFrame
from tests.ingest.media_files import voice as spoken
from train import metrics
from train.evaluation import robustness
from train.evaluation.answering import ModelUnderTest, perceive
from train.evaluation.compare import paired_calibration
from train.evaluation.damage import COMPLETE, SILENCE_S, SQUARES, Damage, damaged
from train.evaluation.run_folder import Row
from train.evaluation.samples import Sample

LABELS = ("happy", "sad")


@pytest.fixture(scope="module")
def pair() -> Sample:
    skimage = pytest.importorskip("skimage.data")
    frame = VideoFrame(42.0, np.ascontiguousarray(skimage.astronaut()))
    return Sample("a b 40", "happy", "a", {}, frame=frame, speech=SpeechSegment(40.0, 42.0, spoken(2.0)))


def lost_squares(sample: Sample, before: Sample) -> set[tuple[int, int]]:
    assert sample.frame is not None
    assert before.frame is not None
    changed_HW = (sample.frame.rgb_HW3 != before.frame.rgb_HW3).any(-1)
    size = changed_HW.shape[0] // SQUARES
    return {(int(y) // size, int(x) // size) for y, x in np.argwhere(changed_HW)}


@pytest.mark.slow
def test_a_share_is_lost_and_a_greater_share_loses_more(pair: Sample) -> None:
    half, most = (damaged(pair, Damage(face=share)) for share in (0.5, 0.75))
    assert len(lost_squares(half, pair)) == pytest.approx(0.5 * SQUARES**2, abs=2)
    assert len(lost_squares(most, pair)) == pytest.approx(0.75 * SQUARES**2, abs=2)
    assert lost_squares(half, pair) < lost_squares(most, pair)
    assert half.speech == pair.speech
    quiet = damaged(pair, Damage(voice=0.5))
    assert quiet.speech is not None
    stretches = quiet.speech.samples_N.reshape(-1, round(SILENCE_S * SAMPLE_RATE_HZ))
    assert (stretches == 0).all(1).sum() == len(stretches) / 2
    assert quiet.frame is not None
    assert pair.frame is not None
    np.testing.assert_array_equal(quiet.frame.rgb_HW3, pair.frame.rgb_HW3)
    same = damaged(pair, Damage(face=0.5))
    assert lost_squares(same, pair) == lost_squares(half, pair), "the same each time it is read"


def test_a_complete_pair_is_unchanged_and_a_part_of_one_is_refused(pair: Sample) -> None:
    same = damaged(pair, COMPLETE)
    assert same.speech is not None
    assert pair.speech is not None
    assert (same.key, same.speech.start_s, same.speech.end_s) == (pair.key, pair.speech.start_s, pair.speech.end_s)
    assert same.speech.samples_N is pair.speech.samples_N
    assert same.frame is not None
    assert pair.frame is not None
    assert same.frame.rgb_HW3 is pair.frame.rgb_HW3
    with pytest.raises(ValueError, match="no pair"):
        damaged(damaged(pair, Damage(face=1)), COMPLETE)


def test_windows_of_damaged_pairs_hold_what_is_left(nano: LoadedModel, pair: Sample) -> None:
    """The model's own perception: nothing seen, nothing heard, and both with the right time between them."""

    def window(damage: Damage) -> tuple[list[float], list[float], float]:
        ((_, seen),), failed = perceive(nano, ModelUnderTest("nano"), [damaged(pair, damage)], frozenset())
        assert not failed
        assert seen.end_s - seen.start_s == 8.0
        return [frame.at_s for frame in seen.frames], [part.end_s for part in seen.speech], seen.end_s

    assert window(COMPLETE) == ([42.0], [42.0], 42.0)
    assert window(Damage(face=1)) == ([], [42.0], 42.0)
    assert window(Damage(voice=1)) == ([42.0], [], 42.0)
    assert window(Damage(shift_s=4)) == ([42.0], [46.0], 46.0)
    assert window(Damage(shift_s=-4)) == ([46.0], [42.0], 46.0)


def rows(answers: str) -> dict[str, Row]:
    """A row for each letter: h and s are right and wrong answers to eight happy samples, all 0.75 sure."""
    given = {"h": "happy", "s": "sad"}
    return {
        f"{number}: a.wav": {
            "truth": "happy", "answer": given[letter],
            "probabilities": {label: 0.75 if label == given[letter] else 0.25 for label in LABELS},
        }
        for number, letter in enumerate(answers)
    }  # fmt: skip


def test_a_row_is_compared_sample_by_sample() -> None:
    found = robustness.against(rows("hhhhhhss"), rows("hhhhssss"), LABELS)
    assert found["accuracy"]["value"] == 0.5
    assert found["accuracy"]["difference"] == -0.25
    low, high = found["accuracy"]["difference_95"]
    assert -0.75 < low < -0.25 < high <= 0
    # 0.75 sure and 0.75 right is calibrated; 0.5 right is off by 0.25.
    assert (found["ece"]["value"], found["ece"]["difference"]) == (0.25, 0.25)
    same = robustness.against(rows("hhhhhhss"), rows("hhhhhhss"), LABELS)
    assert same["accuracy"]["difference_95"] == same["ece"]["difference_95"] == [0, 0]


def test_the_paired_calibration_error_is_that_of_the_reports() -> None:
    rng = np.random.default_rng(3)
    a_NL, b_NL = (rng.dirichlet(np.ones(7), 400) for _ in range(2))
    truth_N = rng.integers(0, 7, 400)
    found = paired_calibration(a_NL, b_NL, truth_N)
    assert found["a"] == pytest.approx(metrics.calibration_error(a_NL, truth_N), abs=1e-5)
    assert found["b"] == pytest.approx(metrics.calibration_error(b_NL, truth_N), abs=1e-5)
    assert found["low"] < found["difference"] < found["high"]


def test_the_area_is_a_mean_over_shares() -> None:
    assert robustness.area([0.8] * 4) == pytest.approx(0.8)
    assert robustness.area([0.8, 0.6, 0.4, 0.2]) == pytest.approx(0.5)


def test_every_pair_is_there_with_every_damage(pair: Sample) -> None:
    found = list(robustness.samples(lambda: [pair]))
    assert len({sample.key for sample in found}) == len({sample.session for sample in found}) == len(found)
    assert {sample.truth for sample in found} == {pair.truth}
    assert sum(sample.frame is None for sample in found) == sum(sample.speech is None for sample in found) == 1


def test_the_table_has_a_row_for_every_damage(tmp_path: Path) -> None:
    settings = {"benchmark": "conflict", "split": "test", "model": "nano"}
    answers = [
        row | {"key": f"{damage.name}: {key}"}
        for damage in robustness.DAMAGES
        for key, row in rows("hhhhhhss" if damage is COMPLETE else "hhhhssss").items()
    ]
    result = robustness.table(settings, answers, LABELS)
    assert list(result["rows"]) == [damage.name for damage in robustness.DAMAGES]
    assert result["area"] == pytest.approx((0.5 * (0.75 + 0.5) + 0.5 + 0.5) / 3, abs=1e-3)
    robustness.write(result | {"command": "python …"}, tmp_path)
    assert json.loads((tmp_path / "robustness.json").read_text("utf-8"))["rows"].keys() == result["rows"].keys()
    assert "| no face | 8 | 0.500 (-0.250," in (tmp_path / "robustness.md").read_text("utf-8")
    with pytest.raises(BadSettings, match="no pairs to damage"):
        robustness.refuse("ferplus")
