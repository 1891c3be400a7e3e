"""When an analysis is due. Pure: media seconds in, values out."""

from __future__ import annotations

import math
from dataclasses import dataclass

TAIL_S = 1.0
"A shorter rest of a recording holds no frame that no analysis has seen."


@dataclass(frozen=True, slots=True)
class Due:
    """An analysis that should begin now."""

    end_s: float
    "Media time at which its window ends."
    spoken: bool
    "Whether it is due because speech ended."


class Cadence:
    """Says when an analysis is due: when speech ends, and every `every_s` while nobody speaks."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._last_s = 0.0
        self._n_due = 0
        self._speaking = False

    def speech_started(self) -> None:
        self._speaking = True

    def speech_ended(self, end_s: float) -> Due:
        self._speaking = False
        # Speech is cut a little after it ended, so a window of a quiet moment may already end later.
        self._last_s = max(self._last_s, end_s)
        self._n_due += 1
        return Due(end_s, spoken=True)

    def clock(self, at_s: float) -> Due | None:
        n_periods = math.floor((at_s - self._last_s) / self._every_s)
        if self._speaking or n_periods < 1:
            return None
        # After a gap only the latest is due, not each one that was missed.
        self._n_due += 1
        self._last_s += n_periods * self._every_s
        return Due(self._last_s, spoken=False)

    def finish(self, at_s: float) -> Due | None:
        """The last analysis of a recording that ends at `at_s`; None if its rest is shorter than `TAIL_S`."""
        if self._n_due and at_s - self._last_s < TAIL_S:
            return None
        self._n_due += 1
        self._last_s = at_s
        return Due(at_s, spoken=False)
