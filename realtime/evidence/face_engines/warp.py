"""Cuts turned squares out of pictures, as OpenCV's `warpPerspective` does in MediaPipe's graphs.

A pixel of the result is interpolated between the four around its place in the picture, and places are rounded to 1/32
of a pixel. Nothing is averaged: MediaPipe's models were trained on pictures that were made smaller in the same way.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from realtime.records import Float32, UInt8

Integers = npt.NDArray[np.integer[Any]]

STEPS = 32
"Places are rounded to this part of a pixel."


@dataclass(frozen=True, slots=True)
class Square:
    """A square in a picture, in pixels from its upper left corner. It may reach beyond the picture."""

    x: float
    y: float
    "Its centre."
    side: float
    angle: float = 0.0
    "In radians, clockwise as seen."

    def place(self, points_N2: Float32) -> Float32:
        """(N, 2) points in 0–1 of the square, in pixels of the picture."""
        cos, sin = math.cos(self.angle) * self.side, math.sin(self.angle) * self.side
        turn = np.array([[cos, sin], [-sin, cos]], np.float32)
        placed: Float32 = (points_N2 - np.float32(0.5)) @ turn + np.array([self.x, self.y], np.float32)
        return placed


def cut(rgb_HW3: UInt8, square: Square, side_px: int, *, repeat_edge: bool) -> UInt8:
    """(3, side_px, side_px) pixels of the square. Beyond the picture is black, or its edge if `repeat_edge`."""
    height, width = rgb_HW3.shape[:2]
    across = np.arange(side_px, dtype=np.float32) / np.float32(side_px) - np.float32(0.5)
    cos, sin = math.cos(square.angle) * square.side, math.sin(square.angle) * square.side
    # (1, S) and (S, 1) of an upright square, (S, S) of a turned one.
    x, y = square.x + cos * across[None, :], square.y + cos * across[:, None]
    if sin:
        x, y = x - sin * across[:, None], y + sin * across[None, :]
    left, right = _neighbours(x, width, repeat_edge=repeat_edge)
    upper, lower = _neighbours(y, height, repeat_edge=repeat_edge)
    flat = rgb_HW3.reshape(-1)
    total = np.full((3, side_px, side_px), STEPS * STEPS // 2, np.int32)
    for row, down in (upper, lower):
        # A sum of two stays below 2**16, and processors compute twice as many 16-bit numbers at a time.
        line = np.zeros((3, side_px, side_px), np.uint16)
        for column, along in (left, right):
            place = (row * width + column) * 3
            for channel in range(3):
                line[channel] += flat[channel:].take(place, mode="clip") * along
        total += line * down.astype(np.int32)
    total >>= 10
    return total.astype(np.uint8)


def _neighbours(places: Float32, length: int, *, repeat_edge: bool) -> list[tuple[Integers, Integers]]:
    """The pixels before and after each place, moved into the picture, and the weight of each."""
    steps = np.rint(places * STEPS).astype(np.int32)
    first, part = steps >> 5, (steps & (STEPS - 1)).astype(np.uint16)
    both = [(first, STEPS - part), (first + 1, part)]
    if not repeat_edge:
        both = [(each, weight * ((each >= 0) & (each < length))) for each, weight in both]
    return [(each.clip(0, length - 1), weight) for each, weight in both]
