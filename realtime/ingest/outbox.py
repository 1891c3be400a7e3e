"""What was received and waits for the consumer: `OUTBOX_ITEMS` at most; when it is full the oldest is dropped."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass

import av

from realtime.records import ClockTick, InputState, SourceStarted, SpeechSegment, SpeechSoFar, SpeechStarted

OUTBOX_ITEMS = 32
"Items that may wait for the consumer."
HALF_FULL = OUTBOX_ITEMS // 2
"Items that wait for the consumer from which on no more cue frames are taken."


@dataclass(frozen=True, slots=True)
class RawFrame:
    """A sampled frame as it was decoded. It is converted to RGB when it leaves the outbox."""

    at_s: float
    frame: av.VideoFrame
    only_measured: bool = False
    "It becomes a `CueFrame`."


Waiting = RawFrame | SourceStarted | SpeechStarted | SpeechSegment | SpeechSoFar | ClockTick | InputState


class Outbox(AsyncIterator[Waiting]):
    """The queue between draining and the consumer: bounded, newest wins, counted. A tick replaces a waiting tick."""

    def __init__(self, bound: int) -> None:
        self._items: deque[Waiting] = deque(maxlen=bound)
        self._changed = asyncio.Event()
        self._closed = False
        self.n_skipped = 0

    def put(self, item: Waiting) -> None:
        if isinstance(item, ClockTick) and self._items and isinstance(self._items[-1], ClockTick):
            self._items.pop()
        if isinstance(item, RawFrame) and item.only_measured and len(self._items) >= HALF_FULL:
            # A measurement more pushes nothing else out.
            self.n_skipped += 1
            return
        self.n_skipped += len(self._items) == self._items.maxlen
        self._items.append(item)
        self._changed.set()

    def close(self) -> None:
        """Say that no more items come. Those that wait can still be taken."""
        self._closed = True
        self._changed.set()

    async def __anext__(self) -> Waiting:
        while not self._items:
            if self._closed:
                raise StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()
        return self._items.popleft()
