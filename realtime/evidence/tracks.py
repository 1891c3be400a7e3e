"""Matches the faces of a frame to those of earlier frames, by position and size alone.

A track is a position over time. Nothing here knows or stores whose face it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from realtime.records import Box

TRACK_GAP_S = 5.0
"A face that comes back to its position within this much media time keeps its track."
TRACK_REACH = 1.0
"How far a face may move between two frames and keep its track, in units of its own size."


@dataclass(slots=True)
class _Track:
    number: int
    box: Box
    seen_s: float


class Tracks:
    """Gives each box the number of the track whose last position is nearest, or a new number."""

    def __init__(self) -> None:
        self._alive: list[_Track] = []
        self._n_started = 0

    def keep(self, at_s: float) -> None:
        """Keep the tracks of the latest frame alive at `at_s`."""
        latest_s = max((track.seen_s for track in self._alive), default=at_s)
        for track in self._alive:
            if track.seen_s == latest_s:
                track.seen_s = at_s

    def match(self, boxes: list[Box], *, at_s: float, frame_px: tuple[int, int]) -> list[int]:
        """Track numbers, from 1, in the order of `boxes`. Greedy: the closest pair is matched first."""
        self._alive = [track for track in self._alive if at_s - track.seen_s <= TRACK_GAP_S]
        pairs = sorted(
            (distance, b, t)
            for b, box in enumerate(boxes)
            for t, track in enumerate(self._alive)
            if (distance := _apart(box, track.box, frame_px)) <= TRACK_REACH
        )
        matched: dict[int, _Track] = {}
        taken: set[int] = set()
        for _, b, t in pairs:
            if b not in matched and t not in taken:
                matched[b] = self._alive[t]
                taken.add(t)
        for b, box in enumerate(boxes):
            if b not in matched:
                self._n_started += 1
                matched[b] = _Track(self._n_started, box, at_s)
                self._alive.append(matched[b])
            matched[b].box, matched[b].seen_s = box, at_s
        return [matched[b].number for b in range(len(boxes))]


def iou(a: Box, b: Box) -> float:
    """Intersection over union of two boxes."""
    across = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    down = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    if across <= 0 or down <= 0:
        return 0.0
    return across * down / (a[2] * a[3] + b[2] * b[3] - across * down)


def _apart(a: Box, b: Box, frame_px: tuple[int, int]) -> float:
    """Distance of the centres in units of the mean size; infinite where one face is twice as big as the other."""
    width, height = frame_px
    size_a, size_b = (max(box[2] * width, box[3] * height) for box in (a, b))
    if max(size_a, size_b) > 2 * min(size_a, size_b):
        return float("inf")
    across = (a[0] + a[2] / 2 - b[0] - b[2] / 2) * width
    down = (a[1] + a[3] / 2 - b[1] - b[3] / 2) * height
    return float(np.hypot(across, down)) * 2 / (size_a + size_b)
