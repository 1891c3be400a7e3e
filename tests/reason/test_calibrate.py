"""Probabilities by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from realtime.model.config import Calibration
from realtime.reason import calibrate
from realtime.records import Conflict


def test_a_temperature_flattens_and_keeps_the_order() -> None:
    scores = {"happy": 0.0, "sad": -math.log(3)}
    assert calibrate.fast(scores, "face", Calibration()) == pytest.approx({"happy": 0.75, "sad": 0.25})
    flat = calibrate.fast(scores, "face", Calibration(fast={"face": 2.0}))
    assert flat == pytest.approx({"happy": math.sqrt(3) / (1 + math.sqrt(3)), "sad": 1 / (1 + math.sqrt(3))})


def test_a_bias_moves_its_labels_and_leaves_a_label_set_of_ones_own_alone() -> None:
    calibration = Calibration(bias={"face": {"happy": math.log(3), "sad": 0.0}})
    even = {"happy": -1.0, "sad": -1.0}
    assert calibrate.fast(even, "face", calibration) == pytest.approx({"happy": 0.75, "sad": 0.25})
    assert calibrate.fast(even, "voice", calibration) == pytest.approx({"happy": 0.5, "sad": 0.5})
    own = {"happy": -1.0, "bored": -1.0}
    assert calibrate.fast(own, "face", calibration) == pytest.approx({"happy": 0.5, "bored": 0.5})


def test_what_each_modality_says_alone_counts_beside_what_both_say() -> None:
    calibration = Calibration(alone={"face": 1.0, "voice": 0.5})
    even = {"happy": 0.0, "sad": 0.0}
    alone = {"face": {"happy": math.log(2), "sad": 0.0}, "voice": {"happy": 0.0, "sad": math.log(4)}}
    assert calibrate.fast(even, "both", calibration, alone=alone) == pytest.approx({"happy": 0.5, "sad": 0.5})
    assert calibrate.fast(even, "both", Calibration(), alone=alone) == pytest.approx({"happy": 0.5, "sad": 0.5})
    face = {"face": alone["face"]}
    assert calibrate.fast(even, "both", calibration, alone=face) == pytest.approx({"happy": 2 / 3, "sad": 1 / 3})


def test_the_chains_label_earns_its_bonus_and_no_label_earns_none() -> None:
    calibration = Calibration(chain={"bonus": math.log(4)})
    even = {"happy": 0.5, "sad": 0.5}
    assert calibrate.joined(even, "sad", calibration) == pytest.approx({"happy": 0.2, "sad": 0.8})
    assert calibrate.joined(even, None, calibration) == pytest.approx(even)


def test_a_judgement_that_read_words_has_weights_of_its_own() -> None:
    calibration = Calibration(chain={"fast": 1.0, "judged": 0.0}, words={"fast": 0.0, "judged": 1.0})
    even, judged = {"happy": 0.5, "sad": 0.5}, {"happy": math.log(0.2), "sad": math.log(0.8)}
    assert calibrate.joined(even, None, calibration, judged=judged) == pytest.approx(even)
    read = calibrate.joined(even, None, calibration, judged=judged, said={})
    assert read == pytest.approx({"happy": 0.2, "sad": 0.8})
    unfitted = replace(calibration, words={})
    assert calibrate.joined(even, None, unfitted, judged=judged, said={}) == pytest.approx(even)


def test_words_decide_as_far_as_face_and_voice_show_nothing() -> None:
    calibration = Calibration(words={"fast": 1.0, "judged": 0.0, "decide": 0.8})
    judged = dict.fromkeys(("happy", "sad", "neutral"), 0.0)
    said = {"happy": 0.1, "sad": 0.9, "neutral": 0.0}

    def after(happy: float, neutral: float, words: dict[str, float] | None) -> dict[str, float]:
        shares = {"happy": happy, "sad": 1 - happy - neutral, "neutral": neutral}
        return calibrate.joined(shares, None, calibration, judged=judged, said=words)

    assert after(0.05, 0.9, said) == pytest.approx({"happy": 0.05 + 0.072, "sad": 0.05 + 0.648, "neutral": 0.18})
    assert after(0.9, 0.0, said) == pytest.approx({"happy": 0.9, "sad": 0.1, "neutral": 0.0}, abs=1e-6), (
        "it stays happy"
    )
    for nothing in (None, {}, {"joy": 1.0}):
        assert after(0.05, 0.9, nothing) == pytest.approx({"happy": 0.05, "sad": 0.05, "neutral": 0.9})


def test_what_words_say_alone_has_a_temperature_and_a_bias_of_its_own() -> None:
    calibration = Calibration(fast={"words": 2.0}, bias={"words": {"happy": -math.log(2), "sad": 0.0}})
    assert calibrate.of_words({"happy": 0.8, "sad": 0.2}, calibration) == pytest.approx({"happy": 0.5, "sad": 0.5})
    assert calibrate.of_words({"happy": 0.8, "sad": 0.2}, Calibration()) == pytest.approx({"happy": 0.8, "sad": 0.2})


def test_an_answer_below_the_threshold_is_unsure_and_says_how_little_it_was() -> None:
    calibration = Calibration(unsure_below=0.5)
    spread = {"happy": 0.45, "sad": 0.3, "fear": 0.25}
    answer = calibrate.answer(spread, "happy", "strong", calibration)
    assert (answer.label, answer.confidence) == ("unsure", 0.45)
    sure = calibrate.answer({"happy": 0.9, "sad": 0.1}, "happy", "strong", calibration)
    assert (sure.label, sure.intensity, sure.confidence) == ("happy", "strong", 0.9)


def test_no_unsure_answer_is_sure_of_a_label() -> None:
    """A chain that named no label, or contradicted itself, was told as unsure with a confidence of 1.0."""
    calibration, likely = Calibration(unsure_below=0.4), {"happy": 0.99, "sad": 0.01}
    for answer in (calibrate.answer(likely, None, "", calibration), calibrate.unsure(likely, calibration)):
        assert (answer.label, answer.intensity, answer.confidence) == ("unsure", "", 0.4)
    assert calibrate.unsure({"happy": 0.3, "sad": 0.35, "unsure": 0.35}, calibration).confidence == 0.35


def test_divergence_is_0_for_the_same_and_1_for_nothing_shared() -> None:
    assert calibrate.divergence_bits([0.5, 0.5], [0.5, 0.5]) == 0.0
    assert calibrate.divergence_bits([1.0, 0.0], [0.0, 1.0]) == pytest.approx(1.0)
    assert calibrate.divergence_bits([1.0, 0.0], [0.5, 0.5]) == pytest.approx(0.311278, abs=1e-6)


@pytest.mark.parametrize(
    ("has_face", "has_speech", "state"),
    [(True, True, "both"), (True, False, "face"), (False, True, "voice"), (False, False, "none")],
)
def test_states(has_face: bool, has_speech: bool, state: str) -> None:
    assert calibrate.state_of(has_face=has_face, has_speech=has_speech) == state


def test_no_label_is_told_surer_than_was_seen_and_the_others_gain_in_proportion() -> None:
    shares = {"happy": 0.99, "sad": 0.008, "fear": 0.002}
    assert calibrate.bounded(shares, 0.9) == pytest.approx({"happy": 0.9, "sad": 0.08, "fear": 0.02})
    assert calibrate.bounded(shares, 0.99) == shares
    assert calibrate.bounded({"happy": 1.0, "sad": 0.0, "fear": 0.0}, 0.9) == pytest.approx(
        {"happy": 0.9, "sad": 0.05, "fear": 0.05}
    )
    calibration = Calibration(at_most={"face": 0.8, "both": 0.95, "apart": 0.9})
    scores = {"happy": 0.0, "sad": -5.0}
    assert calibrate.fast(scores, "face", calibration) == pytest.approx({"happy": 0.8, "sad": 0.2})
    assert calibrate.fast(scores, "voice", calibration)["happy"] == pytest.approx(0.9933, abs=1e-4)


@pytest.mark.parametrize(("score", "most"), [(None, 0.8), (0.399, 0.95), (0.4, 0.9)])
def test_a_face_and_a_voice_that_disagree_have_a_bound_of_their_own(score: float | None, most: float) -> None:
    calibration = Calibration(at_most={"face": 0.8, "both": 0.95, "apart": 0.9})
    conflict = None if score is None else Conflict({}, {}, score)
    state = "face" if score is None else "both"
    assert calibrate.largest(state, conflict, calibration) == most
    assert calibrate.largest(state, conflict, Calibration()) == 1.0
