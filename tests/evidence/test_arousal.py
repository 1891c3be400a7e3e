"""How aroused generated voices sound."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import scipy.signal

from realtime.evidence.arousal import voice_arousal
from realtime.evidence.baseline import VoiceBaseline
from realtime.records import SAMPLE_RATE_HZ, Float32
from tests.evidence.sounds import measure_voice, whisper


def sentence(pitch_hz: float, *, swing_st: float, steep_hz: float, gain: float = 0.3) -> Float32:
    """Three seconds of syllables whose pitch swings; their spectrum falls off above `steep_hz`."""
    at_s = np.arange(3 * SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    pitch = pitch_hz * 2 ** (swing_st * np.sin(2 * np.pi * 1.3 * at_s) / 12)
    sound = np.diff(np.floor(np.cumsum(pitch / SAMPLE_RATE_HZ)), prepend=0.0)
    for formant_hz, width_hz in ((700, 80), (1200, 90), (2600, 120)):
        radius = np.exp(-np.pi * width_hz / SAMPLE_RATE_HZ)
        poles = [1, -2 * radius * np.cos(2 * np.pi * formant_hz / SAMPLE_RATE_HZ), radius**2]
        sound = sound + 0.3 * scipy.signal.lfilter([1 - radius], poles, sound)
    low = scipy.signal.butter(1, steep_hz, fs=SAMPLE_RATE_HZ)
    sound = scipy.signal.lfilter(*low, sound) * np.clip(0.5 - 0.6 * np.cos(2 * np.pi * 4 * at_s), 0.01, 1)
    result: Float32 = (gain * sound / np.abs(sound).max()).astype(np.float32)
    return result


def arousal(samples_N: Float32) -> float:
    found = voice_arousal(measure_voice(samples_N, VoiceBaseline()))
    assert found is not None
    return found


def test_a_shout_is_aroused_and_a_whisper_is_not() -> None:
    shouted = arousal(sentence(280.0, swing_st=4.0, steep_hz=6000.0))
    calm = arousal(sentence(110.0, swing_st=1.5, steep_hz=300.0))
    whispered = arousal(whisper(np.random.default_rng(0)))
    assert shouted > calm + 0.3
    assert shouted > 0.3
    assert whispered < 0 < shouted


def test_the_gain_of_the_microphone_says_nothing() -> None:
    loud, quiet = (sentence(200.0, swing_st=3.0, steep_hz=2000.0, gain=gain) for gain in (0.5, 0.05))
    assert abs(arousal(loud) - arousal(quiet)) < 0.1


def test_what_is_no_voice_is_not_aroused() -> None:
    cues = measure_voice(sentence(200.0, swing_st=3.0, steep_hz=2000.0), VoiceBaseline())
    assert voice_arousal(replace(cues, kind="noise")) is None
