"""Media time: one clock for both tracks, however wrong the stamps of their packets are. Pure arithmetic in seconds."""

from __future__ import annotations

import math
from collections.abc import Sequence


class Timeline:
    """The media times of one track of a recording, from its stamps.

    Stamps may be missing, go back (in a clip joined from several) or leap (from a broken muxer). The track then goes on
    where it was, and `n_rebased` counts it. Where a track leaps to a time that another one has reached without a leap,
    it has a gap, however long, and keeps its stamps. So it does where it begins late, and where it is alone, up to
    `HOLE_S`. Media times never decrease.
    """

    BACK_S = 0.5
    "A stamp this much earlier than the one before is a new beginning. A smaller step back is clamped."
    LEAP_S = 60.0
    "A longer gap than this is a broken stamp, unless another track has reached that time."
    HOLE_S = 1800.0
    "The longest gap before a track begins, or in a track that is alone, as screen recordings have where nothing moves."
    BESIDE_S = 10.0
    "Tracks of one recording are stored at most this far apart (FFmpeg's `max_interleave_delta`)."

    def __init__(self, zero_s: float, others: Sequence[Timeline] = (), *, leap_s: float = LEAP_S) -> None:
        """`others`: of the same recording, made before this one; they learn of each other.

        `leap_s`: for a track that is alone, the longest gap that is one.
        """
        self._offset_s = -zero_s
        self._at_s = 0.0
        self._expected_s = 0.0
        self._leap_s = leap_s
        self._begun = False
        self._others = list(others)
        self.n_rebased = 0
        for other in others:
            other._others.append(self)

    @property
    def expected_s(self) -> float:
        "When the next frame begins if none is missing, and when the track ends if none follows."
        return self._expected_s

    def place(self, stamp_s: float | None, *, duration_s: float) -> float:
        """The media time of a frame that is stamped `stamp_s` (None: no stamp) and lasts `duration_s`."""
        at_s = self._expected_s if stamp_s is None else stamp_s + self._offset_s
        if stamp_s is not None and not self._follows(at_s):
            self._rebase(stamp_s)
            at_s = stamp_s + self._offset_s
        self._begun = True
        self._at_s = max(at_s, self._at_s)
        self._expected_s = self._at_s + duration_s
        return self._at_s

    def _follows(self, at_s: float) -> bool:
        if at_s < self._at_s - self.BACK_S:
            return False
        gap_s = at_s - self._expected_s
        return gap_s <= (self._leap_s if self._begun else max(self._leap_s, self.HOLE_S)) or any(
            abs(other.expected_s - at_s) <= self.BESIDE_S for other in self._others
        )

    def _rebase(self, stamp_s: float) -> None:
        """Let `stamp_s` follow what came before, as far beside the other tracks as its own stamps say."""
        self.n_rebased += 1
        for other in self._others:
            ahead_s = stamp_s + other._offset_s - self._expected_s
            if other.n_rebased and -self.BACK_S <= ahead_s <= self.BESIDE_S:
                self._offset_s = other._offset_s
                return
        self._offset_s = self._expected_s - stamp_s


class ArrivalClock:
    """The media times of one live track. Its stamps start anywhere, so the first one is pinned to its arrival.

    Two tracks of a peer run on two crystals. The pin is therefore slewed towards the quickest arrival of each block, by
    a thousandth at most. Crystals differ by less; a network or a decoder that falls behind grows faster, and stays
    visible as `late_s`. When stamps go back, run ahead of their arrival, or stay late, the track is pinned anew, and
    `n_rebased` counts it. Media times never decrease.
    """

    BLOCK_S = 10.0
    SLEW = 1e-3
    LEAP_S = 2.0

    def __init__(self) -> None:
        self._offset_s: float | None = None
        self._stamp_s = -math.inf
        self._at_s = -math.inf
        self._block_end_s = math.inf
        self._quickest_s = math.inf
        self.late_s = 0.0
        "Seconds by which the quickest frame of the last block arrived later than its stamp says."
        self.n_rebased = 0

    def place(self, stamp_s: float, *, arrived_s: float) -> float:
        """The media time of a frame stamped `stamp_s` that arrived `arrived_s` after the session's first packet."""
        if self._offset_s is None:
            self._pin(stamp_s, arrived_s)
        late_s = arrived_s - (stamp_s + self._offset)
        if stamp_s < self._stamp_s - self.LEAP_S or late_s < -self.LEAP_S:
            self._pin(stamp_s, arrived_s)
            self.n_rebased += 1
            late_s = 0.0
        self._stamp_s = stamp_s
        self._quickest_s = min(self._quickest_s, late_s)
        if arrived_s >= self._block_end_s:
            self._close_block(stamp_s, arrived_s)
        self._at_s = max(self._at_s, stamp_s + self._offset)
        return self._at_s

    @property
    def offset_s(self) -> float | None:
        "Media time of stamp 0, as arrival has it; None before the first frame."
        return self._offset_s

    @property
    def _offset(self) -> float:
        assert self._offset_s is not None, "place() pins before it reads"
        return self._offset_s

    def _pin(self, stamp_s: float, arrived_s: float) -> None:
        self._offset_s = arrived_s - stamp_s
        self._block_end_s = arrived_s + self.BLOCK_S
        self._quickest_s = math.inf

    def _close_block(self, stamp_s: float, arrived_s: float) -> None:
        self.late_s = self._quickest_s
        if self.late_s > self.LEAP_S:
            # A sender that slept goes on with the stamps it stopped at. Without a new pin its tracks would stay apart.
            self._pin(stamp_s, arrived_s)
            self.n_rebased += 1
            return
        most_s = self.SLEW * self.BLOCK_S
        self._offset_s = self._offset + min(max(self.late_s, -most_s), most_s)
        self._block_end_s = arrived_s + self.BLOCK_S
        self._quickest_s = math.inf
