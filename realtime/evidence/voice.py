"""Prosody and voice quality of one stretch of speech, measured.

Pitch comes from SwiftF0 (MIT, a small network that ships with its package); everything else is arithmetic on one
spectrogram whose frames are centred where SwiftF0's are, every 16 ms. `VOICE_VALUES` are what goes on the wire, in
physical units; `VOICE_FEATURES` are those and the statistics that the voice cue token is projected from.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.fft
import scipy.signal

from realtime.evidence.baseline import VoiceBaseline
from realtime.records import SAMPLE_RATE_HZ, Float32, VoiceCues

HOP = 256
"SwiftF0's hop: 16 ms."
FRAME = 512
FRAME_RATE_HZ = SAMPLE_RATE_HZ / HOP  # 62.5
N_MELS, N_MFCC = 40, 13
PITCH_RANGE_HZ = (60.0, 700.0)
"Speech, from a low creak to a shout. A wider range only adds octave errors."
VOICED_CONFIDENCE = 0.5
FLOOR_DB = -90.0
ACTIVE_BELOW_PEAK_DB = 30.0
"Frames this far below the loudest ones are pauses."
PITCH_REFERENCE_HZ = 55.0
"Semitones are counted from here."
MIN_VOICED_FRAMES = 4
"With less there is no melody to speak of: pitch statistics are 0."
SYLLABLE_BAND_HZ = (2.0, 10.0)
"Envelope modulation that syllables make; fast talk has about 8 a second."

VOICE_VALUES: tuple[str, ...] = (
    "pitch_hz",
    "pitch_range_st",
    "pitch_movement_st_s",
    "loudness_db",
    "loudness_range_db",
    "rate_hz",
    "tilt_db",
    "brightness_hz",
    "voiced_ratio",
    "pause_ratio",
)
"Wire fields. Median pitch and its 10–90 % range; mean absolute pitch change per second; loudness of voiced frames (dBFS) and its 10–90 % range; syllable-like peaks per second; energy above against below 1 kHz; spectral centroid; shares of the segment that are voiced, and silent between words."

_BANDS_HZ = (0, 250, 500, 1000, 1500, 2000, 3000, 4000, 8000)
_MODULATION_HZ = (0.5, 2.0, 4.0, 8.0, 16.0)


@dataclass(frozen=True, slots=True)
class _Frames:
    """One segment cut into F frames."""

    level_F: Float32
    "dBFS."
    power_FB: Float32
    "(F, 257) power spectrum."
    semitones_F: Float32
    "Pitch above 55 Hz; meaningless where not voiced."
    voiced_F: np.ndarray[Any, np.dtype[np.bool_]]
    active_F: np.ndarray[Any, np.dtype[np.bool_]]
    samples_FN: Float32


@functools.cache
def _pitch_detector() -> Any:
    from swift_f0 import SwiftF0

    # Spinning threads would take the core from the towers between two segments.
    return SwiftF0(threads=1, spin=False)


@functools.cache
def _tables() -> tuple[Float32, Float32, Float32]:
    """Window (512,), frequencies (257,) and mel filters (257, 40)."""
    frequencies = np.fft.rfftfreq(FRAME, 1 / SAMPLE_RATE_HZ).astype(np.float32)
    mel = 2595 * np.log10(1 + frequencies / 700)
    edges = np.linspace(2595 * np.log10(1 + 60 / 700), mel[-1], N_MELS + 2)
    rising = (mel[:, None] - edges[None, :-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[None, 2:] - mel[:, None]) / (edges[2:] - edges[1:-1])
    filters = np.maximum(np.minimum(rising, falling), 0.0).astype(np.float32)
    return np.hanning(FRAME).astype(np.float32), frequencies, filters


def _frames(samples_N: Float32) -> _Frames:
    samples_N = np.nan_to_num(np.asarray(samples_N, np.float32))
    if samples_N.shape[0] < FRAME:
        samples_N = np.pad(samples_N, (0, FRAME - samples_N.shape[0]))
    n_frames = samples_N.shape[0] // HOP
    pitch = _pitch_detector().detect(samples_N, SAMPLE_RATE_HZ, *PITCH_RANGE_HZ)
    padded = np.pad(samples_N, (HOP, FRAME))
    cut_FN = np.lib.stride_tricks.sliding_window_view(padded, FRAME)[: n_frames * HOP : HOP]  # centred on i · HOP
    spectrum = scipy.fft.rfft((cut_FN - cut_FN.mean(axis=1, keepdims=True)) * _tables()[0], axis=1)
    power_FB = (spectrum.real**2 + spectrum.imag**2).astype(np.float32)
    level_F = np.maximum(10 * np.log10(np.mean(cut_FN**2, axis=1) + 1e-12), FLOOR_DB).astype(np.float32)
    active_F = level_F > max(float(np.percentile(level_F, 95)) - ACTIVE_BELOW_PEAK_DB, FLOOR_DB + 10)
    voiced_F = (pitch.confidence[:n_frames] >= VOICED_CONFIDENCE) & active_F
    semitones_F = 12 * np.log2(np.maximum(pitch.pitch_hz[:n_frames], 1.0) / PITCH_REFERENCE_HZ)
    return _Frames(level_F, power_FB, semitones_F.astype(np.float32), voiced_F, active_F, cut_FN)


def voice_features(samples_N: Float32) -> tuple[dict[str, float], Float32]:
    """Wire values and the (P,) raw features of one segment of 16 kHz mono sound, in the order of `VOICE_FEATURES`.

    Always finite: silence, noise and segments shorter than a frame give zeros where there is nothing to measure, and
    `loudness_db` at its floor of −90.
    """
    named = _measure(_frames(samples_N))
    features_P = np.nan_to_num(np.fromiter(named.values(), np.float32, len(named)))
    return {name: round(float(value), 3) for name, value in zip(VOICE_VALUES, features_P, strict=False)}, features_P


def measure_voice(samples_N: Float32, baseline: VoiceBaseline) -> VoiceCues:
    """Cues of one segment against the voice so far, which this segment then moves."""
    values, features_P = voice_features(samples_N)
    relative_P = baseline.relative(features_P)
    if values["voiced_ratio"] > 0:
        baseline.push(features_P)
    relative = {name: round(float(z), 3) for name, z in zip(VOICE_VALUES, relative_P, strict=False)}
    return VoiceCues(values=values, relative=relative, features_N=relative_P)


def _measure(frames: _Frames) -> dict[str, float]:
    """All features by name, wire values first."""
    named = _wire_values(frames)
    named |= _melody(frames) | _rhythm(frames) | _timbre(frames) | _voice_quality(frames)
    return named


def _wire_values(frames: _Frames) -> dict[str, float]:
    voiced = frames.voiced_F
    tonal = frames.semitones_F[voiced] if voiced.sum() >= MIN_VOICED_FRAMES else None
    heard = frames.level_F[voiced] if voiced.any() else frames.level_F
    moves = _steps(frames.semitones_F, voiced)
    spoken = np.flatnonzero(frames.active_F)
    span = slice(spoken[0], spoken[-1] + 1) if spoken.size else slice(0)
    low, high = _band(frames, 0, 1000), _band(frames, 1000, 8000)
    spectrum = _mean_spectrum(frames)
    return {
        "pitch_hz": 0.0 if tonal is None else PITCH_REFERENCE_HZ * 2 ** (float(np.median(tonal)) / 12),
        "pitch_range_st": 0.0 if tonal is None else _span(tonal, 10, 90),
        "pitch_movement_st_s": float(np.median(np.abs(moves)) * FRAME_RATE_HZ) if moves.size else 0.0,
        "loudness_db": float(10 * np.log10(np.mean(10 ** (heard / 10)))),
        "loudness_range_db": _span(heard, 10, 90),
        "rate_hz": _syllables(frames) * FRAME_RATE_HZ / max(int(frames.active_F.sum()), 1),
        "tilt_db": _mean(_ratio_db(high, low)[frames.active_F]),
        "brightness_hz": float((spectrum * _tables()[1]).sum() / max(float(spectrum.sum()), 1e-12)),
        "voiced_ratio": float(voiced.mean()),
        "pause_ratio": float(1 - frames.active_F[span].mean()) if spoken.size else 0.0,
    }


def _melody(frames: _Frames) -> dict[str, float]:
    """Pitch and level over time."""
    named: dict[str, float] = {}
    enough = frames.voiced_F.sum() >= MIN_VOICED_FRAMES
    tonal = frames.semitones_F[frames.voiced_F] if enough else np.zeros(1, np.float32)
    named |= _functionals("pitch_st", tonal)
    moves = _steps(frames.semitones_F, frames.voiced_F)
    rises, falls = moves[moves > 0], moves[moves < 0]
    named["pitch_jitter_st"] = _mean(np.abs(np.diff(moves)))
    named["pitch_rise_st"], named["pitch_fall_st"] = _mean(rises), _mean(falls)
    active = frames.level_F[frames.active_F]
    named |= _functionals("level_db", active)
    changes = _steps(frames.level_F, frames.active_F)
    named["level_rise_db"], named["level_fall_db"] = _mean(changes[changes > 0]), _mean(changes[changes < 0])
    named["shimmer_db"] = _mean(np.abs(_steps(frames.level_F, frames.voiced_F)))
    named["pitch_level_correlation"] = _correlation(frames.semitones_F[frames.voiced_F], frames.level_F[frames.voiced_F])
    return named


def _rhythm(frames: _Frames) -> dict[str, float]:
    """Lengths of voiced stretches and pauses, and how the envelope is modulated."""
    named: dict[str, float] = {}
    for name, mask_F in (("voiced", frames.voiced_F), ("pause", ~frames.active_F)):
        lengths_s = _run_lengths(mask_F) / FRAME_RATE_HZ
        named[f"{name}_runs_hz"] = len(lengths_s) * FRAME_RATE_HZ / len(mask_F)
        named[f"{name}_run_mean_s"] = _mean(lengths_s)
        named[f"{name}_run_max_s"] = float(lengths_s.max()) if lengths_s.size else 0.0
    named["active_s"] = float(frames.active_F.sum() / FRAME_RATE_HZ)
    envelope = np.maximum(frames.level_F, frames.level_F.max() - 40)
    density = np.abs(scipy.fft.rfft((envelope - envelope.mean()) * np.hanning(len(envelope)), n=1024)) ** 2
    frequency = np.fft.rfftfreq(1024, 1 / FRAME_RATE_HZ)
    whole = float(density[(frequency >= _MODULATION_HZ[0]) & (frequency < 16)].sum()) + 1e-9
    for low, high in zip(_MODULATION_HZ[:-1], _MODULATION_HZ[1:], strict=True):
        named[f"modulation_{low:g}_hz"] = float(density[(frequency >= low) & (frequency < high)].sum()) / whole
    return named


def _timbre(frames: _Frames) -> dict[str, float]:
    """MFCC and the shape of the spectrum."""
    active = frames.active_F if frames.active_F.any() else np.ones_like(frames.active_F)
    power_FB, (_, frequency, filters) = frames.power_FB, _tables()
    mel_FM = 10 * np.log10(power_FB @ filters + 1e-7)  # (F, 40)
    mfcc_FK = scipy.fft.dct(mel_FM, type=2, norm="ortho", axis=1)[:, 1 : N_MFCC + 1] / 10
    delta_FK = np.gradient(mfcc_FK, axis=0) if len(mfcc_FK) > 1 else np.zeros_like(mfcc_FK)
    named: dict[str, float] = {}
    for k in range(N_MFCC):
        track = mfcc_FK[active, k]
        named[f"mfcc{k + 1}_mean"], named[f"mfcc{k + 1}_std"] = float(track.mean()), float(track.std())
        named[f"mfcc{k + 1}_delta_std"] = float(delta_FK[active, k].std())
    voiced = frames.voiced_F if frames.voiced_F.any() else active
    for k in range(4):
        named[f"mfcc{k + 1}_voiced_mean"] = float(mfcc_FK[voiced, k].mean())
        named[f"mfcc{k + 1}_slope"] = _slope(mfcc_FK[active, k])
    whole_F = power_FB.sum(axis=1) + 1e-9
    share_FB = power_FB / whole_F[:, None]
    centroid_F = share_FB @ frequency
    spread_F = np.sqrt(np.maximum(share_FB @ frequency**2 - centroid_F**2, 0))
    rolloff_F = frequency[np.argmax(np.cumsum(share_FB, axis=1) >= 0.85, axis=1)]
    flatness_F = np.log(power_FB + 1e-9).mean(axis=1) - np.log(whole_F / power_FB.shape[1])
    root_FB = np.sqrt(share_FB)
    flux_F = np.r_[0.0, np.linalg.norm(np.diff(root_FB, axis=0), axis=1)]
    shapes = {"centroid_hz": centroid_F, "spread_hz": spread_F, "rolloff_hz": rolloff_F, "flatness": flatness_F}
    for name, track_F in (shapes | {"flux": flux_F, "tilt_db": _ratio_db(_band(frames, 1000, 8000), _band(frames, 0, 1000))}).items():
        named[f"{name}_mean"], named[f"{name}_std"] = _mean(track_F[active]), float(track_F[active].std())
        named[f"{name}_voiced_mean"] = _mean(track_F[voiced])
    for low, high in zip(_BANDS_HZ[:-1], _BANDS_HZ[1:], strict=True):
        ratio_F = _ratio_db(_band(frames, low, high), whole_F)
        named[f"band_{low}_hz_mean"], named[f"band_{low}_hz_std"] = _mean(ratio_F[voiced]), float(ratio_F[voiced].std())
    return named


def _voice_quality(frames: _Frames) -> dict[str, float]:
    """How harmonic the voiced frames are, and how the harmonics fall off."""
    names = ("harmonicity_db_mean", "harmonicity_db_std", "h1_h2_db", "h1_a3_db", "hammarberg_db", "slope_low", "slope_high")
    if frames.voiced_F.sum() < MIN_VOICED_FRAMES:
        return dict.fromkeys(names, 0.0)
    power_VB, frequency = frames.power_FB[frames.voiced_F], _tables()[1]
    pitch_V = PITCH_REFERENCE_HZ * 2 ** (frames.semitones_F[frames.voiced_F] / 12)
    correlation_VL = scipy.fft.irfft(power_VB, axis=1)
    window_L = scipy.fft.irfft(np.abs(scipy.fft.rfft(_tables()[0], 2 * FRAME)) ** 2)[: FRAME // 2 + 1]
    lag_V = np.clip(np.round(SAMPLE_RATE_HZ / pitch_V).astype(int), 2, FRAME // 2 - 2)
    near_V3 = lag_V[:, None] + np.arange(-1, 2)
    peak_V = (np.take_along_axis(correlation_VL, near_V3, axis=1) / (window_L[near_V3] / window_L[0])).max(axis=1)
    strength_V = np.clip(peak_V / np.maximum(correlation_VL[:, 0], 1e-9), 0.01, 0.99)
    harmonicity_V = 10 * np.log10(strength_V / (1 - strength_V))
    log_VB = 10 * np.log10(power_VB + 1e-9)
    step_hz = SAMPLE_RATE_HZ / FRAME

    def level_at(hz_V: Float32) -> Float32:
        bins_V3 = np.clip(np.round(hz_V / step_hz).astype(int)[:, None] + np.arange(-1, 2), 0, log_VB.shape[1] - 1)
        level: Float32 = np.take_along_axis(log_VB, bins_V3, axis=1).max(axis=1)
        return level

    first_V, third = level_at(pitch_V), (frequency > 2200) & (frequency < 3200)
    lower, upper = (frequency < 2000), (frequency >= 2000) & (frequency < 5000)
    slopes = []
    for low, high in ((60, 500), (500, 1500)):
        band = (frequency >= low) & (frequency < high)
        x = frequency[band] - frequency[band].mean()
        slopes.append(float((log_VB[:, band] @ x / (x @ x)).mean() * 1000))
    values = (
        float(harmonicity_V.mean()),
        float(harmonicity_V.std()),
        float((first_V - level_at(2 * pitch_V)).mean()),
        float((first_V - log_VB[:, third].max(axis=1)).mean()),
        float((log_VB[:, lower].max(axis=1) - log_VB[:, upper].max(axis=1)).mean()),
        *slopes,
    )
    return dict(zip(names, values, strict=True))


def _functionals(name: str, track: Float32) -> dict[str, float]:
    if track.size == 0:
        track = np.zeros(1, np.float32)
    p10, p50, p90 = np.percentile(track, (10, 50, 90))
    third = max(len(track) // 3, 1)
    return {
        f"{name}_mean": float(track.mean()),
        f"{name}_std": float(track.std()),
        f"{name}_p10": float(p10),
        f"{name}_p50": float(p50),
        f"{name}_p90": float(p90),
        f"{name}_max": float(track.max()),
        f"{name}_slope": _slope(track),
        f"{name}_end_minus_start": float(track[-third:].mean() - track[:third].mean()),
    }


def _slope(track: Float32) -> float:
    """Change over the whole track by a straight line."""
    if track.size < 2:
        return 0.0
    x = np.linspace(-0.5, 0.5, track.size)
    return float((x @ track) / (x @ x))


def _steps(track_F: Float32, mask_F: np.ndarray[Any, np.dtype[np.bool_]]) -> Float32:
    """Differences between neighbouring frames that are both in the mask; jumps of more than 6 are octave errors."""
    both = mask_F[1:] & mask_F[:-1]
    steps: Float32 = np.diff(track_F)[both]
    return steps[np.abs(steps) < 6]


def _syllables(frames: _Frames) -> int:
    """Peaks of the envelope, in dB, after a band-pass at the speed of syllables."""
    if not frames.active_F.any():
        return 0
    envelope = np.maximum(frames.level_F, frames.level_F.max() - ACTIVE_BELOW_PEAK_DB)
    spectrum = scipy.fft.rfft(envelope - envelope.mean(), n=2 * len(envelope))
    frequency = np.fft.rfftfreq(2 * len(envelope), 1 / FRAME_RATE_HZ)
    spectrum[(frequency < SYLLABLE_BAND_HZ[0]) | (frequency > SYLLABLE_BAND_HZ[1])] = 0
    modulation = scipy.fft.irfft(spectrum)[: len(envelope)]
    peaks, _ = scipy.signal.find_peaks(modulation, prominence=2.0)
    return int(frames.active_F[peaks].sum())


def _run_lengths(mask_F: np.ndarray[Any, np.dtype[np.bool_]]) -> Float32:
    edges = np.flatnonzero(np.diff(np.r_[False, mask_F, False].astype(np.int8)))
    lengths: Float32 = (edges[1::2] - edges[::2]).astype(np.float32)
    return lengths


def _band(frames: _Frames, low_hz: float, high_hz: float) -> Float32:
    frequency = _tables()[1]
    inside = (frequency >= low_hz) & ((frequency < high_hz) | (high_hz >= SAMPLE_RATE_HZ / 2))
    energy: Float32 = frames.power_FB[:, inside].sum(axis=1)
    return energy


def _mean_spectrum(frames: _Frames) -> Float32:
    active = frames.active_F if frames.active_F.any() else slice(None)
    mean: Float32 = frames.power_FB[active].mean(axis=0)
    return mean


def _ratio_db(above: Float32, below: Float32) -> Float32:
    ratio: Float32 = 10 * np.log10((above + 1e-7) / (below + 1e-7))
    return ratio


def _span(values: Float32, low: float, high: float) -> float:
    at = np.percentile(values, (low, high))
    return float(at[1] - at[0])


def _mean(values: Float32) -> float:
    return float(values.mean()) if values.size else 0.0


def _correlation(a: Float32, b: Float32) -> float:
    if a.size < MIN_VOICED_FRAMES or a.std() < 1e-6 or b.std() < 1e-6:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


@functools.cache
def _feature_names() -> tuple[str, ...]:
    n = 4 * FRAME // HOP
    nothing = np.zeros(n, np.float32)
    off = np.zeros(n, bool)
    return tuple(_measure(_Frames(nothing, np.zeros((n, FRAME // 2 + 1), np.float32), nothing, off, off, np.zeros((n, FRAME), np.float32))))


VOICE_FEATURES: tuple[str, ...] = _feature_names()
"Names of the raw features, wire values first."
