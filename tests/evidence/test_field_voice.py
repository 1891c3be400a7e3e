"""Sounds that people met in the field and that were read as somebody's voice once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.signal import butter, lfilter, resample_poly

from realtime.evidence.baseline import USUAL_S, USUAL_UTTERANCES, VoiceBaseline, population
from realtime.evidence.voice import PITCH_VALUES, VOICE_FEATURES
from realtime.publish.events import CuesEvent
from realtime.publish.report import voice_event
from realtime.records import SAMPLE_RATE_HZ, Float32, SpeechEvidence
from tests.evidence.sounds import N, measure_voice, spoken, whisper

T_N = np.arange(N) / SAMPLE_RATE_HZ


def white(rng: np.random.Generator) -> Float32:
    return np.asarray(rng.normal(0, 0.1, N), np.float32)


def hiss(rng: np.random.Generator) -> Float32:
    return np.asarray(lfilter(*butter(2, 2000, "high", fs=SAMPLE_RATE_HZ), white(rng)), np.float32)


def breath(rng: np.random.Generator) -> Float32:
    band_N = lfilter(*butter(2, [300, 3000], "band", fs=SAMPLE_RATE_HZ), white(rng))
    return np.asarray(3 * band_N * np.maximum(0, np.sin(2 * np.pi * T_N / 2.2)) ** 2, np.float32)


def typing(rng: np.random.Generator) -> Float32:
    sound_N, at_s = np.zeros(N), 0.1
    while at_s < 2.8:
        first, n = round(at_s * SAMPLE_RATE_HZ), round(rng.uniform(0.005, 0.02) * SAMPLE_RATE_HZ)
        sound_N[first : first + n] += rng.normal(0, 1, n) * np.exp(-np.arange(n) / (n / 3)) * rng.uniform(0.1, 0.5)
        at_s += rng.uniform(0.08, 0.3)
    return np.asarray(sound_N + rng.normal(0, 1e-3, N), np.float32)


def hum(rng: np.random.Generator) -> Float32:
    return np.asarray(0.2 * np.sin(2 * np.pi * 100 * T_N) + 0.1 * np.sin(2 * np.pi * 300 * T_N), np.float32)


def melody(rng: np.random.Generator) -> Float32:
    pitch_N = np.repeat([262.0, 330.0, 392.0, 330.0, 262.0, 294.0], N // 6)
    phase_N = 2 * np.pi * np.cumsum(pitch_N) / SAMPLE_RATE_HZ
    return np.asarray(sum(np.sin(k * phase_N) / k for k in (1, 2, 3, 4)) * 0.15, np.float32)


Sound = Callable[[np.random.Generator], Float32]


@pytest.mark.parametrize("gain", [0.1, 1.0])
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("sound", [white, hiss, breath, typing, hum])
def test_noise_breath_typing_and_hum_are_no_voice(sound: Sound, seed: int, gain: float) -> None:
    """Field report 2: "The voice is angry", with 0.86 to 0.93."""
    baseline = VoiceBaseline()
    before_P = baseline.relative(np.zeros(len(VOICE_FEATURES), np.float32))
    cues = measure_voice(np.asarray(gain * sound(np.random.default_rng(seed)), np.float32), baseline)
    assert cues.kind != "voice"
    np.testing.assert_array_equal(baseline.relative(np.zeros(len(before_P), np.float32)), before_P)


@pytest.mark.parametrize("seed", range(5))
def test_a_whisper_is_a_voice(seed: int) -> None:
    cues = measure_voice(whisper(np.random.default_rng(seed)), VoiceBaseline())
    assert cues.values["voiced_ratio"] < 0.1
    assert cues.kind == "voice"


def known_voice() -> VoiceBaseline:
    """Of a voice that sounds like the mean of all, and was heard for long enough."""
    baseline, mean_P = VoiceBaseline(), np.array(population()["voice"]["mean"], np.float32)
    for _ in range(USUAL_UTTERANCES):
        baseline.push(mean_P, seconds=USUAL_S / USUAL_UTTERANCES)
    return baseline


def event_of(samples_N: Float32, baseline: VoiceBaseline) -> CuesEvent:
    cues = measure_voice(samples_N, baseline)
    evidence = SpeechEvidence(0.0, 3.0, cues, np.zeros((1, 4), np.float32), np.zeros((3, 1), np.int64))
    return voice_event(evidence)


def test_the_pitch_of_a_whisper_is_null_and_no_cue() -> None:
    """Field report 3: `pitch_hz: 0.0`, relative −3.0, "Pitch much higher"."""
    whispered_N = whisper(np.random.default_rng(0))
    told = event_of(whispered_N, known_voice())
    assert told.voice is not None
    assert told.relative is not None
    assert {name for name, value in told.voice.items() if value is None} == PITCH_VALUES
    assert {name for name, value in told.relative.items() if value is None} == PITCH_VALUES
    cues = measure_voice(whispered_N, known_voice())
    assert {cues.relative[name] for name in PITCH_VALUES} == {0.0}


def test_noise_is_relative_to_nobody() -> None:
    told = event_of(white(np.random.default_rng(0)), known_voice())
    assert told.relative is None
    assert told.voice is not None
    assert told.voice["pitch_hz"] is None
    assert told.voice["loudness_db"] is not None
    assert told.voice["loudness_db"] < 0


def test_a_sentence_with_a_melody_has_every_value() -> None:
    pitch_N = 140 * 2 ** (0.5 * np.sin(2 * np.pi * T_N))
    phase_N = 2 * np.pi * np.cumsum(pitch_N) / SAMPLE_RATE_HZ
    syllables_N = np.maximum(0, np.sin(2 * np.pi * 2 * T_N)) ** 0.5
    said_N = 0.1 * syllables_N * sum(np.sin(k * phase_N) / k for k in range(1, 20))
    first, told = (event_of(np.asarray(said_N, np.float32), baseline) for baseline in (VoiceBaseline(), known_voice()))
    assert first.relative is None, "nothing is told against a usual that is not known yet"
    assert told.voice is not None
    assert told.relative is not None
    assert None not in told.voice.values()
    assert None not in told.relative.values()


def test_the_sound_of_a_telephone_is_noticed() -> None:
    """Field report 15: 8 kHz and PCMU."""
    wide_N = whisper(np.random.default_rng(3)) + spoken(140.0, seconds=3.0)
    narrow_N = np.asarray(resample_poly(resample_poly(wide_N, 1, 2), 2, 1), np.float32)
    assert not measure_voice(wide_N, VoiceBaseline()).narrow_band
    assert measure_voice(narrow_N, VoiceBaseline()).narrow_band
