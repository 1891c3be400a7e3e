"""The queue between two stages of a session. It has one writer at a time, one reader, a bound and a policy."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import TypeVar

T = TypeVar("T")


class Mailbox(AsyncIterator[T]):
    """A bounded queue. When it is full, the oldest item is dropped and returned, because live media cannot wait.

    With `waits`, for recordings, `put` returns when the reader has dealt with the item, and nothing is ever dropped.
    """

    def __init__(self, bound: int = 1, *, waits: bool = False) -> None:
        self._bound = bound
        self._waits = waits
        self._items: deque[T] = deque()
        self._filled = asyncio.Event()
        self._idle = asyncio.Event()

    async def put(self, item: T) -> T | None:
        """Add an item. Returns the item that was dropped for it, if any."""
        gone = None
        if not self._waits and len(self._items) == self._bound:
            gone = self._items.popleft()
        self._items.append(item)
        self._idle.clear()
        self._filled.set()
        if self._waits:
            await self._idle.wait()
        return gone

    def newer(self) -> T | None:
        """The oldest item that waits, in place of one that was taken and has not been begun; None where none waits."""
        return self._items.popleft() if self._items else None

    async def settled(self) -> None:
        """Return when nothing waits and the reader has dealt with what it took."""
        await self._idle.wait()

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        """The next item. Asking for it means that the last one has been dealt with."""
        if not self._items:
            self._filled.clear()
            self._idle.set()
            await self._filled.wait()
        return self._items.popleft()
