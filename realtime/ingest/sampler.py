"""Which frames are looked at: the first of every media second."""

from __future__ import annotations

import math

SAMPLE_PERIOD_S = 1.0
"Media seconds between two frames that are looked at, as in training."


class Sampler:
    """Keeps the first frame of each period of media time. A gap is skipped, not caught up with."""

    def __init__(self, period_s: float = SAMPLE_PERIOD_S, *, phase_s: float = 0.0) -> None:
        """Periods begin at `phase_s` (`stagger.py`). The very first frame is always kept."""
        if not period_s > 0:
            raise ValueError(f"the sampling period must be positive, not {period_s}")
        self._period_s = period_s
        self._phase_s = phase_s
        self._next_s = -math.inf

    def wants(self, at_s: float) -> bool:
        """Whether the frame shown at `at_s` is one to keep. Times must not decrease."""
        if at_s < self._next_s:
            return False
        n_periods = math.floor((at_s - self._phase_s) / self._period_s) + 1
        self._next_s = self._phase_s + n_periods * self._period_s
        return True
