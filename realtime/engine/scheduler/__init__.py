"""The scheduler: what the model's one thread does next.

    queue.py      jobs by rank: labels before evidence before chains
    decode.py     which chains take part in a decode step, and when their steps are handed over
    timing.py     how long a chain may gather steps, how long it has waited, and what decoding has cost
    reason/       the batched decoder runs the forward pass that the chains of a decode step share

There is no `prefill.py`. A frame or an utterance is prefilled by the job that perceived it, in the order of the queue,
so its rank is all there is to schedule. On a GPU a job perceives what other sessions wait for, too, and prefills all of
it in one pass (`reason/appending.py`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from realtime.engine.scheduler.decode import DecodeQueue
from realtime.engine.scheduler.queue import JobQueue
from realtime.engine.scheduler.timing import DecodeTiming


class Scheduler:
    """Shared by the host, which puts chains into it, and the worker, whose thread takes jobs from it."""

    def __init__(self, now_s: Callable[[], float] = time.perf_counter) -> None:
        self.queue = JobQueue()
        self.timing = DecodeTiming()
        self.decode = DecodeQueue(self.timing, urgent=lambda: self.queue.urgent, now_s=now_s)

    def stats(self) -> Mapping[str, float]:
        """Counters of the decode steps, and `waiting`: the number of jobs in the queue."""
        return {**self.timing.stats(), "chains_wanted": float(self.decode.n_waiting), "waiting": float(len(self.queue))}
