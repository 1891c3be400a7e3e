"""When an analysis is due. Pure: media seconds in, values out."""

from __future__ import annotations

import math
from dataclasses import dataclass

TAIL_S = 1.0
"A shorter rest of a recording holds no frame that was not looked at."


@dataclass(frozen=True, slots=True)
class Due:
    """An analysis that should begin now."""

    end_s: float
    "Media time up to which it looks."
    spoken: bool
    "Whether speech that ended called for it."


class Cadence:
    """An analysis is due when speech ends, and every `every_s` while nobody speaks."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._last_s = 0.0
        self._n_due = 0
        self._speaking = False

    def speech_started(self) -> None:
        self._speaking = True

    def speech_ended(self, end_s: float) -> Due:
        self._speaking = False
        # Speech is cut a little after it ended, so a quiet window may already have gone further.
        self._last_s = max(self._last_s, end_s)
        self._n_due += 1
        return Due(end_s, spoken=True)

    def clock(self, at_s: float) -> Due | None:
        n_periods = math.floor((at_s - self._last_s) / self._every_s)
        if self._speaking or n_periods < 1:
            return None
        # After a gap the latest is due, not each one missed.
        self._n_due += 1
        self._last_s += n_periods * self._every_s
        return Due(self._last_s, spoken=False)

    def finish(self, at_s: float) -> Due | None:
        """A recording is over at `at_s`: what no analysis has looked at yet is worth one, unless it is a mere tail."""
        if self._n_due and at_s - self._last_s < TAIL_S:
            return None
        self._n_due += 1
        self._last_s = at_s
        return Due(at_s, spoken=False)
