"""Cuts turned squares out of pictures, as OpenCV's `warpPerspective` does in MediaPipe's graphs.

A pixel of the result is interpolated between the four around its place in the picture, and places are rounded to 1/32
of a pixel. Nothing is averaged: MediaPipe's models were trained on pictures that were made smaller in the same way.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from realtime.records import Float32, UInt8

Int32 = npt.NDArray[np.int32]

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


class Cutter:
    """Cuts squares of `side_px` rows and columns. Not for several threads at once.

    It keeps its memory from one cut to the next: fresh memory costs as much time as the computing.
    """

    def __init__(self, side_px: int) -> None:
        plane = (side_px, side_px)
        self._across = np.arange(side_px, dtype=np.float32) / np.float32(side_px) - np.float32(0.5)
        self._x, self._y = _Axis(side_px), _Axis(side_px)
        self._place = np.empty(plane, np.intp)
        self._weights = np.empty((4, *plane), np.float32)
        self._pixels, self._part = np.empty(plane, np.uint8), np.empty(plane, np.float32)
        self._cut = np.empty((3, *plane), np.float32)

    def cut(self, rgb_HW3: UInt8, square: Square, *, repeat_edge: bool) -> Float32:
        """(3, side_px, side_px) pixels of the square, whole numbers in 0–255, which the next cut overwrites.

        The picture has two rows and columns or more. Beyond it is black, or its edge if `repeat_edge`.
        """
        height, width = rgb_HW3.shape[:2]
        cos, sin = (STEPS * square.side * part for part in (math.cos(square.angle), math.sin(square.angle)))
        x, y = STEPS * square.x + cos * self._across[None, :], STEPS * square.y + cos * self._across[:, None]
        if square.angle:
            x = np.add(x, -sin * self._across[:, None], out=self._x.places)
            y = np.add(y, sin * self._across[None, :], out=self._y.places)
        column, *along = self._x.neighbours(x, width, repeat_edge=repeat_edge)
        row, *down = self._y.neighbours(y, height, repeat_edge=repeat_edge)
        rows = slice(None)
        if not square.angle:
            # Rows above and below the picture are black without being computed.
            inside = np.flatnonzero(down[0] + down[1])
            rows = slice(inside[0], inside[-1] + 1) if len(inside) else slice(0)
            row, down = row[rows], [weight[rows] for weight in down]
        row *= 3 * width
        column *= 3
        place = np.add(row, column, out=self._place[rows])
        # Sums of products of 5-bit weights and pixels are exact in single precision. A half rounds them.
        corners = []
        for number, (below, right) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1))):
            # Where a step is a whole number of pixels, the next ones have no weight. To look at planes takes longer.
            if square.angle or (down[below].any() and along[right].any()):
                weight = np.multiply(down[below], along[right], out=self._weights[number, rows])
                corners.append((3 * (below * width + right), weight))
        self._cut.fill(0.5)
        flat, pixels, part = rgb_HW3.reshape(-1), self._pixels[rows], self._part[rows]
        for channel, shown in enumerate(self._cut[:, rows]):
            for offset, weight in corners:
                # All places are inside; of numpy's ways to take, this one is the fastest.
                flat[offset + channel :].take(place, out=pixels, mode="wrap")
                shown += np.multiply(pixels, weight, out=part)
        return np.floor(self._cut, out=self._cut)


class _Axis:
    """Memory for the places of pixels along one axis of a picture."""

    def __init__(self, side_px: int) -> None:
        self.places = np.empty((side_px, side_px), np.float32)
        self._steps, self._first = np.empty((2, side_px, side_px), np.int32)
        self._before, self._after = np.empty((2, side_px, side_px), np.float32)

    def neighbours(self, places: Float32, length: int, *, repeat_edge: bool) -> tuple[Int32, Float32, Float32]:
        """Of each place the pixel before it, but for the picture's last, and the weights of that one and of the next.

        `places` is a plane, or a line of it, in steps: its outermost numbers are in its corners. It is overwritten. The
        weights are parts of 1.
        """
        part = (slice(places.shape[0]), slice(places.shape[1]))
        steps, first, before, after = self._steps[part], self._first[part], self._before[part], self._after[part]
        np.copyto(steps, np.rint(places, out=places), casting="unsafe")
        np.right_shift(steps, 5, out=first)
        np.multiply(np.bitwise_and(steps, STEPS - 1, out=steps), np.float32(1 / STEPS), out=after, dtype=np.float32)
        np.subtract(np.float32(1), after, out=before)
        corners = first[[0, 0, -1, -1], [0, -1, 0, -1]]
        if corners.min() < 0 or corners.max() >= length - 1:
            _move_inside(first, before, after, length, repeat_edge=repeat_edge)
        return first, before, after


def _move_inside(first: Int32, before: Float32, after: Float32, length: int, *, repeat_edge: bool) -> None:
    """Move pixels beyond the picture to its edge, or take away their weight."""
    moved = first.clip(0, length - 2)
    weights = np.zeros((2, *first.shape), np.float32)
    for number, weight in ((first, before), (first + 1, after)):
        there = number.clip(0, length - 1)
        kept = weight if repeat_edge else weight * (there == number)
        is_next = there > moved
        weights[0] += kept * ~is_next
        weights[1] += kept * is_next
    first[:], before[:], after[:] = moved, *weights
