"""Cuts an utterance into frames: level, spectrum, pitch, and which frames are voiced or active.

Pitch comes from SwiftF0 (MIT, a 130 kB network that ships with its package). Our frames are centred where SwiftF0's
are, every 16 ms, so that every statistic can be taken over the voiced ones.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from realtime.records import SAMPLE_RATE_HZ, Float32

HOP = 256
"SwiftF0's hop: 16 ms."
FRAME = 512
"Window of the spectrum: 32 ms, two hops."
FRAME_RATE_HZ = SAMPLE_RATE_HZ / HOP  # 62.5
N_BINS = FRAME // 2 + 1
N_MELS = 40
N_MFCC = 13
"Cepstral coefficients that are used, from the first on; the one before tells only the level."
PITCH_RANGE_HZ = (60.0, 700.0)
"Speech, from a low creak to a shout. A wider range only adds octave errors."
PITCH_REFERENCE_HZ = 55.0
"Semitones are counted from here."
VOICED_CONFIDENCE = 0.5
"SwiftF0's own calibration, made for a voice close to the microphone."
STEADY_CONFIDENCE = 0.15
"The least confidence that counts where the pitch holds steady. Lower, steady hums of a room would count too."
STEADY_STEP_ST = 1.5
STEADY_FRAMES = 4
FLOOR_DB = -90.0
ACTIVE_BELOW_PEAK_DB = 30.0
"Frames this far below the loudest ones are pauses."

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class SpeechFrames:
    """One utterance as F frames, 16 ms apart."""

    level_F: Float32
    "dBFS."
    power_FB: Float32
    "(F, 257) power spectrum."
    semitones_F: Float32
    "Pitch above 55 Hz; meaningless where not voiced."
    voiced_F: Mask
    active_F: Mask
    "Not a pause."

    def band(self, low_hz: float, high_hz: float) -> Float32:
        """(F,) energy between two frequencies. The topmost band includes 8 kHz."""
        frequency_B = tables().frequency_B
        inside_B = (frequency_B >= low_hz) & ((frequency_B < high_hz) | (high_hz >= SAMPLE_RATE_HZ / 2))
        energy_F: Float32 = self.power_FB[:, inside_B].sum(axis=1)
        return energy_F


@dataclass(frozen=True, slots=True)
class Tables:
    window_N: Float32
    frequency_B: Float32
    "Hz of each bin."
    mel_BM: Float32
    "Triangular filters, 60 Hz to 8 kHz."
    cosines_MK: Float32
    "The orthonormal cosine transform (DCT-II) of a mel spectrum, its coefficients 1 to `N_MFCC`."
    window_correlation_L: Float32
    "Autocorrelation of the window, by lag in samples, 1 at lag 0: what a perfectly periodic frame would keep."


@functools.cache
def tables() -> Tables:
    """Constants of the analysis, computed once."""
    window_N = np.hanning(FRAME).astype(np.float32)
    frequency_B = np.fft.rfftfreq(FRAME, 1 / SAMPLE_RATE_HZ).astype(np.float32)
    mel_B = 2595 * np.log10(1 + frequency_B / 700)
    edges = np.linspace(2595 * np.log10(1 + 60 / 700), mel_B[-1], N_MELS + 2)
    rising_BM = (mel_B[:, None] - edges[None, :-2]) / (edges[1:-1] - edges[:-2])
    falling_BM = (edges[None, 2:] - mel_B[:, None]) / (edges[2:] - edges[1:-1])
    mel_BM = np.maximum(np.minimum(rising_BM, falling_BM), 0.0).astype(np.float32)
    angles_MK = np.outer(np.arange(N_MELS) + 0.5, np.arange(1, N_MFCC + 1)) * np.pi / N_MELS
    cosines_MK = ((2 / N_MELS) ** 0.5 * np.cos(angles_MK)).astype(np.float32)
    correlation_L = np.fft.irfft(np.abs(np.fft.rfft(window_N, 2 * FRAME)) ** 2)[:N_BINS]
    return Tables(window_N, frequency_B, mel_BM, cosines_MK, (correlation_L / correlation_L[0]).astype(np.float32))


@functools.cache
def _pitch_detector() -> Any:
    from swift_f0 import SwiftF0

    # Spinning threads would take the core from the towers between two utterances.
    return SwiftF0(threads=1, spin=False)


def cut(samples_N: Float32) -> SpeechFrames:
    """Frames of 16 kHz mono sound of any length, also none. NaN and infinity count as silence."""
    samples_N = np.nan_to_num(np.asarray(samples_N, np.float32), posinf=0.0, neginf=0.0)
    samples_N = np.pad(samples_N, (0, max(FRAME - samples_N.shape[0], 0)))
    n_frames = samples_N.shape[0] // HOP
    pitch = _pitch_detector().detect(samples_N, SAMPLE_RATE_HZ, *PITCH_RANGE_HZ)
    padded = np.pad(samples_N, (HOP, FRAME))
    cut_FN = np.lib.stride_tricks.sliding_window_view(padded, FRAME)[: n_frames * HOP : HOP]  # centred on i · HOP
    spectrum_FB = np.fft.rfft((cut_FN - cut_FN.mean(axis=1, keepdims=True)) * tables().window_N, axis=1)
    power_FB = (spectrum_FB.real**2 + spectrum_FB.imag**2).astype(np.float32)
    level_F = np.maximum(10 * np.log10(np.mean(cut_FN**2, axis=1) + 1e-12), FLOOR_DB).astype(np.float32)
    active_F = level_F > max(float(np.percentile(level_F, 95)) - ACTIVE_BELOW_PEAK_DB, FLOOR_DB + 10)
    semitones_F = 12 * np.log2(np.maximum(pitch.pitch_hz[:n_frames], 1.0) / PITCH_REFERENCE_HZ)
    voiced_F = _voiced(pitch.confidence[:n_frames], semitones_F, active_F)
    return SpeechFrames(level_F, power_FB, semitones_F.astype(np.float32), voiced_F, active_F)


def _voiced(confidence_F: Float32, semitones_F: Float32, active_F: Mask) -> Mask:
    """Frames where SwiftF0 is sure, and stretches of steady pitch where it is half as sure as it gets in this segment.

    In a room with echo SwiftF0 follows the melody, but its confidence falls: it would call a tenth of the CREMA-D clips
    voiced. A pitch that holds for four frames is a voice. Close to a microphone, where it is nearly always sure, this
    changes almost nothing.
    """
    sure_F: Mask = (confidence_F >= VOICED_CONFIDENCE) & active_F
    if not active_F.any():
        return sure_F
    best = float(np.percentile(confidence_F[active_F], 80))
    likely_F = (confidence_F >= max(best / 2, STEADY_CONFIDENCE)) & active_F
    joined_F = likely_F[1:] & likely_F[:-1] & (np.abs(np.diff(semitones_F)) < STEADY_STEP_ST)  # frames i and i + 1
    edges = np.flatnonzero(np.diff(np.r_[False, joined_F, False].astype(np.int8)))
    for first, last in zip(edges[::2], edges[1::2], strict=True):
        if last - first + 1 >= STEADY_FRAMES:
            sure_F[first : last + 1] = True
    return sure_F
