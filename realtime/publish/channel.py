"""The event log of one session: bounded, resumable, and read by any number of readers at their own pace.

Writing never waits. All that is kept of a reader is the `seq` of the last event it has seen, so a slow reader costs no
memory. When the next event of a reader is no longer kept, the reader gets an `error` event that says which ones it
missed, and goes on with the oldest event there is.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Collection
from dataclasses import dataclass

from realtime.publish.events import ErrorEvent, Event, encode


@dataclass(frozen=True, slots=True)
class Entry:
    """One encoded event."""

    seq: int
    at_s: float
    type: str
    line: str


class EventLog:
    """Keeps the events of the last `kept_s` media seconds, at most `kept_events`; it drops the oldest first."""

    def __init__(self, session: str, *, kept_s: float = 600.0, kept_events: int = 50_000) -> None:
        self.session = session
        self.closed = False
        self.n_dropped = 0
        "Number of events that were written and are no longer kept."
        self.n_readers = 0
        "Number of readers that have begun and have not ended."
        self._kept_s = kept_s
        self._entries: deque[Entry] = deque()
        self._kept_events = kept_events
        self.newest_s = 0.0
        "Media time of the newest event."
        self._grown = asyncio.Event()

    @property
    def seq(self) -> int:
        """Number of the newest event; 0 while there is none."""
        return self.n_dropped + len(self._entries)

    @property
    def newest(self) -> str:
        """The newest event, encoded. There has to be one."""
        return self._entries[-1].line

    def publish(self, event: Event, *, at_s: float) -> int:
        """Append the event and return its `seq`. After `close` this writes nothing."""
        if self.closed:
            return self.seq
        seq = self.seq + 1
        self._entries.append(Entry(seq, at_s, event.type, encode(event, session=self.session, seq=seq, at_s=at_s)))
        self.newest_s = max(self.newest_s, at_s)
        while len(self._entries) > self._kept_events or self._entries[0].at_s < self.newest_s - self._kept_s:
            self._entries.popleft()
            self.n_dropped += 1
        self._wake()
        return seq

    def since(self, at_s: float, types: Collection[str]) -> list[str]:
        """The events of these types that are kept and happened at or after media second `at_s`, encoded, in order."""
        return [entry.line for entry in self._entries if entry.at_s >= at_s and entry.type in types]

    @property
    def oldest_s(self) -> float:
        """Media time of the oldest event that is kept; 0 while there is none."""
        return self._entries[0].at_s if self._entries else 0.0

    def close(self) -> None:
        """Take no more events. Readers end when they have read what is there."""
        self.closed = True
        self._wake()

    async def read(self, after: int = 0, *, as_reader: bool = True) -> AsyncGenerator[str]:
        """Yield every event after `after` as a line of JSON, then each new one, until the log is closed.

        `as_reader` counts this among the readers for whom the session is kept open. An `after` that this session has
        not reached yet counts as the newest event: it comes from before a restart of the server.
        """
        seen = min(max(after, 0), self.seq)
        self.n_readers += as_reader
        try:
            while True:
                grown = self._grown
                if seen < self.n_dropped:
                    yield self._gap(seen)
                    seen = self.n_dropped
                elif seen < self.seq:
                    # One at a time: while the reader is busy with this one, the log may drop the next.
                    entry = self._entries[seen - self.n_dropped]
                    yield entry.line
                    seen = entry.seq
                elif self.closed:
                    return
                else:
                    await grown.wait()
        finally:
            self.n_readers -= as_reader

    def _gap(self, seen: int) -> str:
        """Return the error event that stands in for those after `seen`; its `seq` is that of the last one missed."""
        missed = ErrorEvent(
            code="events_lost",
            message=f"Events {seen + 1} to {self.n_dropped} are no longer kept.",
            hint="Read faster, or come back sooner.",
        )
        at_s = self._entries[0].at_s if self._entries else self.newest_s
        return encode(missed, session=self.session, seq=self.n_dropped, at_s=at_s)

    def _wake(self) -> None:
        # Readers that wait hold the old flag; those that come later find the new one.
        self._grown.set()
        self._grown = asyncio.Event()
