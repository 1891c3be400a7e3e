"""Decides whether there is a voice in 30 ms of sound: WebRTC's detector with two corrections, or Silero's network.

WebRTC's misses quiet voices: of 150 RAVDESS sentences, half of them below −37 dB, it misses 13. When everything is
12 dB louder it misses one; at 18 dB it takes CREMA-D's room for speech. It also takes steady noise for speech once that
is loud enough, so a frame must rise above the quiet part of the last seconds as well. Levels are measured after
pre-emphasis, which removes rumble; steady noise of any colour hardly fluctuates then.

Sound of 8 bits needs a third correction. A quiet room flips their last bit in bursts, which rise and fall like speech,
and their steps are noise up to 8 kHz in which a quiet voice drowns. So such sound is heard through a low-pass, where a
voice is strong and this noise is not, with a little steady noise in which the bursts drown.
"""

from __future__ import annotations

import functools
from collections import deque
from typing import Protocol

import numpy as np
import numpy.typing as npt
import webrtcvad

from realtime.ingest.silero import SileroVad
from realtime.records import SAMPLE_RATE_HZ, Float32

FRAME_MS = 30
FRAME_SAMPLES = SAMPLE_RATE_HZ * FRAME_MS // 1000
FRAME_S = FRAME_SAMPLES / SAMPLE_RATE_HZ  # 0.030, the longest frame the detector takes

DIGITAL_SILENCE = 1.5 / 32768
"A peak below two steps of 16-bit sound comes from no microphone, however quiet the room is."
PRE_EMPHASIS = 0.95
GAIN = 10 ** (12.0 / 20)
"How much louder than it is the detector hears the sound: 12 dB."
FLOOR = 10 ** (-75.0 / 20)
"Frames quieter than this (RMS after pre-emphasis, −75 dB of full scale) are no speech."
OVER_NOISE = 1.35
"Speech exceeds what is quiet in the last seconds by this factor (RMS after pre-emphasis)."
N_LOOK_BACK = round(5.0 / FRAME_S)
"Frames whose quietest tenth is taken as the noise of the room. People pause for breath within them."
N_WARM_UP = round(1.0 / FRAME_S)
"Frames needed to know the room. Until then every level passes, because the first word may come at once."
STEADY = 0.35 / 128
"Level (RMS) of the steady noise under 8-bit sound: about that of the bursts, and below a voice of one step."
LOW_PASS_HZ, LOW_PASS_ORDER, LOW_PASS_TAPS = 1500.0, 4, 192
"""For 8-bit sound: the first formants of every vowel lie below 1,500 Hz, and a fifth of the noise. After so many
samples the filter's answer to an impulse is below 1e-12."""


@functools.cache
def low_pass() -> npt.NDArray[np.float64]:
    """(LOW_PASS_TAPS,) the impulse response of a Butterworth low-pass, made digital by the bilinear transform."""
    n = np.arange(LOW_PASS_ORDER)
    analog_K = np.tan(np.pi * LOW_PASS_HZ / SAMPLE_RATE_HZ) * np.exp(
        1j * np.pi * (2 * n + LOW_PASS_ORDER + 1) / (2 * LOW_PASS_ORDER)
    )
    poles_K = (1 + analog_K) / (1 - analog_K)
    around_B1 = np.exp(2j * np.pi * np.arange(513) / 1024)[:, None]
    response_B = ((around_B1 + 1) / (around_B1 - poles_K)).prod(axis=1)
    return np.fft.irfft(response_B / response_B[0].real, 1024)[:LOW_PASS_TAPS]


class Detector(Protocol):
    """Hears one track, frame by frame."""

    n_silent: int
    "Frames of digital silence in a row, up to now."

    def is_voiced(self, frame_F: Float32, *, coarse: bool = False) -> bool:
        """Whether the next frame, of exactly `FRAME_SAMPLES` samples, holds a voice. `coarse`: stored with 8 bits."""
        ...


class SileroDetector:
    """The detector of one track. Silero's network knows noise from voices by itself, at any level."""

    def __init__(self) -> None:
        """Raises EngineMissing."""
        self._vad = SileroVad()
        self.n_silent = 0

    def is_voiced(self, frame_F: Float32, *, coarse: bool = False) -> bool:
        self.n_silent = self.n_silent + 1 if float(np.abs(frame_F).max()) <= DIGITAL_SILENCE else 0
        # Silence is heard too: the network's state goes on with the track.
        return self._vad.is_speech(frame_F) and not self.n_silent


class VoiceDetector:
    """The detector of one track. It learns the noise of the room as it goes."""

    def __init__(self, *, aggressiveness: int) -> None:
        self._vad = webrtcvad.Vad(aggressiveness)
        self._levels: deque[float] = deque(maxlen=N_LOOK_BACK)
        self._noise = np.random.default_rng(0)
        self._before_T = np.zeros(LOW_PASS_TAPS - 1)
        self.n_silent = 0
        "Frames of digital silence in a row, up to now."

    def is_voiced(self, frame_F: Float32, *, coarse: bool = False) -> bool:
        """Whether the next frame, of exactly `FRAME_SAMPLES` samples, holds a voice. `coarse`: stored with 8 bits."""
        if float(np.abs(frame_F).max()) <= DIGITAL_SILENCE:
            # Not counted as the room's noise: lost packets and muted microphones are silent too.
            self.n_silent += 1
            return False
        self.n_silent = 0
        if coarse:
            frame_F = self._without_steps(frame_F)
        level = float(np.sqrt(np.mean(np.square(frame_F[1:] - PRE_EMPHASIS * frame_F[:-1]))))
        self._levels.append(level)
        if level <= max(FLOOR, OVER_NOISE * self._room()):
            return False
        louder_F = np.clip(frame_F * GAIN, -1.0, 1.0)
        return bool(self._vad.is_speech((louder_F * 32767).astype(np.int16).tobytes(), SAMPLE_RATE_HZ))

    def _without_steps(self, frame_F: Float32) -> Float32:
        noisy_F = frame_F + STEADY * self._noise.standard_normal(len(frame_F))
        heard_N = np.concatenate([self._before_T, noisy_F])
        self._before_T = heard_N[-len(self._before_T) :]
        return np.convolve(heard_N, low_pass(), "valid").astype(np.float32)

    def _room(self) -> float:
        if len(self._levels) < N_WARM_UP:
            return 0.0
        # The tenth and not the minimum, because the first frames of a decoder are quieter than the room.
        return sorted(self._levels)[len(self._levels) // 10]
