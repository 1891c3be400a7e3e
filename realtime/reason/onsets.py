"""Finds when a face changed, from the cues that were measured of it each second.

    lip_corner_pull   0.02  0.05  0.04  0.61  0.66  0.63
                                     └──┘ it changed here: after 0:02, by 0:03

The moments of a window are cut in two where that leaves the least variance in both halves, and the halves again. Where
one cut does not do, as of a smile that comes and goes, they are cut in three. A cut is a change where a cue differs
between the two sides by about a step of its degree, and by far more than it varies within them. So a mouth that speaks
and eyes that blink are no change: a single moment that differs from both its neighbours is left out. Where frames were
measured in between (`ingest.cue_fps`), they narrow down when it happened.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from realtime.reason.measurements import CUE_WORDS
from realtime.records import FaceCues, Window

MOVED = 0.2
"Least difference of a cue's mean intensity between both sides of a change: the words for degrees are 0.2 apart."
AGAINST_SPREAD = 3.0
"How many times as much it has to differ as it varies on either side."
LEAST_SIZE = 0.35
"Least size of a change of a face, over all cues that moved. One cue alone may drift by less."
LEAST_PASSING = 0.6
"The same for both ends of an expression that comes and goes: two cuts are found more easily where there is noise."
BESIDE_LARGEST = 0.7
"A change counts where it has this share of the largest one's size. Smaller ones are its echo, or noise."
LEAST_SPREAD = 0.04
"Intensity by which a cue of a still face varies, from the mesh's own noise."
LEAST_MOMENTS = 3
"Measured seconds without which nothing is said of a change."
TURNED_DEG = 45.0
"Yaw or pitch of a head from which its cues are not compared: a face that turns away looks as if it had changed."
BLINKS = frozenset({"eyes_closed", "lid_tighten", "upper_lid_raise"})
"Cues that the last or the first moment alone does not change: that may be a blink."

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Moved:
    """One cue on both sides of a change, as mean intensities of 0–1."""

    cue: str
    before: float
    after: float


@dataclass(frozen=True)
class Change:
    """One change of a face."""

    after_s: float
    "Media second of the last measurement before it."
    by_s: float
    "That of the first measurement after it."
    moved: tuple[Moved, ...]
    "The cues that changed, those that did most first."

    @property
    def size(self) -> float:
        """How far the cues that moved did so together."""
        return _size(self.moved)

    @property
    def at_s(self) -> float:
        """The middle of the time in which it happened."""
        return (self.after_s + self.by_s) / 2


def _size(moved: Sequence[Moved]) -> float:
    return math.hypot(*(each.after - each.before for each in moved))


def enough_seen(window: Window, track: int) -> bool:
    """Whether a face was measured often enough to say if it changed."""
    return len(_moments(window, track)[0]) >= LEAST_MOMENTS


def changes(window: Window, track: int, cues: Sequence[str] = tuple(CUE_WORDS)) -> tuple[Change, ...]:
    """The changes of one face in a window, oldest first, in these cues alone; those that are clear."""
    at_T, values_TC = _moments(window, track, cues)
    if len(at_T) < LEAST_MOMENTS:
        return ()
    found = list(_cuts(at_T, _without_single(values_TC), cues))
    least = max(LEAST_SIZE, BESIDE_LARGEST * max((change.size for change in found), default=0.0))
    return tuple(_narrowed(window, track, cues, change) for change in found if change.size >= least)


def _moments(window: Window, track: int, cues: Sequence[str] = tuple(CUE_WORDS)) -> tuple[Sequence[float], Floats]:
    """Times and (T, C) intensities of one face in the sampled frames."""
    seen = [(frame.at_s, each) for frame in window.frames for each in frame.cues if each.track == track]
    return _values([(at_s, each) for at_s, each in seen if _frontal(each)], cues)


def _frontal(cues: FaceCues) -> bool:
    yaw, pitch, _ = cues.pose_deg
    return max(abs(yaw), abs(pitch)) < TURNED_DEG


def _values(seen: Sequence[tuple[float, FaceCues]], cues: Sequence[str]) -> tuple[Sequence[float], Floats]:
    values = [[float(each.intensities.get(cue, 0.0)) for cue in cues] for _, each in seen]
    return [at_s for at_s, _ in seen], np.array(values, np.float64).reshape(len(seen), len(cues))


def _without_single(values_TC: Floats) -> Floats:
    """The median of each moment and its two neighbours: a step stays where it is, a blink is gone."""
    padded_TC = np.concatenate([values_TC[:1], values_TC, values_TC[-1:]])
    median_TC: Floats = np.median(np.stack([padded_TC[:-2], padded_TC[1:-1], padded_TC[2:]]), axis=0)
    return median_TC


def _cuts(at_T: Sequence[float], values_TC: Floats, cues: Sequence[str]) -> Iterator[Change]:
    """The changes within these moments, oldest first."""
    found = _best_cuts(values_TC, cues)
    if not found:
        return
    ends = [0, *found, len(at_T)]
    parts = [slice(begin, end) for begin, end in pairwise(ends)]
    spread_C = _spread([values_TC[part] for part in parts])
    for before, after in pairwise(parts):
        yield from _cuts(at_T[before], values_TC[before], cues)
        yield Change(
            at_T[after.start - 1], at_T[after.start], _moved(values_TC[before], values_TC[after], spread_C, cues)
        )
    yield from _cuts(at_T[parts[-1]], values_TC[parts[-1]], cues)


def _best_cuts(values_TC: Floats, cues: Sequence[str]) -> tuple[int, ...]:
    """The cut that leaves the least variance, if the face moved there; else two, as of a smile that came and went."""
    n = len(values_TC)
    ones = [(split,) for split in range(1, n)]
    # One moment between two cuts was taken out before, so the middle has two or more.
    twos = [(first, second) for first in range(1, n - 2) for second in range(first + 2, n)]
    for candidates in (ones, twos):
        if not candidates:
            continue
        best = min(candidates, key=lambda cuts: _left_over(values_TC, cuts))
        parts = np.split(values_TC, best)
        spread_C = _spread(parts)
        found = [_moved(before, after, spread_C, cues) for before, after in pairwise(parts)]
        if all(found) and (len(found) == 1 or min(map(_size, found)) >= LEAST_PASSING):
            return tuple(best)
    return ()


def _left_over(values_TC: Floats, cuts: Sequence[int]) -> float:
    """The sum of squares if each part between cuts has its own mean."""
    return sum(float(((part - part.mean(axis=0)) ** 2).sum()) for part in np.split(values_TC, cuts))


def _spread(parts: Sequence[Floats]) -> Floats:
    """(C,) how much each cue varies within the parts: their pooled standard deviation."""
    squares_C = sum(((part - part.mean(axis=0)) ** 2).sum(axis=0) for part in parts)
    left = sum(len(part) for part in parts) - len(parts)
    spread_C: Floats = np.sqrt(squares_C / max(left, 1))
    return spread_C


def _moved(before_TC: Floats, after_TC: Floats, spread_C: Floats, cues: Sequence[str]) -> tuple[Moved, ...]:
    """The cues that differ between two parts, the most first."""
    first_C, last_C = before_TC.mean(axis=0), after_TC.mean(axis=0)
    least_C = np.maximum(MOVED, AGAINST_SPREAD * np.maximum(spread_C, LEAST_SPREAD))
    single = min(len(before_TC), len(after_TC)) < 2
    found = [
        Moved(cue, float(first_C[place]), float(last_C[place]))
        for place, cue in enumerate(cues)
        if abs(last_C[place] - first_C[place]) >= least_C[place] and not (single and cue in BLINKS)
    ]
    return tuple(sorted(found, key=lambda each: -abs(each.after - each.before)))


def _narrowed(window: Window, track: int, cues: Sequence[str], change: Change) -> Change:
    """The change, with its time narrowed down by what was measured between the frames."""
    seen = [
        (glimpse.at_s, each)
        for glimpse in window.glimpses
        for each in glimpse.cues
        if each.track == track and _frontal(each) and change.after_s < glimpse.at_s < change.by_s
    ]
    if not seen:
        return change
    places = [cues.index(each.cue) for each in change.moved]
    at_T, values_TC = _values(seen, cues)
    before_C = np.array([each.before for each in change.moved])
    step_C = np.array([each.after for each in change.moved]) - before_C
    share_T = (values_TC[:, places] - before_C) @ step_C / float(step_C @ step_C)
    changed = [at_s for at_s, share in zip(at_T, share_T, strict=True) if share >= 0.5]
    by_s = min(changed, default=change.by_s)
    still = [at_s for at_s in at_T if at_s < by_s]
    return Change(max(still, default=change.after_s), by_s, change.moved)
