"""Sounds made for tests of the voice's cues."""

from __future__ import annotations

import numpy as np
import scipy.signal

from realtime.records import SAMPLE_RATE_HZ, Float32


def spoken(pitch_hz: float, *, seconds: float = 2.0, syllables_hz: float = 4.0, gain: float = 0.3) -> Float32:
    """Glottal pulses through three vowel resonances, opened and closed `syllables_hz` times a second."""
    n = int(seconds * SAMPLE_RATE_HZ)
    phase = np.cumsum(np.full(n, pitch_hz / SAMPLE_RATE_HZ))
    sound = np.diff(np.floor(phase), prepend=0.0)
    for formant_hz, width_hz in ((700, 80), (1200, 90), (2600, 120)):
        radius = np.exp(-np.pi * width_hz / SAMPLE_RATE_HZ)
        poles = [1, -2 * radius * np.cos(2 * np.pi * formant_hz / SAMPLE_RATE_HZ), radius**2]
        sound = scipy.signal.lfilter([1 - radius], poles, sound)
    envelope = np.clip(0.5 - 0.6 * np.cos(2 * np.pi * syllables_hz * np.arange(n) / SAMPLE_RATE_HZ), 0.01, 1)
    sound = sound * envelope
    result: Float32 = (gain * sound / np.abs(sound).max()).astype(np.float32)
    return result
