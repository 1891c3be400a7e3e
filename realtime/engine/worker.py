"""The one thread that owns the model; every session awaits it.

It hears and labels first, then sees frames, then decodes chains a few tokens at a time (`scheduler/`). So neither a
picture nor anyone's chain keeps a sentence that just ended from its label. A session has at most one job of each kind
in the queue, so no session can crowd out another.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

from realtime.engine.scheduler import Scheduler
from realtime.engine.scheduler.queue import Rank
from realtime.observe.metrics import Metrics

T = TypeVar("T")


class ModelWorker:
    """Runs blocking model calls one at a time, best rank first. Use it in a `with`, which waits for the running job."""

    def __init__(self, metrics: Metrics | None = None) -> None:
        self._metrics = metrics or Metrics()
        self.scheduler = Scheduler()
        self._thread = threading.Thread(target=self._work, name="model", daemon=True)
        self._metrics.waiting.set_function(self.scheduler.queue.__len__)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.scheduler.queue.put(Rank.STOP, "stop", lambda: None)
        self._thread.join()

    async def run(
        self,
        stage: str,
        work: Callable[..., T],
        *args: Any,
        rank: Rank = Rank.EVIDENCE,
        after: Future[Any] | None = None,
    ) -> T:
        """Call `work(*args)` in the model's thread and return its result. Cancelled before it began, it never runs.

        With `after` it waits for that outside the queue, so that the thread is free for others meanwhile.
        """
        return await asyncio.wrap_future(self.submit(stage, work, *args, rank=rank, after=after))

    def submit(
        self,
        stage: str,
        work: Callable[..., T],
        *args: Any,
        rank: Rank = Rank.EVIDENCE,
        after: Future[Any] | None = None,
    ) -> Future[T]:
        """The same for callers without an event loop. Use it, too, to let go of what lives in the model's thread."""
        return self.scheduler.queue.put(rank, stage, partial(work, *args), after)

    def _work(self) -> None:
        while True:
            job = self.scheduler.queue.take()
            if not job.done.set_running_or_notify_cancel():
                continue
            began_s = time.perf_counter()
            self._metrics.queued.labels(job.rank.name.lower()).observe(began_s - job.put_s)
            try:
                result = job.work()
            # Whatever a model raises belongs to the caller; the thread lives on for the others.
            except Exception as error:
                job.done.set_exception(error)
            # A panic in a Rust extension (tokenizers, safetensors) is not an Exception; it too concerns one job only.
            except BaseException as error:
                job.done.set_exception(RuntimeError(f"{type(error).__name__} in the model: {error}"))
            else:
                job.done.set_result(result)
            self._metrics.stage.labels(job.stage).observe(time.perf_counter() - began_s)
            if job.rank is Rank.STOP:
                return
            # A finished job must not keep its frames alive until the next one comes.
            del job
