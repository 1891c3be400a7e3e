from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future

import pytest

from realtime.engine.scheduler.queue import Rank
from realtime.engine.worker import ModelWorker
from realtime.observe.metrics import Metrics


async def test_results_and_errors_come_back_to_whoever_asked(worker: ModelWorker) -> None:
    assert await worker.run("add", lambda a, b: a + b, 1, 2) == 3
    with pytest.raises(ZeroDivisionError):
        await worker.run("fail", lambda: 1 / 0)
    assert await worker.run("thread", lambda: threading.current_thread().name) == "model"


async def test_evidence_goes_before_reasoning_and_otherwise_first_come_first_served(worker: ModelWorker) -> None:
    started, released, ran = threading.Event(), threading.Event(), []

    def hold() -> None:
        started.set()
        released.wait(5)

    def note(name: str) -> Callable[[], None]:
        return lambda: ran.append(name)

    jobs = [asyncio.create_task(worker.run("hold", hold))]
    await asyncio.to_thread(started.wait, 5)
    for name, rank in (
        ("chain a", Rank.REASON),
        ("chain b", Rank.REASON),
        ("face", Rank.EVIDENCE),
        ("voice", Rank.EVIDENCE),
    ):
        jobs.append(asyncio.create_task(worker.run(name, note(name), rank=rank)))
        await asyncio.sleep(0)
    released.set()
    await asyncio.gather(*jobs)
    assert ran == ["face", "voice", "chain a", "chain b"]


async def test_what_is_cancelled_before_it_began_never_runs(worker: ModelWorker) -> None:
    started, released, ran = threading.Event(), threading.Event(), []

    def hold() -> None:
        started.set()
        released.wait(5)

    holding = asyncio.create_task(worker.run("hold", hold))
    waiting = asyncio.create_task(worker.run("never", lambda: ran.append(1)))
    assert await asyncio.to_thread(started.wait, 5)
    waiting.cancel()
    await asyncio.wait([waiting])
    await asyncio.sleep(0)
    released.set()
    await holding
    await worker.run("after", lambda: None, rank=Rank.REASON)
    assert not ran


async def test_what_waits_for_something_else_keeps_the_thread_for_nobody(worker: ModelWorker) -> None:
    measured: Future[None] = Future()
    waiting = asyncio.create_task(worker.run("see", lambda: "seen", after=measured))
    assert await worker.run("chain", lambda: "written", rank=Rank.REASON) == "written"
    assert len(worker.scheduler.queue) == 0
    assert not waiting.done()
    # However it ends: the job itself finds out what became of it.
    measured.set_exception(RuntimeError("no picture"))
    assert await waiting == "seen"


async def test_what_is_cancelled_while_it_waits_for_something_else_never_runs(worker: ModelWorker) -> None:
    measured: Future[None] = Future()
    ran: list[int] = []
    waiting = asyncio.create_task(worker.run("see", lambda: ran.append(1), after=measured))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    measured.set_result(None)
    await worker.run("after", lambda: None, rank=Rank.REASON)
    assert not ran


async def test_a_panic_of_an_extension_ends_one_job_only(worker: ModelWorker) -> None:
    class PanicException(BaseException):
        """What a Rust extension raises when it panics."""

    def panic() -> None:
        raise PanicException("index out of bounds")

    with pytest.raises(RuntimeError, match="PanicException in the model: index out of bounds"):
        await worker.run("panic", panic)
    assert await worker.run("next", lambda: "alive") == "alive"


def test_leaving_waits_for_jobs_in_the_queue() -> None:
    closed: list[int] = []
    with ModelWorker(Metrics()) as worker:
        worker.submit("close", closed.append, 1)
    assert closed == [1]
