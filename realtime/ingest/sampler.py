"""Which frames are looked at: the first of every media second, and with `ingest.cue_fps` some in between."""

from __future__ import annotations

import math
from typing import Literal

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


class FrameSampler:
    """Tells the frames that the model reads from those in which faces are only measured, and from the rest."""

    def __init__(self, cue_fps: float, *, phase_s: float = 0.0) -> None:
        """`cue_fps`: measurements a second, those in the frames that the model reads included; 0: only those."""
        self._read = Sampler(phase_s=phase_s)
        self._measured = Sampler(1 / cue_fps, phase_s=phase_s) if cue_fps > 0 else None

    def wants(self, at_s: float) -> Literal["read", "measured"] | None:
        """What the frame shown at `at_s` is for; None: nothing. Times must not decrease."""
        measured = self._measured is not None and self._measured.wants(at_s)
        if self._read.wants(at_s):
            return "read"
        return "measured" if measured else None
