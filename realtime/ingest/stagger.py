"""Spreads the sampling times of live sessions, so that their frames reach the model one after the other.

Each session samples one frame a period, counted from the beginning of its media. Sessions that begin together (a
meeting, a class, a server that is back) would all sample at the same moment, and wait for each other while the rest of
the second is idle. So a new session samples in the middle of the widest gap between the others. The first has phase 0.
"""

from __future__ import annotations

from itertools import pairwise

from realtime.ingest.sampler import SAMPLE_PERIOD_S


class Stagger:
    """The sampling times of one server's sessions. All times are wall time of one clock."""

    def __init__(self, period_s: float = SAMPLE_PERIOD_S) -> None:
        self._period_s = period_s
        self._moments_s: dict[object, float] = {}
        "When within a period each one's frames are sampled."

    def join(self, who: object, *, zero_s: float) -> float:
        """`who`'s media begins at `zero_s`. Returns the phase, 0 to one period, of its frame clock."""
        begins_s = zero_s % self._period_s
        taken_s = sorted(self._moments_s.values())
        moment_s = begins_s
        if taken_s:
            around_s = [*taken_s, taken_s[0] + self._period_s]
            before_s, after_s = max(pairwise(around_s), key=lambda gap: gap[1] - gap[0])
            moment_s = (before_s + after_s) / 2 % self._period_s
        self._moments_s[who] = moment_s
        return (moment_s - begins_s) % self._period_s

    def leave(self, who: object) -> None:
        """Free the place of `who`. It may be called more than once, and for those who never joined."""
        self._moments_s.pop(who, None)
