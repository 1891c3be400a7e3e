"""The process of the model: reads calls off a pipe, runs them best rank first, writes the answers back."""

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
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from realtime.engine.host import Host
from realtime.engine.models import LoadAdapter, Models
from realtime.engine.warmup import warm_up
from realtime.engine.worker import ModelWorker, Rank
from realtime.errors import RealtimeError
from realtime.observe import heap, logs
from realtime.observe.metrics import device_mb, rss_mb
from realtime.roles import Model

logger = logging.getLogger(__name__)

WORN_OUT = frozenset({"OutOfMemoryError", "AcceleratorError", "MemoryError"})
"Errors after which a device is not to be trusted: what was asked fails, and a new process begins."

DEVICE_READ_S = 1.0
"Time between two looks at the memory of the device."
USE = "use"
"The one call that is not the host's: load the model with an adapter, and tell of it."


@dataclass(frozen=True, slots=True)
class Call:
    """A method of the `Host`, or USE."""

    number: int
    stage: str
    rank: Rank
    method: str
    args: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Cancel:
    number: int


@dataclass(frozen=True, slots=True)
class Fault:
    """An exception as it travels: its kind and words, since not every one can be pickled."""

    kind: str
    message: str


@dataclass(frozen=True, slots=True)
class Reply:
    number: int
    result: Any
    "A Fault or a RealtimeError where the call failed."
    queued_s: float
    "How long the call waited for its turn."
    stats: dict[str, float]


def run(
    pipe: Connection, load: Callable[[], Model], load_adapter: LoadAdapter | None, log_level: int, log_form: logs.Form
) -> None:
    """Until None comes down the pipe, or its end, which is the end of the parent, however that came."""
    heap.few_arenas()
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    # Ctrl+C reaches the whole group; when to stop is the parent's decision, told through the pipe.
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
        # What was imported and loaded stays: looking for garbage in it would hold up whoever is waiting for a label.
        gc.collect()
        gc.freeze()
        models = Models(model, load_adapter)
        pipe.send(models.info())
        Service(pipe, worker, models).run()
    # What still runs belongs to nobody any more, and native threads may outlast it.
    os._exit(0)


def _end_with_parent() -> None:
    """The pipe tells it, too, but nobody reads that while a large model loads."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


class Service:
    """Runs calls as they are read and writes each answer as it comes, in whichever order that is."""

    def __init__(self, pipe: Connection, worker: ModelWorker, models: Models) -> None:
        self._pipe = pipe
        self._worker = worker
        self._models = models
        self._host = Host(models, waiting=lambda: worker.n_waiting, urgent=lambda: worker.urgent)
        self._loader = ThreadPoolExecutor(1, "adapters")
        self._sending = threading.Lock()
        self._running: dict[int, Future[Any]] = {}
        self._device: Mapping[str, float] = {}
        self._device_read_s = float("-inf")

    def run(self) -> None:
        while True:
            try:
                message = self._pipe.recv()
            except (EOFError, OSError):
                return
            match message:
                case Call():
                    self._start(message)
                case None:
                    return
                case Cancel():
                    if waiting := self._running.get(message.number):
                        waiting.cancel()

    def _start(self, call: Call) -> None:
        asked_s, queued_s = time.perf_counter(), 0.0

        def work() -> Any:
            nonlocal queued_s
            queued_s = time.perf_counter() - asked_s
            method = self._models.info if call.method == USE else getattr(self._host, call.method)
            return method(*call.args)

        self._host.announce(call.method, call.args)
        # A checkpoint takes seconds to read, and those who talk do not wait for it.
        loads = call.method == USE
        done = self._loader.submit(work) if loads else self._worker.submit(call.stage, work, rank=call.rank)
        self._running[call.number] = done
        done.add_done_callback(lambda done: self._answer(call, done, queued_s))

    def _answer(self, call: Call, done: Future[Any], queued_s: float) -> None:
        del self._running[call.number]
        if done.cancelled():
            return
        error = done.exception()
        result = done.result() if error is None else _told(error)
        stats = {**self._host.stats(), "cpu_s": time.process_time(), "rss_mb": rss_mb(), **self._device_mb()}
        try:
            with self._sending:
                self._pipe.send(Reply(call.number, result, queued_s, stats))
        except OSError:
            # The parent has gone; the reading side notices, too.
            return
        if type(error).__name__ in WORN_OUT:
            logger.error("the process of the model ends after %s", type(error).__name__)
            os._exit(1)

    def _device_mb(self) -> Mapping[str, float]:
        # A question to the driver, so not with each of a chain's many answers.
        now_s = time.monotonic()
        if now_s >= self._device_read_s + DEVICE_READ_S:
            self._device, self._device_read_s = device_mb(), now_s
        return self._device


def _told(error: BaseException) -> RealtimeError | Fault:
    if isinstance(error, RealtimeError):
        return error
    logger.error("a call to the model failed", exc_info=error)
    return Fault(type(error).__name__, str(error))
