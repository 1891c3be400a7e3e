"""The model in a process of its own, so that neither its work nor its death stops the event loop.

Frames go over as pickles with their buffers (a 720p frame takes 2–3 ms in a thread of its own); evidence comes back
whole, so that a window can be read again by the next process when this one dies. When it dies, what was asked fails
with ModelStopped, a new one starts, every open session is opened in it again, and calls made meanwhile wait for that.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import multiprocessing
import queue
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from realtime.engine import child
from realtime.engine.child import Call, Cancel, Fault, Reply
from realtime.engine.client import HostClient
from realtime.engine.models import LoadAdapter
from realtime.engine.worker import Rank
from realtime.errors import ModelStopped, RealtimeError
from realtime.observe import logs
from realtime.observe.metrics import Metrics
from realtime.records import Ask, ModelInfo
from realtime.roles import Model

logger = logging.getLogger(__name__)

BUNDLE_S = 0.03
"A reader of text sees no difference."
RESTART_WITHIN_S = 120.0
"How long a call waits for a process that is being started."
MAX_PAUSE_S = 30.0
"Longest pause between two attempts to start a model that dies while it loads."
END_WITHIN_S = 5.0
"For the job that runs when the engine is left; then the process is killed."


class ModelFailed(RuntimeError):
    """The model raised; its process lives on."""


@dataclass(slots=True)
class Opened:
    """What a new process has to be told of a session."""

    seed: int
    ask: Ask
    adapter: Path | None


@dataclass(frozen=True, slots=True)
class Asked:
    """A call that has not been answered."""

    rank: Rank
    answer: asyncio.Future[Any]


@dataclass(eq=False, slots=True)
class Link:
    """One process of the model, and what is asked of it."""

    process: BaseProcess
    pipe: Connection
    ready: asyncio.Future[ModelInfo]
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    pending: dict[int, Asked] = field(default_factory=dict)
    outbox: queue.SimpleQueue[Call | Cancel | None] = field(default_factory=queue.SimpleQueue)
    "Bounded by its users: a session awaits one call of a kind before it makes the next."


class ProcessEngine:
    """An `Engine`. Use it in an `async with`; entering loads the model and raises what that raises."""

    bundle_s = BUNDLE_S

    def __init__(self, load: Callable[[], Model], metrics: Metrics, load_adapter: LoadAdapter | None = None) -> None:
        """`load` and `load_adapter` are pickled and called in the new process."""
        self._load = load
        self._load_adapter = load_adapter
        self._metrics = metrics
        self._numbers = itertools.count(1)
        self._sessions = itertools.count(1)
        self._open: dict[int, Opened] = {}
        self._link: Link | None = None
        self._there = asyncio.Event()
        self._model = ModelInfo("none yet", "none yet")
        self._stats: dict[str, float] = {}
        self._past: dict[str, float] = {"cpu_s": 0.0, "chain_cpu_s": 0.0}
        "What the processes before this one have cost."
        self._tending: asyncio.Task[None] | None = None
        self._leaving = False
        self.generation = 0
        self.restarts = 0

    @property
    def model(self) -> ModelInfo:
        return self._model

    @property
    def pid(self) -> int | None:
        """Of the process that has the model now."""
        return self._link.process.pid if self._link is not None else None

    async def __aenter__(self) -> Self:
        link = await self._start()
        try:
            self._model = await link.ready
        except ModelStopped as error:
            await self._end(link)
            raise ModelStopped(
                f"The process of the model ended while it loaded (exit code {link.process.exitcode}).",
                "-9 is mostly the system that needed its memory: free some, or take a smaller model.",
            ) from error
        except BaseException:
            await self._end(link)
            raise
        self._take(link)
        self._tending = asyncio.create_task(self._tend(link), name="model process")
        self._metrics.waiting.set_function(lambda: self._stats.get("waiting", 0.0))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leaving = True
        if self._tending is not None:
            self._tending.cancel()
            await asyncio.wait([self._tending])
        if self._link is not None:
            await self._end(self._link)

    async def use(self, adapter: Path) -> ModelInfo:
        info: ModelInfo = await self.call(child.USE, adapter, stage="use")
        return info

    async def open(self, seed: int, ask: Ask, adapter: Path | None = None) -> HostClient:
        client = HostClient(self, next(self._sessions))
        self._open[client.session] = Opened(seed, ask, adapter)
        try:
            await self.call("open", client.session, seed, ask, adapter, stage="open")
        except ModelStopped:
            # The next process opens what is open before it takes anything else.
            await self.alive()
        except BaseException:
            client.close()
            raise
        return client

    async def ready(self) -> None:
        await self.call("stats", stage="ready")

    def stats(self) -> Mapping[str, float]:
        spent = {name: before + self._stats.get(name, 0.0) for name, before in self._past.items()}
        return {**self._stats, **spent, "restarts": float(self.restarts)}

    # The transport.

    async def call(self, method: str, *args: Any, stage: str, rank: Rank = Rank.EVIDENCE) -> Any:
        link = await self.alive()
        number, answer = self._send(link, method, args, stage, rank)
        began_s = time.perf_counter()
        try:
            return await answer
        except asyncio.CancelledError:
            link.outbox.put(Cancel(number))
            raise
        finally:
            link.pending.pop(number, None)
            self._metrics.stage.labels(stage).observe(time.perf_counter() - began_s)

    def post(self, method: str, *args: Any, stage: str) -> None:
        if self._link is not None and not self._link.gone.is_set():
            # Of the best rank: a session opened again has to be there before anything is asked for it.
            number, answer = self._send(self._link, method, args, stage, Rank.LABEL)
            pending = self._link.pending
            # Nobody awaits it, so its error is looked at here, where it has no one to concern.
            answer.add_done_callback(lambda done: (pending.pop(number, None), done.cancelled() or done.exception()))

    def asked(self, session: int, ask: Ask) -> None:
        if session in self._open:
            self._open[session].ask = ask

    def forget(self, session: int) -> None:
        self._open.pop(session, None)

    def _send(
        self, link: Link, method: str, args: tuple[Any, ...], stage: str, rank: Rank
    ) -> tuple[int, asyncio.Future[Any]]:
        number = next(self._numbers)
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        link.pending[number] = Asked(rank, answer)
        link.outbox.put(Call(number, stage, rank, method, args))
        return number, answer

    async def alive(self) -> Link:
        try:
            async with asyncio.timeout(RESTART_WITHIN_S):
                await self._there.wait()
        except TimeoutError as error:
            raise ModelStopped("The model has not come back.", "See the server's log; restart the server.") from error
        assert self._link is not None
        return self._link

    # Its processes.

    async def _start(self) -> Link:
        context = multiprocessing.get_context("spawn")
        here, there = context.Pipe()
        level = logging.getLogger().getEffectiveLevel()
        process = context.Process(
            target=child.run,
            args=(there, self._load, self._load_adapter, level, logs.form()),
            name="emothinker-model",
            daemon=True,
        )
        loop = asyncio.get_running_loop()
        link = Link(process, here, loop.create_future())
        await asyncio.to_thread(process.start)
        # With our copy of its end closed, its death ends our reading.
        there.close()
        threading.Thread(target=self._read, args=(link, loop), name="model answers", daemon=True).start()
        threading.Thread(target=_write, args=(link,), name="model calls", daemon=True).start()
        return link

    def _take(self, link: Link) -> None:
        """From now on it is this process that calls go to, its open sessions first."""
        self._link = link
        self.generation += 1
        for session, opened in self._open.items():
            self.post("open", session, opened.seed, opened.ask, opened.adapter, stage="open")
        self._there.set()

    async def _tend(self, link: Link) -> None:
        """Starts a new process whenever the last has gone."""
        while True:
            await link.gone.wait()
            self.restarts += 1
            self._metrics.model_restarts.inc()
            for name in self._past:
                self._past[name] += self._stats.pop(name, 0.0)
            await asyncio.to_thread(link.process.join)
            logger.error("the process of the model ended (exit code %s), starting another", link.process.exitcode)
            link = await self._started_again()
            self._take(link)

    async def _started_again(self) -> Link:
        """The next process that loads the model; whatever stops one from that may be over the next time."""
        pause_s = 0.0
        while True:
            await asyncio.sleep(pause_s)
            pause_s = min(MAX_PAUSE_S, max(1.0, 2 * pause_s))
            try:
                link = await self._start()
            except OSError as error:
                logger.error("no process for the model: %s", error)
                continue
            try:
                self._model = await link.ready
                return link
            except asyncio.CancelledError:
                await self._end(link)
                raise
            except Exception as error:
                logger.error("the model did not start: %s", error)
                await link.gone.wait()
                await asyncio.to_thread(link.process.join)

    async def _end(self, link: Link) -> None:
        link.outbox.put(None)
        await asyncio.to_thread(link.process.join, END_WITHIN_S)
        if link.process.is_alive():
            link.process.kill()
            await asyncio.to_thread(link.process.join)
        await link.gone.wait()

    def _read(self, link: Link, loop: asyncio.AbstractEventLoop) -> None:
        """In a thread: answers into the loop, until the process has gone."""
        while True:
            try:
                message = link.pipe.recv()
            # A process that is killed while it writes leaves half a pickle.
            except Exception:
                break
            loop.call_soon_threadsafe(self._got, link, message)
        link.pipe.close()
        try:
            loop.call_soon_threadsafe(self._lost, link)
        except RuntimeError:
            # The loop is closed: nobody is left to tell.
            return

    def _got(self, link: Link, message: ModelInfo | RealtimeError | Fault | Reply) -> None:
        match message:
            case Reply():
                self._stats = message.stats
                asked = link.pending.get(message.number)
                if asked is None or asked.answer.done():
                    return
                answer = asked.answer
                self._metrics.queued.labels(asked.rank.name.lower()).observe(message.queued_s)
                if isinstance(message.result, RealtimeError):
                    answer.set_exception(message.result)
                elif isinstance(message.result, Fault):
                    answer.set_exception(_failed(message.result))
                else:
                    answer.set_result(message.result)
            case ModelInfo() if not link.ready.done():
                link.ready.set_result(message)
            case RealtimeError() if not link.ready.done():
                link.ready.set_exception(message)
            case Fault() if not link.ready.done():
                link.ready.set_exception(_failed(message))

    def _lost(self, link: Link) -> None:
        if link is self._link:
            self._there.clear()
        link.outbox.put(None)
        link.gone.set()
        gone = ModelStopped("The process of the model ended.", "Another one is being started; the session goes on.")
        if not link.ready.done():
            link.ready.set_exception(gone)
            link.ready.exception()
        for asked in list(link.pending.values()):
            if not asked.answer.done():
                asked.answer.set_exception(gone)


def _failed(fault: Fault) -> ModelFailed:
    return ModelFailed(f"{fault.kind}: {fault.message}")


def _write(link: Link) -> None:
    """In a thread: calls into the pipe; None, the last, asks the process to end."""
    while True:
        message = link.outbox.get()
        # Where the process has gone, the reading thread tells.
        with suppress(OSError):
            link.pipe.send(message)
        if message is None:
            return
