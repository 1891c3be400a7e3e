"""Decoded frames of any format into the program's arrays: upright RGB, and 16-kHz mono sound."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import av
import numpy as np

from realtime.records import SAMPLE_RATE_HZ, AudioChunk, UInt8


def to_rgb(frame: av.VideoFrame, *, max_side_px: int, pixel_aspect: Fraction | None = None) -> UInt8:
    """(H, W, 3) uint8, turned upright as the display matrix says, pixels square, no side longer than `max_side_px`."""
    width, height = float(frame.width * (pixel_aspect or 1)), float(frame.height)
    scale = min(1.0, max_side_px / max(width, height))
    scaled = frame.reformat(format="rgb24", width=max(1, round(width * scale)), height=max(1, round(height * scale)))
    rgb_HW3 = np.asarray(scaled.to_ndarray(), np.uint8)
    # Phones write the sensor's rows and a matrix that says how the phone was held; its degrees turn as rot90 does.
    return np.ascontiguousarray(np.rot90(rgb_HW3, k=round(frame.rotation / 90)))


class MonoResampler:
    """One track's sound at 16 kHz mono, across changes of format in the middle."""

    def __init__(self) -> None:
        self._resampler: av.AudioResampler | None = None
        self._format: tuple[str, str, int] | None = None

    def push(self, frame: av.AudioFrame, *, start_s: float) -> Iterator[AudioChunk]:
        """The sound of a frame that begins at `start_s`; a few milliseconds stay inside until the next one."""
        sound = (frame.format.name, frame.layout.name, frame.sample_rate)
        if self._resampler is None or sound != self._format:
            yield from self.flush()
            self._resampler, self._format = av.AudioResampler("flt", "mono", SAMPLE_RATE_HZ), sound
        frame.pts, frame.time_base = round(start_s * frame.sample_rate), Fraction(1, frame.sample_rate)
        yield from map(_chunk, self._resampler.resample(frame))

    def flush(self) -> Iterator[AudioChunk]:
        """What the resampler still holds."""
        if self._resampler is not None:
            yield from map(_chunk, self._resampler.resample(None))
            self._resampler = None


def _chunk(frame: av.AudioFrame) -> AudioChunk:
    assert frame.pts is not None, "pushed with a stamp"
    assert frame.time_base is not None, "pushed with a time base"
    samples_N = np.asarray(frame.to_ndarray()[0], np.float32)
    # Broken float streams decode to NaN and to samples far beyond full scale.
    if not np.isfinite(samples_N).all():
        samples_N = np.nan_to_num(samples_N)
    return AudioChunk(start_s=float(frame.pts * frame.time_base), samples_N=samples_N.clip(-1.0, 1.0))
