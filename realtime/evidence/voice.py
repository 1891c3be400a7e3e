"""Measures prosody and voice quality of one utterance, absolute and relative to the voice so far.

`VOICE_VALUES` are sent on the wire, in physical units. `VOICE_FEATURES` are those and the statistics from which the
voice cue token is projected. A 4-s utterance takes about 55 ms on one core, of which pitch takes 40.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from realtime.evidence import prosody
from realtime.evidence.baseline import VoiceBaseline
from realtime.evidence.spectrum import N_BINS, SpeechFrames, cut
from realtime.records import SAMPLE_RATE_HZ, Float32, SoundKind, VoiceCues

LEAST_HELD_S, LEAST_VOICED, HELD_BELOW_ST_S = 1.0, 0.3, 3.0
"Sound of at least this length, voiced for this share, whose pitch moves by fewer semitones a second, is a tone."
NARROW_BELOW_DB = -45.0
"Of `high_band`: a sound below it was sampled at 8 kHz once."


@dataclass(frozen=True)
class WhisperThresholds:
    """What tells a whisper from noise. `realtime train nano.sound_guard` counts the errors and fits other values."""

    unvoiced_below: float = 0.24
    "Share of voiced frames below which a sound is a whisper or noise."
    articulation: float = 0.93
    "Spread over time that a whisper has at least, of the MFCCs 2 to 6 (their mean)."
    rolloff_spread_hz: float = 410.0
    "The same of the spectral roll-off."


THRESHOLDS = WhisperThresholds()


@dataclass(frozen=True)
class MeasuredVoice:
    """One utterance by itself, before it is told against the voice so far."""

    values: Mapping[str, float]
    "Wire values by name, in the order of `VOICE_VALUES`."
    features_P: Float32
    "Raw features in the order of `VOICE_FEATURES`."
    kind: SoundKind
    narrow_band: bool


def voice_features(samples_N: Float32) -> tuple[dict[str, float], Float32]:
    """Wire values and the (P,) raw features of one segment of 16 kHz mono sound, in the order of `VOICE_FEATURES`.

    Always finite. Silence, noise and segments shorter than a frame give zeros where there is nothing to measure, and a
    `loudness_db` at its floor of −90 for silence.
    """
    named = _measure(cut(samples_N))
    features_P = np.nan_to_num(np.fromiter(named.values(), np.float32, len(named)))
    return {name: round(float(value), 3) for name, value in zip(VOICE_VALUES, features_P, strict=False)}, features_P


def measure_voice(samples_N: Float32) -> MeasuredVoice:
    """Measure one utterance of 16 kHz mono sound. It needs nothing of the session, so any thread may do it."""
    values, features_P = voice_features(samples_N)
    kind = sound_kind(values, features_P, seconds=len(samples_N) / SAMPLE_RATE_HZ)
    return MeasuredVoice(values, features_P, kind, is_narrow_band(samples_N))


def told_against(baseline: VoiceBaseline, voice: MeasuredVoice) -> VoiceCues:
    """Cues of one utterance relative to the voice so far.

    What could not be measured (the pitch of a whisper) is 0 relative to the voice, and so is no cue. Before the voice's
    usual is known, everything is 0.
    """
    relative_P = baseline.relative(voice.features_P)
    relative = {name: round(float(z), 3) for name, z in zip(VOICE_VALUES, relative_P, strict=False)}
    unmeasured = frozenset() if voice.values["pitch_hz"] else PITCH_VALUES
    relative |= dict.fromkeys(unmeasured if baseline.known else relative, 0.0)
    return VoiceCues(voice.values, relative, relative_P, voice.kind, unmeasured, baseline.known, voice.narrow_band)


def moves_baseline(cues: VoiceCues) -> bool:
    """Whether the utterance says something about how this voice usually sounds."""
    return cues.kind == "voice" and cues.values["voiced_ratio"] > 0


def sound_kind(
    values: Mapping[str, float], features_P: Float32, *, seconds: float, thresholds: WhisperThresholds = THRESHOLDS
) -> SoundKind:
    """Tells a voice from what the segmenter's detector takes for one.

    A tone is voiced for long without its pitch ever moving: notes, a hum, a beep. Pitch moves by 6.5 semitones a second
    or more in 99 of 100 of RAVDESS's sentences and by less than 3 in 2 of 1,000; between chords of a synthesiser it is
    about 1. Music with singing or drums in it is not told from speech.

    Sound without voicing is a whisper where its spectrum changes as an articulating mouth changes it. The thresholds
    were fitted on every other speaker and noise; of the others, 1.6 % of 187 unvoiced stretches of recorded noise are
    taken for a voice, 17 % of all 235 stretches (most are voiced: alarms, animals, machines), 1.8 % of 220 whispers are
    missed and none of 220 sentences (`realtime train nano.sound_guard --data DATA --sentences 10`). The whispers are
    made from the sentences by linear prediction; whispers that were recorded are not among them.
    """
    voiced = values["voiced_ratio"]
    if seconds >= LEAST_HELD_S and voiced >= LEAST_VOICED and values["pitch_movement_st_s"] < HELD_BELOW_ST_S:
        return "tone"
    if voiced < thresholds.unvoiced_below:
        articulation = float(features_P[ARTICULATION].mean())
        if articulation < thresholds.articulation or features_P[ROLLOFF_SPREAD] < thresholds.rolloff_spread_hz:
            return "noise"
    return "voice"


def is_narrow_band(samples_N: Float32) -> bool:
    """Whether the sound ends below 4 kHz: it was sampled at 8 kHz once, as telephones do.

    Of 220 sentences of four corpora, and the same sentences through 8 kHz (linear and µ-law), none is taken for the
    other kind. The threshold was chosen before, not fitted on them (`realtime train nano.sound_guard`).
    """
    return high_band(samples_N) < NARROW_BELOW_DB


def high_band(samples_N: Float32) -> float:
    """Energy between 4.5 and 7.8 kHz against that between 0.3 and 3.4 kHz, in dB; infinite where there is no sound."""
    power = np.abs(np.fft.rfft(samples_N)) ** 2 if len(samples_N) else np.zeros(0)
    frequency = np.fft.rfftfreq(max(len(samples_N), 1), 1 / SAMPLE_RATE_HZ)[: len(power)]

    def energy(low_hz: float, high_hz: float) -> float:
        return float(power[(frequency >= low_hz) & (frequency < high_hz)].sum())

    low, high = energy(300, 3_400), energy(4_500, 7_800)
    return 10 * float(np.log10(max(high / low, 1e-30))) if low > 0 else float("inf")


def _measure(frames: SpeechFrames) -> dict[str, float]:
    """All features by name, wire values first."""
    return {
        **prosody.wire_values(frames),
        **prosody.melody(frames),
        **prosody.rhythm(frames),
        **prosody.cepstrum(frames),
        **prosody.timbre(frames),
        **prosody.quality(frames),
    }


def _silence() -> SpeechFrames:
    n_frames = 4
    nothing_F, never_F = np.zeros(n_frames, np.float32), np.zeros(n_frames, np.bool_)
    return SpeechFrames(nothing_F, np.zeros((n_frames, N_BINS), np.float32), nothing_F, never_F, never_F)


VOICE_VALUES: tuple[str, ...] = tuple(prosody.wire_values(_silence()))
"""Wire fields: median pitch (0 where nothing is voiced), its 10–90 % range and its median speed; loudness of the voiced
frames in dBFS and its 10–90 % range; syllable-like peaks per second of speech; energy above against below 1 kHz;
spectral centroid; share of the segment that is voiced; share of pauses between the first and the last sound."""
VOICE_FEATURES: tuple[str, ...] = tuple(_measure(_silence()))
"Names of the raw features; the first ones are the wire values."
ARTICULATION = [VOICE_FEATURES.index(f"mfcc{k}_std") for k in range(2, 7)]
ROLLOFF_SPREAD = VOICE_FEATURES.index("rolloff_hz_std")
PITCH_VALUES = frozenset(name for name in VOICE_VALUES if name.startswith("pitch_"))
