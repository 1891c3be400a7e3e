"""The model in a process of its own, so that neither its work nor its death stops the event loop.

Frames travel as pickles with their buffers; a 720p frame takes 2–3 ms, in a thread of its own. Evidence comes back
whole, so that the next process can prefill a window again when this one dies. When the process dies, its calls fail
with ModelStopped, a new process starts, every open session is opened in it again, and new calls wait for that.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import multiprocessing
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from realtime.engine import child
from realtime.engine.client import HostClient
from realtime.engine.messages import (
    Call,
    Cancel,
    Fault,
    FromModel,
    OpenSession,
    Ping,
    Reply,
    Request,
    ToModel,
    UseAdapter,
)
from realtime.engine.models import LoadAdapter
from realtime.engine.scheduler.queue import Rank
from realtime.errors import ModelStopped, RealtimeError
from realtime.observe import logs
from realtime.observe.metrics import Metrics
from realtime.records import ModelInfo, Question
from realtime.roles import Model

logger = logging.getLogger(__name__)

R = TypeVar("R")

BUNDLE_S = 0.03
"How long steps of a chain are gathered into one message. A reader of the text sees no difference."
RESTART_WITHIN_S = 120.0
"How long a call waits for a process that is being started."
MAX_PAUSE_S = 30.0
"Longest pause between two attempts to start a model that dies while it loads."
END_WITHIN_S = 5.0
"How long the running job may take when the engine is left; then the process is killed."


class ModelFailed(RuntimeError):
    """The model raised an exception; its process lives on."""


@dataclass(frozen=True, slots=True)
class PendingCall:
    """A call that has not been answered."""

    rank: Rank
    answer: asyncio.Future[Any]


@dataclass(eq=False, slots=True)
class ModelProcess:
    """A process that has the model, and the calls under way to it."""

    handle: BaseProcess
    pipe: Connection
    ready: asyncio.Future[ModelInfo]
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    pending: dict[int, PendingCall] = field(default_factory=dict)
    outbox: queue.SimpleQueue[ToModel] = field(default_factory=queue.SimpleQueue)
    "Bounded by its users: a session awaits one call of a kind before it makes the next."


@dataclass(frozen=True, slots=True)
class BegunProcess:
    """A process that loads its model, and our end of its pipe. Nobody has read from it yet."""

    handle: BaseProcess
    pipe: Connection


@contextmanager
def begun(load: Callable[[], Model], load_adapter: LoadAdapter | None = None) -> Iterator[BegunProcess]:
    """Start the model's process before there is an event loop: it loads while the caller imports the server.

    An engine takes it over (`ProcessEngine`, `first`). When left, the process is killed if it still runs.
    """
    process = _begin(load, load_adapter)
    try:
        yield process
    finally:
        process.handle.kill()
        process.handle.join()


def _begin(load: Callable[[], Model], load_adapter: LoadAdapter | None) -> BegunProcess:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    level = logging.getLogger().getEffectiveLevel()
    handle = context.Process(
        target=child.run,
        args=(there, load, load_adapter, level, logs.form()),
        name="emothinker-model",
        daemon=True,
    )
    handle.start()
    # With our copy of the child's end closed, the child's death ends our reading.
    there.close()
    return BegunProcess(handle, here)


class ProcessEngine:
    """An `Engine`. Use it in an `async with`; entering loads the model and raises what that raises."""

    def __init__(
        self,
        load: Callable[[], Model],
        metrics: Metrics,
        load_adapter: LoadAdapter | None = None,
        first: BegunProcess | None = None,
        *,
        bundle_s: float = BUNDLE_S,
    ) -> None:
        """`load` and `load_adapter` are pickled and called in the new process. `first` is one begun with the same.

        Steps of a chain are gathered into one message for `bundle_s`.
        """
        self.bundle_s = bundle_s
        self._first = first
        self._load = load
        self._load_adapter = load_adapter
        self._metrics = metrics
        self._numbers = itertools.count(1)
        self._sessions = itertools.count(1)
        self._open: dict[int, OpenSession] = {}
        "What a new process is sent first."
        self._process: ModelProcess | None = None
        self._running = asyncio.Event()
        "Set while the process has the model."
        self._model = ModelInfo("none yet", "none yet")
        self._stats: dict[str, float] = {}
        self._past: dict[str, float] = {"cpu_s": 0.0, "chain_cpu_s": 0.0}
        "What the processes before this one have used."
        self._watching: asyncio.Task[None] | None = None
        self._leaving = False
        self.generation = 0
        self.restarts = 0

    @property
    def model(self) -> ModelInfo:
        return self._model

    @property
    def pid(self) -> int | None:
        """Process id of the model's current process."""
        return self._process.handle.pid if self._process is not None else None

    async def __aenter__(self) -> Self:
        process = await self._start()
        try:
            self._model = await process.ready
        except ModelStopped as error:
            await self._end(process)
            raise ModelStopped(
                f"The model's process ended while it loaded (exit code {process.handle.exitcode}).",
                "-9 usually means that the system ran out of memory: free some, or take a smaller model.",
            ) from error
        except BaseException:
            await self._end(process)
            raise
        self._take(process)
        self._watching = asyncio.create_task(self._watch(process), name="model process")
        self._metrics.waiting.set_function(lambda: self._stats.get("waiting", 0.0))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leaving = True
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])
        if self._process is not None:
            await self._end(self._process)

    async def use(self, adapter: Path) -> ModelInfo:
        return await self.call(UseAdapter(adapter))

    async def open(self, seed: int, question: Question, adapter: Path | None = None) -> HostClient:
        client = HostClient(self, next(self._sessions))
        request = self._open[client.session] = OpenSession(client.session, seed, question, adapter)
        try:
            await self.call(request)
        except ModelStopped:
            # The next process opens every session before it takes other calls.
            await self.alive()
        except BaseException:
            client.close()
            raise
        return client

    async def ready(self) -> None:
        await self.call(Ping())

    def stats(self) -> Mapping[str, float]:
        spent = {name: before + self._stats.get(name, 0.0) for name, before in self._past.items()}
        return {**self._stats, **spent, "restarts": float(self.restarts)}

    # What a `HostClient` calls.

    async def call(self, request: Request[R]) -> R:
        process = await self.alive()
        number, answer = self._send(process, request, request.rank)
        began_s = time.perf_counter()
        try:
            result: R = await answer
            return result
        except asyncio.CancelledError:
            process.outbox.put(Cancel(number))
            raise
        finally:
            process.pending.pop(number, None)
            self._metrics.stage.labels(request.stage).observe(time.perf_counter() - began_s)

    def post(self, request: Request[Any]) -> None:
        if self._process is not None and not self._process.gone.is_set():
            # Of the best rank: a session has to be open again before anything else is done for it.
            number, answer = self._send(self._process, request, Rank.LABEL)
            pending = self._process.pending
            # Nobody awaits the answer, so an exception is retrieved here; asyncio would log it otherwise.
            answer.add_done_callback(lambda done: (pending.pop(number, None), done.cancelled() or done.exception()))

    def set_question(self, session: int, question: Question) -> None:
        if session in self._open:
            self._open[session] = replace(self._open[session], question=question)

    def forget(self, session: int) -> None:
        self._open.pop(session, None)

    def _send(self, process: ModelProcess, request: Request[Any], rank: Rank) -> tuple[int, asyncio.Future[Any]]:
        number = next(self._numbers)
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        process.pending[number] = PendingCall(rank, answer)
        process.outbox.put(Call(number, rank, request))
        return number, answer

    async def alive(self) -> ModelProcess:
        try:
            async with asyncio.timeout(RESTART_WITHIN_S):
                await self._running.wait()
        except TimeoutError as error:
            raise ModelStopped("The model has not come back.", "See the server's log; restart the server.") from error
        assert self._process is not None
        return self._process

    # Starting and replacing the model's process.

    async def _start(self) -> ModelProcess:
        first, self._first = self._first, None
        new = await asyncio.to_thread(_begin, self._load, self._load_adapter) if first is None else first
        loop = asyncio.get_running_loop()
        process = ModelProcess(new.handle, new.pipe, loop.create_future())
        threading.Thread(target=self._read, args=(process, loop), name="model answers", daemon=True).start()
        threading.Thread(target=_write, args=(process,), name="model calls", daemon=True).start()
        return process

    def _take(self, process: ModelProcess) -> None:
        """Send calls to this process from now on, the open sessions first."""
        self._process = process
        self.generation += 1
        for request in self._open.values():
            self.post(request)
        self._running.set()

    async def _watch(self, process: ModelProcess) -> None:
        """Start a new process whenever the last one has gone."""
        while True:
            await process.gone.wait()
            self.restarts += 1
            self._metrics.model_restarts.inc()
            for name in self._past:
                self._past[name] += self._stats.pop(name, 0.0)
            await asyncio.to_thread(process.handle.join)
            logger.error("the model's process ended (exit code %s), starting another", process.handle.exitcode)
            process = await self._restart()
            self._take(process)

    async def _restart(self) -> ModelProcess:
        """Start processes until one has loaded the model. What stops one, such as too little memory, may pass."""
        pause_s = 0.0
        while True:
            await asyncio.sleep(pause_s)
            pause_s = min(MAX_PAUSE_S, max(1.0, 2 * pause_s))
            try:
                process = await self._start()
            except OSError as error:
                logger.error("the model's process cannot be started: %s", error)
                continue
            try:
                self._model = await process.ready
                return process
            except asyncio.CancelledError:
                await self._end(process)
                raise
            except Exception as error:
                logger.error("the model did not start: %s", error)
                await process.gone.wait()
                await asyncio.to_thread(process.handle.join)

    async def _end(self, process: ModelProcess) -> None:
        process.outbox.put(None)
        await asyncio.to_thread(process.handle.join, END_WITHIN_S)
        if process.handle.is_alive():
            process.handle.kill()
            await asyncio.to_thread(process.handle.join)
        await process.gone.wait()

    def _read(self, process: ModelProcess, loop: asyncio.AbstractEventLoop) -> None:
        """In a thread: hand answers to the event loop until the process has gone."""
        while True:
            try:
                message = process.pipe.recv()
            # A process that is killed while it writes leaves half a pickle, which raises anything.
            except Exception:
                break
            loop.call_soon_threadsafe(self._received, process, message)
        process.pipe.close()
        try:
            loop.call_soon_threadsafe(self._lost, process)
        except RuntimeError:
            # The event loop is closed, so nobody waits for an answer.
            return

    def _received(self, process: ModelProcess, message: FromModel) -> None:
        match message:
            case Reply():
                self._stats = message.stats
                call = process.pending.get(message.number)
                if call is None or call.answer.done():
                    return
                answer = call.answer
                self._metrics.queued.labels(call.rank.name.lower()).observe(message.queued_s)
                if isinstance(message.result, RealtimeError):
                    answer.set_exception(message.result)
                elif isinstance(message.result, Fault):
                    answer.set_exception(_failed(message.result))
                else:
                    answer.set_result(message.result)
            case ModelInfo() if not process.ready.done():
                process.ready.set_result(message)
            case RealtimeError() if not process.ready.done():
                process.ready.set_exception(message)
            case Fault() if not process.ready.done():
                process.ready.set_exception(_failed(message))

    def _lost(self, process: ModelProcess) -> None:
        if process is self._process:
            self._running.clear()
        process.outbox.put(None)
        process.gone.set()
        gone = ModelStopped("The model's process ended.", "Another one is being started; the session goes on.")
        if not process.ready.done():
            process.ready.set_exception(gone)
            process.ready.exception()
        for call in list(process.pending.values()):
            if not call.answer.done():
                call.answer.set_exception(gone)


def _failed(fault: Fault) -> ModelFailed:
    return ModelFailed(f"{fault.kind}: {fault.message}")


def _write(process: ModelProcess) -> None:
    """In a thread: write calls to the pipe. None is the last and asks the process to end."""
    while True:
        message = process.outbox.get()
        # If the process has gone, the reading thread notices.
        with suppress(OSError):
            process.pipe.send(message)
        if message is None:
            return
