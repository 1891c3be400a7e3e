"""What a session has skipped: what a newer item replaced, and what was left out because the session is behind."""

from __future__ import annotations

from realtime.observe.metrics import Metrics


class Skipped:
    """Counts of one session. Each also counts in `/metrics`."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self.n_frames = 0
        self.n_cue_frames = 0
        "Measurements between frames."
        self.n_windows = 0
        "Analyses without a label, and those that got a label but no chain."
        self.n_words = 0
        "Utterances whose words were not written down."

    def frame(self) -> None:
        self.n_frames += 1
        self._metrics.skipped_frames.inc()

    def cue_frame(self) -> None:
        self.n_cue_frames += 1
        self._metrics.skipped_cue_frames.inc()

    def window(self) -> None:
        self.n_windows += 1
        self._metrics.skipped_windows.inc()

    def words(self) -> None:
        self.n_words += 1
        self._metrics.skipped_words.inc()
