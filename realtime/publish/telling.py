"""Tells what becomes of one session: opens its log with the first event, writes events and marks, and counts them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from realtime.errors import NoMediaYet, SessionOver
from realtime.observe.metrics import Metrics
from realtime.publish import report
from realtime.publish.channel import EventLog
from realtime.publish.events import ErrorEvent, Event, MarkEvent, MarkValue
from realtime.records import ModelInfo, SourceStarted


class Telling:
    """Of one session. `now_s` and `unix_s` are this machine's clocks."""

    def __init__(
        self,
        log: EventLog,
        metrics: Metrics,
        model: ModelInfo,
        *,
        now_s: Callable[[], float],
        unix_s: Callable[[], float],
    ) -> None:
        self._log = log
        self._metrics = metrics
        self._model = model
        self._now_s = now_s
        self._unix_s = unix_s
        self._zero_s: float | None = None
        "When media second 0 was, on the clock of `now_s`, where the source knows it."

    def open(self, at_s: float) -> None:
        """Write the first event, where it is not there yet. It waits for the first of the media."""
        if not self._log.seq:
            self._write(report.opened_event(self._model, None), at_s)

    def started(self, started: SourceStarted, at_s: float) -> None:
        """Tell when media second 0 was, with the first event or in one of its own."""
        self._zero_s = self._now_s() - (self._unix_s() - started.unix_s)
        if self._log.seq:
            self._write(report.clock_event(started), at_s)
        else:
            self._write(report.opened_event(self._model, started), at_s)

    def event(self, event: Event, at_s: float) -> None:
        """Write an event at a media second. After the log was closed nothing is written."""
        self.open(at_s)
        self._write(event, at_s)

    def mark(self, name: str, data: Mapping[str, MarkValue], reached_s: float) -> str:
        """Write a mark at this moment, which is no earlier than media second 0. Returns its event, encoded.

        `reached_s` is the media second that the session has reached, for a source that knows no wall time.
        Raises NoMediaYet before the first picture or sound, and SessionOver after the last event.
        """
        if self._log.closed:
            raise SessionOver("The session has ended.", "Marks are taken while it is live.")
        if not self._log.seq:
            raise NoMediaYet("Nothing has come from the sender yet.", "Mark it once the first event is there.")
        at_s = reached_s if self._zero_s is None else max(0.0, self._now_s() - self._zero_s)
        self._write(MarkEvent(name, data), at_s)
        return self._log.newest

    def _write(self, event: Event, at_s: float) -> None:
        self._log.publish(event, at_s=at_s)
        self._metrics.events.labels(event.type).inc()
        if isinstance(event, ErrorEvent) and not event.over:
            self._metrics.errors.labels(event.code).inc()
