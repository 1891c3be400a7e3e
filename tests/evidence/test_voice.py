"""Prosody of sounds whose prosody is known because we made them, and of three real clips."""

from __future__ import annotations

import time

import numpy as np
import pytest

from realtime.evidence.baseline import (
    USUAL_S,
    USUAL_UTTERANCES,
    VOICE_PSEUDO_COUNT,
    VoiceBaseline,
    fit_voice_population,
    population,
)
from realtime.evidence.voice import VOICE_FEATURES, VOICE_VALUES, voice_features
from realtime.records import SAMPLE_RATE_HZ, Float32
from tests.evidence.sounds import measure_voice, spoken
from tests.recorded import clip, sound_of


@pytest.mark.parametrize("pitch_hz", [110.0, 200.0, 310.0])
def test_pitch_is_the_rate_of_the_pulses(pitch_hz: float) -> None:
    values, _ = voice_features(spoken(pitch_hz))
    assert values["pitch_hz"] == pytest.approx(pitch_hz, rel=0.015)
    assert values["pitch_range_st"] < 1.0
    assert values["voiced_ratio"] > 0.5


def test_ten_times_the_amplitude_is_20_db() -> None:
    loud, quiet = voice_features(spoken(150, gain=0.5))[0], voice_features(spoken(150, gain=0.05))[0]
    assert loud["loudness_db"] - quiet["loudness_db"] == pytest.approx(20, abs=1)
    assert loud["pitch_hz"] == pytest.approx(quiet["pitch_hz"], rel=0.01)
    assert loud["tilt_db"] == pytest.approx(quiet["tilt_db"], abs=0.5)


@pytest.mark.parametrize("syllables_hz", [3.0, 5.0, 7.0])
def test_rate_counts_syllables(syllables_hz: float) -> None:
    values, _ = voice_features(spoken(160, seconds=3.0, syllables_hz=syllables_hz))
    assert values["rate_hz"] == pytest.approx(syllables_hz, rel=0.25)


def test_more_treble_is_a_brighter_voice() -> None:
    plain = spoken(150)
    sharp = np.diff(plain, prepend=0.0).astype(np.float32)
    before, after = voice_features(plain)[0], voice_features(sharp)[0]
    assert after["tilt_db"] > before["tilt_db"] + 3
    assert after["brightness_hz"] > before["brightness_hz"]


def test_a_gap_between_words_is_a_pause() -> None:
    word, gap = spoken(150, seconds=1.0, syllables_hz=1.0), np.zeros(SAMPLE_RATE_HZ // 2, np.float32)
    assert voice_features(np.concatenate([word, gap, word]))[0]["pause_ratio"] > 0.15


@pytest.mark.parametrize(
    "sound",
    [
        np.zeros(SAMPLE_RATE_HZ, np.float32),
        np.zeros(0, np.float32),
        np.ones(1, np.float32),
        np.full(1000, np.nan, np.float32),
        np.full(SAMPLE_RATE_HZ, 1.0, np.float32),
        np.random.default_rng(0).normal(0, 0.2, SAMPLE_RATE_HZ).astype(np.float32),
    ],
    ids=["silence", "nothing", "one sample", "not numbers", "a stuck converter", "noise"],
)
def test_any_sound_gives_numbers(sound: Float32) -> None:
    baseline = VoiceBaseline()
    cues = measure_voice(sound, baseline)
    assert np.isfinite(cues.features_P).all()
    assert np.isfinite(list(cues.values.values())).all()
    assert np.isfinite(list(cues.relative.values())).all()
    assert cues.values["pitch_hz"] == 0 or cues.values["voiced_ratio"] > 0


def test_silence_has_no_pitch_and_does_not_move_the_baseline() -> None:
    baseline = VoiceBaseline()
    _, speech = voice_features(spoken(150))
    before = baseline.relative(speech)
    silence = measure_voice(np.zeros(SAMPLE_RATE_HZ, np.float32), baseline)
    assert silence.values["pitch_hz"] == 0
    assert silence.values["loudness_db"] == -90
    np.testing.assert_array_equal(baseline.relative(speech), before)


def test_wire_values_lead_the_features() -> None:
    values, features = voice_features(spoken(150))
    assert tuple(values) == VOICE_VALUES == VOICE_FEATURES[: len(VOICE_VALUES)]
    assert features.shape == (len(VOICE_FEATURES),)
    assert len(set(VOICE_FEATURES)) == len(VOICE_FEATURES)
    assert len(population()["voice"]["mean"]) == len(population()["voice"]["spread"]) == len(VOICE_FEATURES)


@pytest.mark.parametrize("emotion", ["ANG", "HAP", "NEU"])
def test_real_speech_is_voiced_at_a_mans_pitch(emotion: str) -> None:
    values, _ = voice_features(sound_of(clip(emotion)))
    assert 85 < values["pitch_hz"] < 220
    assert values["voiced_ratio"] > 0.1
    assert 2 < values["rate_hz"] < 8


def test_angry_clip_is_louder_and_higher_than_the_neutral_one() -> None:
    angry, neutral = (voice_features(sound_of(clip(emotion)))[0] for emotion in ("ANG", "NEU"))
    assert angry["loudness_db"] > neutral["loudness_db"] + 3
    assert angry["pitch_hz"] > neutral["pitch_hz"]


class TestVoiceBaseline:
    def test_moves_as_a_mean_with_two_pseudo_counts(self) -> None:
        baseline = VoiceBaseline()
        mean, spread = (np.array(population()["voice"][key]) for key in ("mean", "spread"))
        segment = (mean + spread).astype(np.float32)
        for n_heard in range(5):
            expected = VOICE_PSEUDO_COUNT / (VOICE_PSEUDO_COUNT + n_heard)
            np.testing.assert_allclose(baseline.relative(segment), expected, atol=0.02)
            baseline.push(segment, seconds=2.0)

    def test_relative_is_told_before_the_segment_counts(self) -> None:
        first, second = VoiceBaseline(), VoiceBaseline()
        sound = spoken(150)
        expected = first.relative(voice_features(sound)[1])
        np.testing.assert_array_equal(measure_voice(sound, second).features_P, expected)

    def test_nothing_is_told_against_a_usual_that_is_not_known_yet(self) -> None:
        baseline, sound = VoiceBaseline(), np.tile(sound_of(clip("ANG")), 2)
        told = [measure_voice(sound, baseline) for _ in range(USUAL_UTTERANCES + 1)]
        assert [cues.usual_known for cues in told] == [False] * USUAL_UTTERANCES + [True]
        assert not any(z for cues in told[:-1] for z in cues.relative.values())
        assert any(told[-1].relative.values())

    def test_three_short_calls_make_no_usual(self) -> None:
        baseline, short = VoiceBaseline(), spoken(150, seconds=0.8)
        n_needed = int(np.ceil(USUAL_S / 0.8))
        known = [measure_voice(short, baseline).usual_known for _ in range(n_needed + 1)]
        assert known == [False] * n_needed + [True]

    def test_no_corpus_counts_more_for_having_more_sentences(self) -> None:
        features = np.repeat(np.array([[0.0], [10.0]], np.float32), [10, 90], axis=0)
        features += np.tile([[-1.0], [1.0]], (50, 1)).astype(np.float32)
        many = np.repeat(["small", "large"], [10, 90])
        assert fit_voice_population(features, many, many)["mean"] == pytest.approx([5.0])

    def test_spread_is_within_speakers(self) -> None:
        rng = np.random.default_rng(0)
        speakers = np.repeat(np.arange(20), 50)
        features = (100.0 * speakers[:, None] + rng.normal(0, 2.0, (1000, 3))).astype(np.float32)
        fitted = fit_voice_population(features, speakers, speakers < 10)
        np.testing.assert_allclose(fitted["spread"], 2.0, rtol=0.1)
        np.testing.assert_allclose(fitted["mean"], 950, rtol=0.01)

    def test_few_sentences_of_a_speaker_do_not_make_the_spread_smaller(self) -> None:
        """Each speaker's own mean costs a degree of freedom: of two sentences 2 apart the spread is √2, not 1."""
        speakers = np.repeat(np.arange(3), 2)
        features = (10.0 * speakers[:, None] + np.tile([[-1.0], [1.0]], (3, 1))).astype(np.float32)
        assert fit_voice_population(features, speakers, speakers)["spread"] == pytest.approx([2**0.5], rel=1e-5)


@pytest.mark.slow
def test_four_seconds_are_measured_in_a_quarter_of_that_at_most() -> None:
    """They take 0.04 s of the processor where nothing else runs; a slow machine needs more, and still keeps up."""
    sound = spoken(150, seconds=4.0)
    voice_features(sound)
    started = time.process_time()
    for _ in range(5):
        voice_features(sound)
    assert (time.process_time() - started) / 5 < 1.0
