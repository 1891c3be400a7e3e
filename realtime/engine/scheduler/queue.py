"""The jobs of the model's thread, best rank first."""

from __future__ import annotations

import itertools
import queue
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any


class Rank(IntEnum):
    """The order in which jobs run. Within a rank it is first come, first served."""

    LABEL = 0
    "Hearing and the fast label: someone waits for them."
    EVIDENCE = 1
    "Seeing."
    REASON = 2
    "Decoding chains."
    STOP = 3
    "The end of the thread, after everything else."


@dataclass(order=True, slots=True)
class Job:
    """A blocking call of the model, and the future of its result."""

    rank: Rank
    number: int
    stage: str = field(compare=False)
    work: Callable[[], Any] = field(compare=False)
    done: Future[Any] = field(compare=False)
    put_s: float = field(compare=False)
    "When it could begin, on the clock of `time.perf_counter`."


class JobQueue:
    """A priority queue between the threads that want something of the model and the thread that owns it.

    It needs no bound of its own: each session awaits one job of a kind before it puts the next.
    """

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self._jobs: queue.PriorityQueue[Job] = queue.PriorityQueue()

    def __len__(self) -> int:
        return self._jobs.qsize()

    @property
    def urgent(self) -> bool:
        """Whether a job of a better rank than chains waits."""
        with self._jobs.mutex:
            return bool(self._jobs.queue) and self._jobs.queue[0].rank < Rank.REASON

    def put(self, rank: Rank, stage: str, work: Callable[[], Any], after: Future[Any] | None = None) -> Future[Any]:
        """Add a job, from any thread; with `after` only once that is done, however it ends.

        A future that is cancelled before the job began keeps it from running.
        """
        done: Future[Any] = Future()

        def put_now(_: Future[Any] | None) -> None:
            self._jobs.put(Job(rank, next(self._numbers), stage, work, done, time.perf_counter()))

        if after is None:
            put_now(None)
        else:
            after.add_done_callback(put_now)
        return done

    def take(self) -> Job:
        """Wait for the next job, in the model's thread."""
        return self._jobs.get()
