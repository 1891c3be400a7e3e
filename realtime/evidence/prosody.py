"""Statistics of one utterance's frames: melody, rhythm, timbre and voice quality. The functions have no state."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt

from realtime.evidence.spectrum import (
    ACTIVE_BELOW_PEAK_DB,
    FRAME,
    FRAME_RATE_HZ,
    N_BINS,
    N_MFCC,
    PITCH_REFERENCE_HZ,
    Mask,
    SpeechFrames,
    tables,
)
from realtime.records import SAMPLE_RATE_HZ, Float32

MIN_VOICED_FRAMES = 4
"With less, pitch statistics are 0."
SYLLABLE_BAND_HZ = (2.0, 10.0)
"Envelope modulation that syllables make; fast talk has about 8 a second."
OCTAVE_SLIP_ST = 6.0
"A larger jump of pitch between two frames is an error of the detector."
BANDS_HZ = (0, 250, 500, 1000, 1500, 2000, 3000, 4000, 8000)
MODULATION_HZ = (0.5, 2.0, 4.0, 8.0, 16.0)
QUALITY = (
    "harmonicity_db_mean",
    "harmonicity_db_std",
    "h1_h2_db",
    "h1_a3_db",
    "hammarberg_db",
    "slope_low",
    "slope_high",
)

Statistics = dict[str, float]


def wire_values(frames: SpeechFrames) -> Statistics:
    """The values that are sent on the wire, in physical units."""
    voiced_F, active_F = frames.voiced_F, frames.active_F
    heard = frames.level_F[voiced_F] if voiced_F.any() else frames.level_F
    spoken = np.flatnonzero(active_F)
    within_pauses = ~active_F[spoken[0] : spoken[-1] + 1] if spoken.size else np.zeros(0, np.bool_)
    power_B = frames.power_FB[active_F if active_F.any() else slice(None)].mean(axis=0)
    semitones = _voiced_semitones(frames)
    moves = np.abs(_steps(frames.semitones_F, voiced_F))
    return {
        "pitch_hz": PITCH_REFERENCE_HZ * 2 ** (float(np.median(semitones)) / 12) if semitones.size else 0.0,
        "pitch_range_st": _span(semitones, 10, 90),
        "pitch_movement_st_s": float(np.median(moves) * FRAME_RATE_HZ) if moves.size else 0.0,
        "loudness_db": float(10 * np.log10(np.mean(10 ** (heard / 10)))),
        "loudness_range_db": _span(heard, 10, 90),
        "rate_hz": _n_syllables(frames) * FRAME_RATE_HZ / max(int(active_F.sum()), 1),
        "tilt_db": _mean(_tilt_db(frames)[active_F]),
        "brightness_hz": float((power_B * tables().frequency_B).sum() / max(float(power_B.sum()), 1e-12)),
        "voiced_ratio": float(voiced_F.mean()),
        "pause_ratio": _mean(within_pauses.astype(np.float32)),
    }


def melody(frames: SpeechFrames) -> Statistics:
    """Pitch and level over time."""
    semitones = _voiced_semitones(frames)
    moves = _steps(frames.semitones_F, frames.voiced_F)
    changes = _steps(frames.level_F, frames.active_F)
    return {
        **_functionals("pitch_st", semitones),
        "pitch_jitter_st": _mean(np.abs(np.diff(moves))),
        "pitch_rise_st": _mean(moves[moves > 0]),
        "pitch_fall_st": _mean(moves[moves < 0]),
        **_functionals("level_db", frames.level_F[frames.active_F]),
        "level_rise_db": _mean(changes[changes > 0]),
        "level_fall_db": _mean(changes[changes < 0]),
        "shimmer_db": _mean(np.abs(_steps(frames.level_F, frames.voiced_F))),
        "pitch_level_correlation": _correlation(frames.semitones_F[frames.voiced_F], frames.level_F[frames.voiced_F]),
    }


def rhythm(frames: SpeechFrames) -> Statistics:
    """Lengths of voiced runs and pauses, and the modulation of the envelope."""
    named: Statistics = {}
    for name, mask_F in (("voiced", frames.voiced_F), ("pause", ~frames.active_F)):
        lengths_s = _run_lengths(mask_F) / FRAME_RATE_HZ
        named[f"{name}_runs_hz"] = len(lengths_s) * FRAME_RATE_HZ / len(mask_F)
        named[f"{name}_run_mean_s"] = _mean(lengths_s)
        named[f"{name}_run_max_s"] = float(lengths_s.max()) if lengths_s.size else 0.0
    named["active_s"] = float(frames.active_F.sum() / FRAME_RATE_HZ)
    envelope_F = np.maximum(frames.level_F, frames.level_F.max() - 40)
    density = np.abs(np.fft.rfft((envelope_F - envelope_F.mean()) * np.hanning(len(envelope_F)), n=1024)) ** 2
    frequency = np.fft.rfftfreq(1024, 1 / FRAME_RATE_HZ)
    whole = float(density[(frequency >= MODULATION_HZ[0]) & (frequency < MODULATION_HZ[-1])].sum()) + 1e-9
    for low, high in itertools.pairwise(MODULATION_HZ):
        named[f"modulation_{low:g}_hz"] = float(density[(frequency >= low) & (frequency < high)].sum()) / whole
    return named


def cepstrum(frames: SpeechFrames) -> Statistics:
    """MFCC 1–13 of the active frames, and their changes."""
    active_F, voiced_F = _spoken(frames)
    mel_FM = 10 * np.log10(frames.power_FB @ tables().mel_BM + 1e-7)
    mfcc_FK = mel_FM @ tables().cosines_MK / 10
    delta_FK = np.gradient(mfcc_FK, axis=0)
    named: Statistics = {}
    for k in range(N_MFCC):
        named[f"mfcc{k + 1}_mean"] = float(mfcc_FK[active_F, k].mean())
        named[f"mfcc{k + 1}_std"] = float(mfcc_FK[active_F, k].std())
        named[f"mfcc{k + 1}_delta_std"] = float(delta_FK[active_F, k].std())
    for k in range(4):
        named[f"mfcc{k + 1}_voiced_mean"] = float(mfcc_FK[voiced_F, k].mean())
        named[f"mfcc{k + 1}_slope"] = _slope(mfcc_FK[active_F, k])
    return named


def timbre(frames: SpeechFrames) -> Statistics:
    """The shape of the spectrum and its bands."""
    active_F, voiced_F = _spoken(frames)
    frequency_B = tables().frequency_B
    whole_F = frames.power_FB.sum(axis=1) + 1e-9
    share_FB = frames.power_FB / whole_F[:, None]
    centroid_F = share_FB @ frequency_B
    shapes = {
        "centroid_hz": centroid_F,
        "spread_hz": np.sqrt(np.maximum(share_FB @ frequency_B**2 - centroid_F**2, 0)),
        "rolloff_hz": frequency_B[np.argmax(np.cumsum(share_FB, axis=1) >= 0.85, axis=1)],
        "flatness": np.log(frames.power_FB + 1e-9).mean(axis=1) - np.log(whole_F / N_BINS),
        "flux": np.r_[0.0, np.linalg.norm(np.diff(np.sqrt(share_FB), axis=0), axis=1)],
        "tilt_db": _tilt_db(frames),
    }
    named: Statistics = {}
    for name, track_F in shapes.items():
        named[f"{name}_mean"], named[f"{name}_std"] = _mean(track_F[active_F]), float(track_F[active_F].std())
        named[f"{name}_voiced_mean"] = _mean(track_F[voiced_F])
    for low, high in itertools.pairwise(BANDS_HZ):
        ratio = _ratio_db(frames.band(low, high), whole_F)[voiced_F]
        named[f"band_{low}_hz_mean"], named[f"band_{low}_hz_std"] = _mean(ratio), float(ratio.std())
    return named


def quality(frames: SpeechFrames) -> Statistics:
    """How harmonic the voiced frames are, and how the harmonics fall off: breathy, pressed, harsh."""
    if frames.voiced_F.sum() < MIN_VOICED_FRAMES:
        return dict.fromkeys(QUALITY, 0.0)
    power_VB, frequency_B = frames.power_FB[frames.voiced_F], tables().frequency_B
    pitch_V = PITCH_REFERENCE_HZ * 2 ** (frames.semitones_F[frames.voiced_F] / 12)
    harmonicity_V = _harmonicity_db(power_VB, pitch_V)
    log_VB = 10 * np.log10(power_VB + 1e-9)
    first_V = _peak_near(log_VB, pitch_V)

    def top(low_hz: float, high_hz: float) -> Float32:
        peak_V: Float32 = log_VB[:, (frequency_B >= low_hz) & (frequency_B < high_hz)].max(axis=1)
        return peak_V

    values = (
        harmonicity_V.mean(),
        harmonicity_V.std(),
        (first_V - _peak_near(log_VB, 2 * pitch_V)).mean(),
        (first_V - top(2200, 3200)).mean(),
        (top(0, 2000) - top(2000, 5000)).mean(),
        _spectral_slope(log_VB, 60, 500),
        _spectral_slope(log_VB, 500, 1500),
    )
    return {name: float(value) for name, value in zip(QUALITY, values, strict=True)}


def _harmonicity_db(power_VB: Float32, pitch_V: Float32) -> Float32:
    """Harmonics-to-noise ratio: the autocorrelation one period away, with the window's own decay taken out."""
    correlation_VL = np.fft.irfft(power_VB, axis=1)
    lag_V = np.clip(np.round(SAMPLE_RATE_HZ / pitch_V).astype(int), 2, FRAME // 2 - 2)
    near_V3 = lag_V[:, None] + np.arange(-1, 2)
    peak_V = (np.take_along_axis(correlation_VL, near_V3, axis=1) / tables().window_correlation_L[near_V3]).max(axis=1)
    strength_V = np.clip(peak_V / np.maximum(correlation_VL[:, 0], 1e-9), 0.01, 0.99)
    ratio_V: Float32 = 10 * np.log10(strength_V / (1 - strength_V))
    return ratio_V


def _peak_near(log_VB: Float32, hz_V: Float32) -> Float32:
    """(V,) highest of the three bins around a frequency per frame."""
    bins_V3 = np.round(hz_V * FRAME / SAMPLE_RATE_HZ).astype(int)[:, None] + np.arange(-1, 2)
    peak_V: Float32 = np.take_along_axis(log_VB, np.clip(bins_V3, 0, N_BINS - 1), axis=1).max(axis=1)
    return peak_V


def _spectral_slope(log_VB: Float32, low_hz: float, high_hz: float) -> float:
    """dB per kHz by a straight line through the band."""
    frequency_B = tables().frequency_B
    inside_B = (frequency_B >= low_hz) & (frequency_B < high_hz)
    x = frequency_B[inside_B] - frequency_B[inside_B].mean()
    return float((log_VB[:, inside_B] @ x / (x @ x)).mean() * 1000)


def _n_syllables(frames: SpeechFrames) -> int:
    """Peaks of the level, in dB, after a band-pass at the speed of syllables."""
    level_F = np.maximum(frames.level_F, frames.level_F.max() - ACTIVE_BELOW_PEAK_DB)
    spectrum = np.fft.rfft(level_F - level_F.mean(), n=2 * len(level_F))
    frequency = np.fft.rfftfreq(2 * len(level_F), 1 / FRAME_RATE_HZ)
    spectrum[(frequency < SYLLABLE_BAND_HZ[0]) | (frequency > SYLLABLE_BAND_HZ[1])] = 0
    return int(frames.active_F[peaks(np.fft.irfft(spectrum)[: len(level_F)], prominence=2.0)].sum())


def peaks(values_F: npt.NDArray[np.float64] | Float32, prominence: float) -> list[int]:
    """Where a value is greater than both beside it and stands out by `prominence`. A plateau counts in its middle.

    A peak stands out by its height over the higher of two valleys: the lowest values on its left and on its right,
    each up to a higher peak or to the end. SciPy has the same as `find_peaks`, but it is a tenth of an installation.
    """
    starts = np.flatnonzero(np.diff(values_F, prepend=np.nan) != 0)
    levels = values_F[starts]
    ends = np.append(starts[1:], len(values_F)) - 1
    tops = np.flatnonzero((levels[1:-1] > levels[:-2]) & (levels[1:-1] > levels[2:])) + 1
    found = []
    for top in tops:
        higher = np.flatnonzero(levels > levels[top])
        left, right = higher[higher < top], higher[higher > top]
        valleys = (
            levels[left[-1] if left.size else 0 : top].min(),
            levels[top + 1 : right[0] + 1 if right.size else None].min(),
        )
        if levels[top] - max(valleys) >= prominence:
            found.append(int(starts[top] + ends[top]) // 2)
    return found


def _spoken(frames: SpeechFrames) -> tuple[Mask, Mask]:
    """Masks of the active and the voiced frames, each falling back to a wider one, so that a mean always exists."""
    active_F = frames.active_F if frames.active_F.any() else np.ones_like(frames.active_F)
    return active_F, frames.voiced_F if frames.voiced_F.any() else active_F


def _voiced_semitones(frames: SpeechFrames) -> Float32:
    return (
        frames.semitones_F[frames.voiced_F] if frames.voiced_F.sum() >= MIN_VOICED_FRAMES else np.zeros(0, np.float32)
    )


def _functionals(name: str, track: Float32) -> Statistics:
    """Eight statistics of one track, all 0 for an empty one."""
    track = track if track.size else np.zeros(1, np.float32)
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


def _steps(track_F: Float32, mask_F: Mask) -> Float32:
    """Differences between neighbouring frames that are both in the mask."""
    steps: Float32 = np.diff(track_F)[mask_F[1:] & mask_F[:-1]]
    return steps[np.abs(steps) < OCTAVE_SLIP_ST]


def _run_lengths(mask_F: Mask) -> Float32:
    """Lengths in frames of the runs where the mask is True."""
    edges: npt.NDArray[np.int64] = np.flatnonzero(np.diff(np.r_[False, mask_F, False].astype(np.int8)))
    return np.asarray(edges[1::2] - edges[::2], dtype=np.float32)


def _tilt_db(frames: SpeechFrames) -> Float32:
    return _ratio_db(frames.band(1000, 8000), frames.band(0, 1000))


def _ratio_db(above: Float32, below: Float32) -> Float32:
    ratio: Float32 = 10.0 * np.log10((above + 1e-7) / (below + 1e-7))
    return ratio


def _span(values: Float32, low: float, high: float) -> float:
    if not values.size:
        return 0.0
    at = np.percentile(values, (low, high))
    return float(at[1] - at[0])


def _mean(values: Float32) -> float:
    return float(values.mean()) if values.size else 0.0


def _correlation(a: Float32, b: Float32) -> float:
    if a.size < MIN_VOICED_FRAMES or a.std() < 1e-6 or b.std() < 1e-6:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])
