"""How far behind a session is, in media seconds. Pure."""

from __future__ import annotations

from collections import Counter

from realtime.records import Lag, Reduced

STEP_S = 0.5
"A smaller change is not reported."
PERIOD_S = 1.0
"Media seconds between two reports."


class LagMeter:
    """Counts what was received and is not answered yet: frames, segments of speech, windows without a label."""

    def __init__(self) -> None:
        self._waiting: Counter[float] = Counter()
        self._said: Lag | None = None
        self._said_at_s = -PERIOD_S

    def received(self, at_s: float) -> None:
        self._waiting[at_s] += 1

    def finished(self, at_s: float) -> None:
        """An item received with this time was answered, or was dropped for a newer one."""
        self._waiting[at_s] -= 1
        if self._waiting[at_s] <= 0:
            del self._waiting[at_s]

    def seconds(self, now_s: float) -> float:
        """Age of the oldest item that is not answered; 0 when there is none."""
        return max(0.0, now_s - min(self._waiting, default=now_s))

    def report(
        self,
        now_s: float,
        *,
        skipped_frames: int,
        skipped_windows: int,
        reduced: Reduced = "nothing",
        skipped_cue_frames: int = 0,
    ) -> Lag | None:
        """The lag to report at media time `now_s`, or None. A change of `reduced` is reported at once."""
        lag = Lag(self.seconds(now_s), skipped_frames, skipped_windows, reduced, skipped_cue_frames)
        said = self._said
        unchanged = (
            said is not None
            and abs(lag.seconds - said.seconds) < STEP_S
            and (lag.skipped_frames, lag.skipped_windows) == (said.skipped_frames, said.skipped_windows)
        )
        told = said is not None and lag.reduced == said.reduced
        if told and (unchanged or now_s - self._said_at_s < PERIOD_S):
            return None
        self._said, self._said_at_s = lag, now_s
        return lag
