"""One thread owns the model; every session awaits it.

What was said is heard and labelled first, then frames are seen, then chains go on, a few tokens a turn and together
(`engine/chains.py`): a sentence that just ended is not kept waiting by a picture or a chain of thought, whoever's it
is. Within a rank it is first come, first served; a session has at most one job of each kind under way, and so none can
crowd out another.
"""

from __future__ import annotations

import asyncio
import itertools
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import IntEnum
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

from realtime.observe.metrics import Metrics

T = TypeVar("T")


class Rank(IntEnum):
    LABEL = 0
    "Hearing and the fast label: someone waits for it."
    EVIDENCE = 1
    "Seeing."
    REASON = 2
    "A turn of chains."
    STOP = 3


async def watch_loop(metrics: Metrics, every_s: float = 0.1) -> None:
    """Sample for ever how late the event loop comes round: what decodes and publishes for all sessions."""
    loop = asyncio.get_running_loop()
    while True:
        due_s = loop.time() + every_s
        await asyncio.sleep(every_s)
        metrics.loop_delay.observe(max(0.0, loop.time() - due_s))
        metrics.tasks.set(len(asyncio.all_tasks(loop)))


@dataclass(order=True, slots=True)
class Job:
    rank: Rank
    number: int
    stage: str = field(compare=False)
    work: Callable[[], Any] = field(compare=False)
    done: Future[Any] = field(compare=False)
    put_s: float = field(compare=False)


class ModelWorker:
    """Runs blocking model calls one at a time, best rank first. Use it in a `with`, which waits for the running job."""

    def __init__(self, metrics: Metrics | None = None) -> None:
        self._metrics = metrics or Metrics()
        self._numbers = itertools.count()
        # Bounded by its users: each session awaits one job of a kind before it brings the next.
        self._jobs: queue.PriorityQueue[Job] = queue.PriorityQueue()
        self._thread = threading.Thread(target=self._work, name="model", daemon=True)
        self._metrics.waiting.set_function(self._jobs.qsize)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._put(Rank.STOP, "stop", lambda: None)
        self._thread.join()

    async def run(self, stage: str, work: Callable[..., T], *args: Any, rank: Rank = Rank.EVIDENCE) -> T:
        """The result of `work(*args)`, called in the model's thread. Cancelled before it began, it is never called."""
        return await asyncio.wrap_future(self.submit(stage, work, *args, rank=rank))

    def submit(self, stage: str, work: Callable[..., T], *args: Any, rank: Rank = Rank.EVIDENCE) -> Future[T]:
        """The same for callers without a loop."""
        return self._put(rank, stage, partial(work, *args))

    @property
    def n_waiting(self) -> int:
        return self._jobs.qsize()

    @property
    def urgent(self) -> bool:
        """Whether something of a better rank than chains waits."""
        with self._jobs.mutex:
            return bool(self._jobs.queue) and self._jobs.queue[0].rank < Rank.REASON

    def post(self, stage: str, work: Callable[[], None]) -> None:
        """Call `work` in the model's thread after what it runs now; for letting go of what lives there."""
        self._put(Rank.EVIDENCE, stage, work)

    def _put(self, rank: Rank, stage: str, work: Callable[[], Any]) -> Future[Any]:
        job = Job(rank, next(self._numbers), stage, work, Future(), time.perf_counter())
        self._jobs.put(job)
        return job.done

    def _work(self) -> None:
        while True:
            job = self._jobs.get()
            if not job.done.set_running_or_notify_cancel():
                continue
            began_s = time.perf_counter()
            self._metrics.queued.labels(job.rank.name.lower()).observe(began_s - job.put_s)
            try:
                result = job.work()
            # Whatever a model raises belongs to whoever asked; the thread lives on for the others.
            except Exception as error:
                job.done.set_exception(error)
            # A panic in a Rust extension (tokenizers, safetensors) is no Exception; it too concerns one job only.
            except BaseException as error:
                job.done.set_exception(RuntimeError(f"{type(error).__name__} in the model: {error}"))
            else:
                job.done.set_result(result)
            self._metrics.stage.labels(job.stage).observe(time.perf_counter() - began_s)
            if job.rank is Rank.STOP:
                return
            # A finished job must not keep its frames alive until the next one comes.
            del job
