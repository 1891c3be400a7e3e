"""Sounds made for tests of the voice's cues, and how one is measured."""

from __future__ import annotations

import numpy as np
from scipy.signal import butter, lfilter

from realtime.evidence import voice
from realtime.evidence.baseline import VoiceBaseline
from realtime.records import SAMPLE_RATE_HZ, Float32, VoiceCues

N = 3 * SAMPLE_RATE_HZ
"Samples of a sound."
FORMANTS_HZ = ((730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480), (570, 840, 2410))
"Of five vowels (Peterson and Barney 1952, men)."


def spoken(pitch_hz: float, *, seconds: float = 2.0, syllables_hz: float = 4.0, gain: float = 0.3) -> Float32:
    """Glottal pulses through three vowel resonances, opened and closed `syllables_hz` times a second."""
    n = int(seconds * SAMPLE_RATE_HZ)
    phase = np.cumsum(np.full(n, pitch_hz / SAMPLE_RATE_HZ))
    sound = np.diff(np.floor(phase), prepend=0.0)
    for formant_hz, width_hz in ((700, 80), (1200, 90), (2600, 120)):
        radius = np.exp(-np.pi * width_hz / SAMPLE_RATE_HZ)
        poles = [1, -2 * radius * np.cos(2 * np.pi * formant_hz / SAMPLE_RATE_HZ), radius**2]
        sound = lfilter([1 - radius], poles, sound)
    envelope = np.clip(0.5 - 0.6 * np.cos(2 * np.pi * syllables_hz * np.arange(n) / SAMPLE_RATE_HZ), 0.01, 1)
    sound = sound * envelope
    result: Float32 = (gain * sound / np.abs(sound).max()).astype(np.float32)
    return result


def measure_voice(samples_N: Float32, baseline: VoiceBaseline) -> VoiceCues:
    """Cues of one utterance relative to the voice's baseline, which it then moves if it is a voiced one."""
    measured = voice.measure_voice(samples_N)
    cues = voice.told_against(baseline, measured)
    if voice.moves_baseline(cues):
        baseline.push(measured.features_P, seconds=len(samples_N) / SAMPLE_RATE_HZ)
    return cues


def whisper(rng: np.random.Generator) -> Float32:
    """Noise through the formants of vowels that change every 0.15 s, with fricatives and pauses between them."""
    parts: list[Float32] = []
    while sum(map(len, parts)) < N:
        sound_N = rng.normal(0, 1, round(0.15 * SAMPLE_RATE_HZ))
        if rng.random() < 0.3:
            sound_N = 0.3 * lfilter(*butter(2, 3500, "high", fs=SAMPLE_RATE_HZ), sound_N)
        else:
            for formant_hz in FORMANTS_HZ[rng.integers(5)]:
                r = np.exp(-np.pi * 120 / SAMPLE_RATE_HZ)
                turn = -2 * r * np.cos(2 * np.pi * formant_hz / SAMPLE_RATE_HZ)
                sound_N = lfilter([1 + turn + r * r], [1, turn, r * r], sound_N)
            sound_N = sound_N / np.abs(sound_N).max()
        parts += [np.asarray(sound_N, np.float32), np.zeros(round(0.04 * SAMPLE_RATE_HZ), np.float32)]
    whole_N = np.concatenate(parts)[:N]
    return np.asarray(0.05 * whole_N / np.abs(whole_N).max() + rng.normal(0, 1e-4, N), np.float32)
