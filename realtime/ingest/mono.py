"""One track's sound as the program hears it: 16 kHz mono, at the level of the voice in it, without an offset."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from realtime.records import SAMPLE_RATE_HZ, AudioChunk, Float32, InputState

logger = logging.getLogger(__name__)

WEIGHTS = {"FL": 1.0, "FR": 1.0, "DL": 1.0, "DR": 1.0, "FC": 2**0.5, "LFE": 0.0, "LFE2": 0.0}
"Of a channel in the mix, by FFmpeg's names: the front of ITU-R BS.775, whose centre is 3 dB over left and right."
SURROUND = 2**-0.5
"Weight of every named channel that is not at the front, 3 dB below left and right (BS.775)."
UNNAMED = 1.0
"""Weight of a channel whose place nobody knows: those of an interface, or of AAC that describes its channels itself, as
FFmpeg writes 7.1(wide), 6.1 and 5.1(side)."""
LOW_HZ = 150.0
"""An unnamed channel that holds nothing above is the one for low frequencies, if others hold more. Films give it what
lies below 120 Hz; of a voice, most lies above."""
NO_NAME = "NONE"
"What FFmpeg calls a channel whose place it does not know."
HEARD, HEARD_S = 10 ** (-26 / 20), 10.0
"""A channel whose peak is this share of the loudest one's, or more, carries sound; after so many seconds, a peak counts
for half. Others, such as the hiss of an input with nothing plugged in, do not water down the mix. The values are
chosen, not measured on recordings."""
FORGET_S = 1.0
"Half-life of what the correlation of two channels is computed from."
OPPOSED, AGREED, INVERTED = -0.5, -0.2, -0.8
"""Correlation at which two channels would cancel each other, at which they would not any more, and at which one is
surely the other one inverted: two microphones that hear the same voice at different times are opposed, too. All are
chosen, not measured on recordings."""
LOUDER = 2.0
"Energy by which a channel must exceed the one that the others are compared with to take its place."
OFFSET, OFFSET_S = 0.01, 0.25
"""A mean of the sound this far from zero, over this time, is an offset of the sound card. The value is chosen, not
measured on recordings. Until an offset is seen, sound passes unchanged, sample for sample."""
LEAST_S, CHANCE = 0.1, 5.0
"Sound heard before an offset is believed, and standard errors of the mean that it must exceed."
POLE = 1.0 - 2.0 * np.pi * 20.0 / SAMPLE_RATE_HZ
"Of the filter that takes an offset away, drifting or not: its corner is at 20 Hz, two octaves below a voice."

NOTICED = {
    "inverted_channel": (
        "One sound channel is another one inverted: mixed, they would cancel each other.",
        "It is left out. Check the cable or the interface: one plug is wired the other way round.",
        "It is left out. Nothing has to be done.",
    ),
    "sound_offset": (
        "The sound is shifted away from zero (a DC offset), as some sound cards do.",
        "The offset is taken away. Another input or interface would be better.",
        "The offset is taken away. Nothing has to be done.",
    ),
}
"By code: what is wrong, and what to do while somebody speaks, and about a recording."


class MonoResampler:
    """One track's sound at 16 kHz mono, across changes of format in the middle."""

    def __init__(self, *, live: bool) -> None:
        """`live`: somebody can still change the cable or the input. The hints of `noticed` depend on it."""
        self._live = live
        self._resampler: av.AudioResampler | None = None
        self._format: tuple[str, str, int] | None = None
        self._mixer = ChannelMixer(())
        self._offset = OffsetFilter()
        self._noticed: set[str] = set()
        self._sample_s = Fraction(1)
        "Length of a sample of that format; kept, since making a fraction takes as long as a small array's product."
        self._coarse = True
        "Whether every sample up to now is one that 8 bits can hold."

    def push(self, frame: av.AudioFrame, *, start_s: float) -> Iterator[AudioChunk]:
        """The sound of a frame that begins at `start_s`; a few milliseconds stay inside until the next one."""
        sound = (frame.format.name, frame.layout.name, frame.sample_rate)
        if self._resampler is None or sound != self._format:
            yield from self.flush()
            # Mixed here, not by FFmpeg: its mix of two channels with floats is 3 dB above one of them.
            self._resampler, self._format = av.AudioResampler("flt", frame.layout, SAMPLE_RATE_HZ), sound
            self._mixer = ChannelMixer([channel.name for channel in frame.layout.channels])
            self._sample_s = Fraction(1, frame.sample_rate)
            self._coarse = True
        self._coarse = self._coarse and _of_eight_bits(frame)
        frame.pts, frame.time_base = round(start_s * frame.sample_rate), self._sample_s
        yield from map(self._chunk, self._resampler.resample(frame))

    def flush(self) -> Iterator[AudioChunk]:
        """What the resampler still holds."""
        if self._resampler is not None:
            yield from map(self._chunk, self._resampler.resample(None))
            self._resampler = None

    def noticed(self) -> Iterator[InputState]:
        """What is wrong with the sound, each once, as soon as it is known."""
        for code, holds in (("inverted_channel", self._mixer.inverted), ("sound_offset", self._offset.seen)):
            if holds and code not in self._noticed:
                self._noticed.add(code)
                message, hint_live, hint_recorded = NOTICED[code]
                logger.info("%s", message)
                yield InputState(code, message, hint_live if self._live else hint_recorded)

    def _chunk(self, frame: av.AudioFrame) -> AudioChunk:
        base = frame.time_base
        assert frame.pts is not None, "pushed with a stamp"
        assert base is not None, "pushed with a time base"
        n_channels = frame.layout.nb_channels
        packed: Any = frame.planes[0]
        # Packed, as PyAV 18 crashes on eight planes.
        samples_CN = np.frombuffer(packed, np.float32, frame.samples * n_channels).reshape(-1, n_channels).T
        # Broken float streams decode to NaN, far beyond 1, and to infinity, which cut to 1 would be heard as clicks.
        if not np.isfinite(samples_CN).all():
            samples_CN = np.nan_to_num(samples_CN, posinf=0.0, neginf=0.0)
        samples_N = self._offset.push(self._mixer.mix(samples_CN.clip(-1.0, 1.0)))
        if n_channels > 1 or self._offset.seen:
            samples_N = samples_N.clip(-1.0, 1.0)
        return AudioChunk(frame.pts * base.numerator / base.denominator, samples_N, coarse=self._coarse)


class ChannelMixer:
    """Mixes the channels of one track to one, at the level that the same voice has when it is alone in one channel.

    The weights are those of ITU-R BS.775, divided by their sum over the channels that carry sound, so that a voice in
    all channels, or in one of them with the others empty, keeps its level and nothing clips.
    """

    def __init__(self, names: Sequence[str]) -> None:
        """`names`: of the channels, as FFmpeg calls them."""
        self._weights_C = np.array([_weight(name) for name in names], np.float32)
        if not self._weights_C.any():
            self._weights_C = np.ones_like(self._weights_C)
        self._peaks_C = np.zeros(len(names), np.float32)
        self._unnamed_C = np.array([name == NO_NAME for name in names], bool)
        self._energy_C, self._steps_C = np.zeros(len(names)), np.zeros(len(names))
        "Sums of squares up to now, of the samples and of the steps between them."
        self._products_CC, self._sums_C, self._n = np.zeros((len(names), len(names))), np.zeros(len(names)), 0.0
        "Running sums of the products of any two channels, of the samples, and of their number."
        self._reference = 0
        "The channel that the others are compared with."
        self._opposed_C = np.zeros(len(names), bool)
        self.inverted = False
        "Whether a channel is another one inverted at the moment."

    def mix(self, samples_CN: Float32) -> Float32:
        """(C, N) float32 in −1…1 to (N,) float32."""
        if len(samples_CN) == 1:
            return np.asarray(samples_CN[0])
        kept = 0.5 ** (samples_CN.shape[1] / (HEARD_S * SAMPLE_RATE_HZ))
        self._peaks_C = np.maximum(kept * self._peaks_C, np.abs(samples_CN).max(axis=1, initial=0.0))
        mixed_C = self._weights_C > 0.0
        if len(samples_CN) > 2 and self._unnamed_C.any():
            rumbles_C = self._rumbles(samples_CN)
            mixed_C = mixed_C & ~rumbles_C if (mixed_C & ~rumbles_C).any() else mixed_C
        if not self._peaks_C[mixed_C].any():
            # Nothing but low frequencies, if anything.
            mixed_C = np.ones_like(mixed_C)
        mixed_C = mixed_C & (self._peaks_C >= HEARD * self._peaks_C[mixed_C].max())
        weights_C = np.where(mixed_C, self._weights_C, 0.0)
        if not weights_C.any():
            weights_C = mixed_C.astype(np.float32)
        weights_C = np.where(self._cancels(samples_CN, weights_C > 0.0), 0.0, weights_C)
        return np.asarray(weights_C @ samples_CN / weights_C.sum(), np.float32)

    def _rumbles(self, samples_CN: Float32) -> npt.NDArray[np.bool_]:
        """(C,) bool: the unnamed channels that have held nothing above `LOW_HZ` up to now."""
        self._energy_C += np.square(samples_CN, dtype=np.float64).sum(axis=1)
        self._steps_C += np.square(np.diff(samples_CN.astype(np.float64), axis=1)).sum(axis=1)
        # Of a sine of f Hz, the steps have 4 sin² (π f / rate) of its energy.
        low_C = self._steps_C < 4.0 * np.sin(np.pi * LOW_HZ / SAMPLE_RATE_HZ) ** 2 * self._energy_C
        return np.asarray(low_C & self._unnamed_C)

    def _cancels(self, samples_CN: Float32, mixed_C: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """(C,) bool: the channels among `mixed_C` that would cancel the loudest one. Offsets do not count."""
        wide_CN = samples_CN.astype(np.float64)
        kept = 0.5 ** (wide_CN.shape[1] / (FORGET_S * SAMPLE_RATE_HZ))
        self._products_CC = kept * self._products_CC + wide_CN @ wide_CN.T
        self._sums_C = kept * self._sums_C + wide_CN.sum(axis=1)
        self._n = kept * self._n + wide_CN.shape[1]
        covariance_CC = self._products_CC - np.outer(self._sums_C, self._sums_C) / max(self._n, 1.0)
        energy_C = np.where(mixed_C, covariance_CC.diagonal().clip(0.0), 0.0)
        if energy_C.max() > LOUDER * energy_C[self._reference]:
            self._reference = int(energy_C.argmax())
        size_C = np.sqrt(energy_C * energy_C[self._reference])
        correlation_C = np.divide(covariance_CC[self._reference], size_C, out=np.zeros_like(size_C), where=size_C > 0)
        self._opposed_C = correlation_C < np.where(self._opposed_C, AGREED, OPPOSED)
        self.inverted = bool((correlation_C < INVERTED).any())
        return self._opposed_C


class OffsetFilter:
    """Takes a DC offset away once there is one; sound without an offset passes as it is."""

    def __init__(self) -> None:
        self._sum = self._squares = self._n = 0.0
        self._filter = HighPass(0.0)
        self.seen = False

    def push(self, samples_N: Float32) -> Float32:
        """(N,) float32; the next samples of the track."""
        if not self.seen:
            kept = max(0.0, 1.0 - len(samples_N) / (OFFSET_S * SAMPLE_RATE_HZ))
            self._sum = kept * self._sum + float(samples_N.sum(dtype=np.float64))
            self._squares = kept * self._squares + float(np.square(samples_N, dtype=np.float64).sum())
            self._n = kept * self._n + len(samples_N)
            # The mean of so little noise is not zero either: it has to stand out of what chance makes.
            chance = CHANCE * self._squares**0.5 / max(self._n, 1.0)
            self.seen = self._n >= LEAST_S * SAMPLE_RATE_HZ and abs(self._sum / self._n) > max(OFFSET, chance)
            if not self.seen:
                return samples_N
            # The filter starts as if the offset had always been there, so that it begins without a click.
            self._filter = HighPass(self._sum / self._n)
        return self._filter.push(samples_N)


class HighPass:
    """y[n] = x[n] − x[n − 1] + POLE · y[n − 1], which lets pass what is above 20 Hz."""

    BLOCK = 4096
    "Samples computed at once. POLE to this power, 1e-14, still leaves room to divide by it."

    def __init__(self, before: float) -> None:
        """`before`: the constant that its input is taken to have been up to now."""
        self._last, self._passed = before, 0.0
        self._powers_B = POLE ** np.arange(1, self.BLOCK + 1)

    def push(self, samples_N: Float32) -> Float32:
        """(N,) float32; the next samples."""
        passed_N = np.empty(samples_N.shape, np.float32)
        for start in range(0, samples_N.size, self.BLOCK):
            block_B = samples_N[start : start + self.BLOCK].astype(np.float64)
            steps_B = np.diff(block_B, prepend=self._last)
            powers_B = self._powers_B[: block_B.size]
            # Written out, y is a sum of steps, each weighted with POLE to its age: a running sum of steps / POLE^n.
            passed_B = powers_B * (np.cumsum(steps_B / powers_B) + self._passed)
            passed_N[start : start + self.BLOCK] = passed_B
            self._last, self._passed = float(block_B[-1]), float(passed_B[-1])
        return passed_N


def _of_eight_bits(frame: av.AudioFrame) -> bool:
    """Whether the frame has no more steps than 8 bits have, also where it is kept in 16: FLAC, or a converted file."""
    if frame.format.name.startswith("u8"):
        return True
    if not frame.format.name.startswith("s16"):
        return False
    # The first plane will do: all channels of packed sound, the first of the others. It may be longer than the frame.
    n_values = frame.samples * (1 if frame.format.is_planar else frame.layout.nb_channels)
    plane: Any = frame.planes[0]
    return not np.any(np.frombuffer(plane, np.int16, n_values) & 0xFF)


def _weight(name: str) -> float:
    if name in WEIGHTS:
        return WEIGHTS[name]
    return SURROUND if name[:1] in "BSTW" and name.isalpha() else UNNAMED
