"""The model's process: reads calls off a pipe, runs them best rank first, and writes the answers back."""

from __future__ import annotations

import gc
import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing.connection import Connection
from typing import Any

from realtime.engine.host import Host
from realtime.engine.messages import Call, Cancel, Fault, Reply, ToModel, UseAdapter
from realtime.engine.models import LoadAdapter, Models
from realtime.engine.warmup import warm_up
from realtime.engine.worker import ModelWorker
from realtime.errors import RealtimeError
from realtime.observe import heap, logs
from realtime.observe.metrics import device_mb, rss_mb
from realtime.roles import Model

logger = logging.getLogger(__name__)

FATAL = frozenset({"OutOfMemoryError", "AcceleratorError", "MemoryError"})
"Errors after which a device is not to be trusted: the call fails, the process ends, and the parent starts another."

DEVICE_READ_S = 1.0
"Time between two readings of the device's memory."


def run(
    pipe: Connection, load: Callable[[], Model], load_adapter: LoadAdapter | None, log_level: int, log_form: logs.Form
) -> None:
    """Serve calls until None comes down the pipe, or until the parent ends."""
    heap.limit()
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    # Ctrl+C reaches the whole process group, but the parent decides when to stop and says so through the pipe.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    logs.configure(log_level, log_form)
    with ModelWorker() as worker:
        try:
            model = load()
            worker.submit("warm", warm_up, model).result()
        except RealtimeError as error:
            pipe.send(error)
            return
        except Exception as error:
            logger.exception("the model does not load")
            pipe.send(Fault(type(error).__name__, str(error)))
            return
        # What was imported and loaded stays for good: collecting garbage in it would only delay labels.
        gc.collect()
        gc.freeze()
        # Loading and warming up leave 10 MB behind that were freed.
        heap.trim()
        models = Models(model, load_adapter)
        pipe.send(models.info())
        Service(pipe, worker, models).run()
    # Nobody waits for what still runs, and native threads might keep the process alive.
    os._exit(0)


def _end_with_parent() -> None:
    """End this process with its parent. The pipe's end says so too, but nobody reads it while a large model loads."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


class Service:
    """Runs calls as they are read and writes each answer when it is there, in whatever order that is."""

    def __init__(self, pipe: Connection, worker: ModelWorker, models: Models) -> None:
        self._pipe = pipe
        self._worker = worker
        self._host = Host(models, worker.scheduler)
        self._loader = ThreadPoolExecutor(1, "adapters")
        self._sending = threading.Lock()
        self._running: dict[int, Future[Any]] = {}
        self._device: Mapping[str, float] = {}
        self._device_read_s = float("-inf")

    def run(self) -> None:
        while True:
            try:
                message: ToModel = self._pipe.recv()
            except (EOFError, OSError):
                return
            match message:
                case Call():
                    self._start(message)
                case None:
                    return
                case Cancel(number):
                    if waiting := self._running.get(number):
                        waiting.cancel()

    def _start(self, call: Call) -> None:
        could_begin_s, queued_s = time.perf_counter(), 0.0

        def work() -> Any:
            nonlocal queued_s
            queued_s = time.perf_counter() - could_begin_s
            return self._host.handle(call.request)

        def could_begin(_: Future[Any]) -> None:
            nonlocal could_begin_s
            could_begin_s = time.perf_counter()

        after = self._host.announce(call.request)
        if after is not None:
            after.add_done_callback(could_begin)
        match call.request:
            case UseAdapter():
                # A checkpoint takes seconds to read; the model's thread serves sessions meanwhile.
                done = self._loader.submit(work)
            case request:
                done = self._worker.submit(request.stage, work, rank=call.rank, after=after)
        self._running[call.number] = done
        done.add_done_callback(lambda done: self._answer(call, done, queued_s))

    def _answer(self, call: Call, done: Future[Any], queued_s: float) -> None:
        del self._running[call.number]
        if done.cancelled():
            return
        error = done.exception()
        result = done.result() if error is None else _as_message(error)
        stats = {**self._host.stats(), "cpu_s": time.process_time(), "rss_mb": rss_mb(), **self._device_mb()}
        try:
            with self._sending:
                self._pipe.send(Reply(call.number, result, queued_s, stats))
        except OSError:
            # The parent has gone, which `run` notices too.
            return
        if type(error).__name__ in FATAL:
            logger.error("the model's process ends after %s", type(error).__name__)
            os._exit(1)

    def _device_mb(self) -> Mapping[str, float]:
        # Reading it asks the driver, which is too slow for each of a chain's many answers.
        now_s = time.monotonic()
        if now_s >= self._device_read_s + DEVICE_READ_S:
            self._device, self._device_read_s = device_mb(), now_s
        return self._device


def _as_message(error: BaseException) -> RealtimeError | Fault:
    if isinstance(error, RealtimeError):
        return error
    logger.error("a call to the model failed", exc_info=error)
    return Fault(type(error).__name__, str(error))
