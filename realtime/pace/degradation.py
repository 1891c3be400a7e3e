"""What a session leaves out while the machine is too slow, step by step, until it keeps up again. Pure.

    nothing ─► chains wait ─► no windows in quiet moments ─► every other frame      labels of speech stay to the last

Measurements between frames (`ingest.cue_fps`) stop as soon as the session is behind at all; they are no step of their
own. A step down is taken when the lag has been above its threshold for half a second, and at most one step a second. A
step back up is taken after the lag was small for three seconds. A `lag` event reports each change.
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
        if lag_s > LEAVE_S:
            self._calm_since_s = None
            self.cue_frames = False
        elif self._calm_since_s is None:
            self._calm_since_s = at_s
        if self._step + 1 < len(STEPS) and lag_s >= ENTER_S[self._step + 1]:
            if self._slow_since_s is None:
                self._slow_since_s = at_s
            patient = at_s - self._slow_since_s >= PATIENCE_S and at_s - self._changed_s >= STEP_EVERY_S
            return patient and self._to(self._step + 1, at_s)
        self._slow_since_s = None
        calm = self._calm_since_s is not None and at_s - self._calm_since_s >= CALM_S
        self.cue_frames = self.cue_frames or (calm and not self._step)
        if self._step and self._calm_since_s is not None and at_s - self._calm_since_s >= CALM_S:
            return self._to(self._step - 1, at_s)
        return False

    def _to(self, step: int, at_s: float) -> bool:
        self._step, self._changed_s = step, at_s
        # Each step back up is tried for a while before the next.
        self._calm_since_s = self._slow_since_s = None
        return True
