"""What a session leaves out while the machine is too slow, step by step, until it keeps up again. Pure.

    nothing ─► chains wait ─► no windows in quiet moments ─► every other frame      labels of speech stay to the last

Measurements between frames (`ingest.cue_fps`) stop as soon as the session is behind at all; they are no step of their
own, and come back after three seconds without any lag. A step down is taken when the lag has been above its threshold
for half a second, and at most one step a second. A step back up is taken after three seconds in which the lag was never
above the first threshold, and was small but for parts of a second: a slow machine is behind for a moment with each
frame, and would never come back otherwise. A `lag` event reports each change.
"""

from __future__ import annotations

from typing import get_args

from realtime.records import Reduced

STEPS: tuple[Reduced, ...] = get_args(Reduced)
ENTER_S = (0.0, 0.75, 1.5, 2.5)
"Lag in media seconds at which each step is taken. A frame that waits for another session's frame is 0.1 s old."
PATIENCE_S = 0.5
"Seconds for which the lag must last: longer than one late frame, or one long step of another session."
LEAVE_S = 0.4
CALM_S = 3.0
STEP_EVERY_S = 1.0


class Load:
    """How much one session leaves out at the moment."""

    def __init__(self) -> None:
        self._step = 0
        self._changed_s = -STEP_EVERY_S
        self._small_since_s: float | None = None
        self._behind_since_s: float | None = None
        self._calm_since_s: float | None = None
        self._slow_since_s: float | None = None
        self.cue_frames = True
        "Whether faces are measured between frames."

    @property
    def reduced(self) -> Reduced:
        """The step taken last. It includes those before it."""
        return STEPS[self._step]

    @property
    def chains(self) -> bool:
        """Whether chains may go on."""
        return self._step < 1

    @property
    def quiet_windows(self) -> bool:
        return self._step < 2

    def wants_frame(self, n_offered: int) -> bool:
        return self._step < 3 or n_offered % 2 == 0

    def update(self, lag_s: float, at_s: float) -> bool:
        """Take the lag at media time `at_s`. Returns whether a step was taken, down or up."""
        self._note(lag_s, at_s)
        if self._step + 1 < len(STEPS) and lag_s >= ENTER_S[self._step + 1]:
            if self._slow_since_s is None:
                self._slow_since_s = at_s
            patient = at_s - self._slow_since_s >= PATIENCE_S and at_s - self._changed_s >= STEP_EVERY_S
            return patient and self._to(self._step + 1, at_s)
        self._slow_since_s = None
        if not self._step and _lasts(self._small_since_s, at_s, CALM_S):
            self.cue_frames = True
        return self._step > 0 and _lasts(self._calm_since_s, at_s, CALM_S) and self._to(self._step - 1, at_s)

    def _note(self, lag_s: float, at_s: float) -> None:
        """Note since when the lag is small, since when it is not, and since when it was so for moments at most."""
        if lag_s <= LEAVE_S:
            self._behind_since_s = None
            self._small_since_s = at_s if self._small_since_s is None else self._small_since_s
            self._calm_since_s = at_s if self._calm_since_s is None else self._calm_since_s
            return
        self._small_since_s, self.cue_frames = None, False
        self._behind_since_s = at_s if self._behind_since_s is None else self._behind_since_s
        if lag_s >= ENTER_S[1] or _lasts(self._behind_since_s, at_s, PATIENCE_S):
            self._calm_since_s = None

    def _to(self, step: int, at_s: float) -> bool:
        self._step, self._changed_s = step, at_s
        # Each step back up is tried for a while before the next.
        self._small_since_s = self._calm_since_s = self._slow_since_s = None
        return True


def _lasts(since_s: float | None, at_s: float, for_s: float) -> bool:
    return since_s is not None and at_s - since_s >= for_s
