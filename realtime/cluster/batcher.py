"""Dynamic batching: the requests that come while a batch runs make the next batch.

No request waits for a batch to fill. One that comes to an idle replica is a batch of one at once, and under load
batches grow up to `max_batch`. Serve's own batching hands a method whatever came; here requests are first grouped by
question and adapter, since only those can share a call, and each result says how long its request waited.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Generic, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")


@dataclass
class Waiting(Generic[Q, A]):
    request: Q
    key: Hashable
    came_s: float
    done: asyncio.Future[tuple[A, float, int]]


class Batcher(Generic[Q, A]):
    """Belongs to one event loop. `work` runs in `executor`, one batch at a time."""

    def __init__(
        self, work: Callable[[Sequence[Q]], Sequence[A]], executor: Executor, *, max_batch: int, max_waiting: int
    ) -> None:
        self._work = work
        self._executor = executor
        self._max_batch = max_batch
        self._max_waiting = max_waiting
        self._waiting: deque[Waiting[Q, A]] = deque()
        self._running: asyncio.Task[None] | None = None
        self.n_refused = 0
        self.n_batches = 0
        self.n_requests = 0

    @property
    def oldest_s(self) -> float:
        """How long the first request in the queue has waited."""
        return time.monotonic() - self._waiting[0].came_s if self._waiting else 0.0

    async def run(self, request: Q, key: Hashable) -> tuple[A, float, int]:
        """Return the answer, the seconds the request waited, and the size of its batch.

        Requests with equal keys may share a batch. Raises OverflowError when `max_waiting` requests wait.
        """
        if len(self._waiting) >= self._max_waiting:
            self.n_refused += 1
            raise OverflowError(f"{len(self._waiting)} requests wait")
        waiting: Waiting[Q, A] = Waiting(request, key, time.monotonic(), asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._drain(), name="batches")
        return await waiting.done

    async def _drain(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            batch = self._next()
            if not batch:
                continue
            began_s = time.monotonic()
            self.n_batches += 1
            self.n_requests += len(batch)
            try:
                answers = await loop.run_in_executor(self._executor, self._work, [item.request for item in batch])
            # Whatever the model raises fails the requests of this batch; the next batch runs.
            except Exception as error:
                for item in batch:
                    if not item.done.done():
                        item.done.set_exception(error)
                continue
            for item, answer in zip(batch, answers, strict=True):
                if not item.done.done():
                    item.done.set_result((answer, began_s - item.came_s, len(batch)))

    def _next(self) -> list[Waiting[Q, A]]:
        """Take the first request and those that may share its batch. The others keep their order."""
        key = self._waiting[0].key
        batch: list[Waiting[Q, A]] = []
        kept: deque[Waiting[Q, A]] = deque()
        for item in self._waiting:
            if item.done.cancelled():
                continue
            (batch if item.key == key and len(batch) < self._max_batch else kept).append(item)
        self._waiting = kept
        return batch
