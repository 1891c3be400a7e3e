"""Chooses in which parts of a frame far faces are searched for.

On a whole 720p frame the detectors miss faces below 80 px, so parts of it, the tiles, are searched too. All six of them
cost 35 ms on two cores. So a tile is searched again as soon as its picture changes, but not twice within a second, and
one that shows the same is left alone for three. A face that comes into view changes the picture of its tile. Where only
somebody moves who is near, it cannot be known whether there is news: two such tiles are searched in a second, in turn.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from realtime.records import Box, Float32, UInt8

TILE_SIDE = 0.75
"Side of the squares in which far faces are searched for, in units of the frame's shorter side."
AGAIN_S, AT_LATEST_S = 1.0, 3.0
"When a tile whose picture has changed is searched again, and when one whose picture has not."
ROUNDING = 1e-6
"So that ten tenths are one."
EARLY_S = 0.05
"Frames that should come once a second come this much too early at times."
CELL = 1 / 40
"Side of the cells in which pictures are compared, in units of the frame's shorter side: 18 px, a third of a far face."
CHANGED = 5.0
"Difference of a cell's mean brightness, of 255, from which on its picture has changed. Camera noise makes 0.5 of it."
BEHIND = 2
"Tiles searched again in a second because somebody near moves in them; most people cover four of six."
EVERY_PX = 2
"Step between the pixels that a cell's mean is taken of."


class FarSearch:
    """The parts of each frame of one session that are searched for far faces."""

    def __init__(self) -> None:
        self._shape: tuple[int, ...] = ()
        self._tiles: list[Box] = []
        self._searched_s: list[float] = []
        self._shown: list[Float32] = []
        "What each tile showed when it was searched last, in cells."
        self._frame_s = -math.inf
        self._owed = 0.0
        "Searches behind those who are near that may be made now."

    def parts(self, rgb_HW3: UInt8, at_s: float, known: list[Box], near: Sequence[Box] = ()) -> list[Box]:
        """Tiles that are due, and one around each of the far faces that are `known`. Never more than all tiles.

        What moves where somebody of the last frame is `near`, their body too, makes few tiles due at a time.
        Where frames come more often than once a second, the tiles that are due are spread over the frames of a second.
        """
        if rgb_HW3.shape != self._shape:
            self._shape, self._tiles = rgb_HW3.shape, tile_boxes(rgb_HW3)
            self._searched_s = [-math.inf] * len(self._tiles)
            self._shown = [np.zeros((0, 0), np.float32)] * len(self._tiles)
        cells_RC = _cells(rgb_HW3)
        news_RC = _away_from(near, cells_RC.shape)
        passed_s, self._frame_s = at_s - self._frame_s, at_s
        share = min(max(passed_s, 0.0) / AGAIN_S, 1.0)
        longest_ago = sorted(range(len(self._tiles)), key=lambda number: self._searched_s[number])
        due = [number for number in longest_ago if self._is_due(number, cells_RC, news_RC, at_s)]
        behind = [number for number in longest_ago if self._is_due(number, cells_RC, 1.0 - news_RC, at_s)]
        self._owed = min(self._owed + share * BEHIND, BEHIND)
        behind = [number for number in behind if number not in due][: math.floor(self._owed + ROUNDING)]
        self._owed -= len(behind)
        due = due[: max(math.ceil(share * len(self._tiles)), 1)] + behind
        around = [_tile_around(rgb_HW3, box) for box in known]
        if len(due) + len(around) >= len(self._tiles):
            due, around = list(range(len(self._tiles))), []
        for number in due:
            self._searched_s[number], self._shown[number] = at_s, self._part(number, cells_RC)
        return [self._tiles[number] for number in due] + around

    def _is_due(self, number: int, cells_RC: Float32, where_RC: Float32, at_s: float) -> bool:
        # Negative where media time has gone back by a moment, or begun anew: then it is not known what was searched.
        passed_s = abs(at_s - self._searched_s[number])
        if passed_s >= AT_LATEST_S - EARLY_S:
            return True
        if passed_s < AGAIN_S - EARLY_S:
            return False
        changed_RC = np.abs(self._part(number, cells_RC) - self._shown[number]) * self._part(number, where_RC)
        return bool(changed_RC.max(initial=0.0) >= CHANGED)

    def _part(self, number: int, cells_RC: Float32) -> Float32:
        x, y, w, h = self._tiles[number]
        rows, columns = cells_RC.shape
        top, left = math.floor(y * rows), math.floor(x * columns)
        return cells_RC[top : math.ceil((y + h) * rows), left : math.ceil((x + w) * columns)]


def tile_boxes(rgb_HW3: UInt8) -> list[Box]:
    """Overlapping squares that cover the frame. A far face is three times as big in one of them."""
    height, width = rgb_HW3.shape[:2]
    side = min(height, width) * TILE_SIDE
    n_across, n_down = (math.ceil((length - side) / (0.75 * side)) + 1 for length in (width, height))
    lefts, tops = np.linspace(0, width - side, n_across), np.linspace(0, height - side, n_down)
    return [(x / width, y / height, side / width, side / height) for y in tops.tolist() for x in lefts.tolist()]


def _tile_around(rgb_HW3: UInt8, box: Box) -> Box:
    """A tile with the box in its middle, moved into the frame."""
    height, width = rgb_HW3.shape[:2]
    side = min(height, width) * TILE_SIDE
    across, down = side / width, side / height
    left = min(max(box[0] + box[2] / 2 - across / 2, 0.0), 1.0 - across)
    top = min(max(box[1] + box[3] / 2 - down / 2, 0.0), 1.0 - down)
    return left, top, across, down


def _away_from(near: Sequence[Box], shape: tuple[int, ...]) -> Float32:
    """(R, C) 1 where a cell lies beside the people whose faces these are, 0 where it may show their head or body."""
    rows, columns = shape
    away_RC = np.ones((rows, columns), np.float32)
    for x, y, w, h in near:
        left, right = math.floor((x - w) * columns), math.ceil((x + 2 * w) * columns)
        away_RC[max(math.floor((y - 0.5 * h) * rows), 0) :, max(left, 0) : max(right, 0)] = 0.0
    return away_RC


def _cells(rgb_HW3: UInt8) -> Float32:
    """(R, C) mean brightness of the cells, of their green: of three colours it has most of the light."""
    side = max(round(CELL * min(rgb_HW3.shape[:2])) // EVERY_PX, 1)
    green = rgb_HW3[::EVERY_PX, ::EVERY_PX, 1]
    rows, columns = green.shape[0] // side, green.shape[1] // side
    cut = green[: rows * side, : columns * side].astype(np.float32)
    return np.asarray(cut.reshape(rows, side, columns, side).mean(axis=(1, 3)), np.float32)
