"""The sessions open on this server: who may open one, who holds it, and how it ends."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from realtime.errors import BadRequest, NameTaken, RealtimeError, ServerBusy, ServerFull, ServerStopping, UnknownSession
from realtime.observe import heap, logs
from realtime.observe.metrics import Metrics
from realtime.records import ModelInfo
from realtime.roles import Engine, Source, Transcriber
from realtime.session import Session
from realtime.settings import Settings

logger = logging.getLogger(__name__)

WATCH_S = 1.0
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Sessions:
    """Holds the task of every session. A session that has ended can be read for `linger_s`, then it is forgotten."""

    def __init__(
        self, *, engine: Engine, settings: Settings, metrics: Metrics, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._metrics = metrics
        self._now_s = now_s
        self._stopping = False
        self._n_reserved = 0
        self._n_forgotten = 0
        self._open: dict[str, Session] = {}
        self._ended: dict[str, Session] = {}
        self._named: dict[str, Session] = {}
        "Sessions by the name that was given them, open or just ended."
        self._reserved_names: set[str] = set()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._began_s: dict[str, float] = {}

    @property
    def open(self) -> Sequence[Session]:
        return tuple(self._open.values())

    @contextmanager
    def place(self, name: str | None = None) -> Iterator[None]:
        """Reserve a place, and the name, while an offer is being answered.

        Raises BadRequest for what cannot be a name, NameTaken while a session has it, ServerFull when every place is
        taken, ServerBusy while the machine is behind with the open sessions, and ServerStopping.
        """
        self._admit()
        if name is not None:
            self._check_name(name)
            self._reserved_names.add(name)
        self._n_reserved += 1
        try:
            yield
        finally:
            self._n_reserved -= 1
            if name is not None:
                self._reserved_names.discard(name)

    def _check_name(self, name: str) -> None:
        if not NAME.fullmatch(name):
            raise BadRequest(
                f"name is {name[:40]!r}.",
                "Use up to 64 letters, digits, dots, hyphens and underscores, a letter first.",
            )
        holder = self._named.get(name)
        if name in self._reserved_names or (holder is not None and holder.id in self._open):
            raise NameTaken(f"A session named {name} is open.", "Choose another name, or end that session first.")

    def _admit(self) -> None:
        server = self._settings.server
        hint, retry_after_s = f"Try again in {server.retry_after_s} seconds.", server.retry_after_s
        if self._stopping:
            raise ServerStopping("The server is being stopped.", hint, retry_after_s=retry_after_s)
        limit = server.max_sessions
        if len(self._open) + self._n_reserved >= limit:
            taken = f"All {limit} {'session is' if limit == 1 else 'sessions are'} taken."
            raise ServerFull(taken, hint, retry_after_s=retry_after_s)
        # A cluster may be behind with the sessions of other nodes.
        behind_s = max([self._engine.stats().get("behind_s", 0.0), *(session.lag_s for session in self.open)])
        if behind_s >= server.admit_lag_s or any(session.overloaded for session in self.open):
            busy = f"The machine is {behind_s:.1f} s behind with the sessions it has."
            raise ServerBusy(busy, hint, retry_after_s=retry_after_s)

    def start(
        self,
        source: Source,
        model: ModelInfo | None = None,
        name: str | None = None,
        transcriber: Transcriber | None = None,
    ) -> Session:
        """Run a session over `source` until either ends. `model` is another model than the server's own.

        `transcriber` writes its words down; None: nobody does.
        """
        session = Session(
            source=source,
            engine=self._engine,
            model=model,
            transcriber=transcriber,
            settings=self._settings,
            metrics=self._metrics,
            name=name,
        )
        if name is not None:
            self._named[name] = session
        self._open[session.id] = session
        self._began_s[session.id] = self._now_s()
        self._tasks[session.id] = asyncio.create_task(self._hold(session), name=f"session {session.id[:8]}")
        return session

    def get(self, session_id: str) -> Session:
        """The session of that id or name, open or just ended. Raises UnknownSession."""
        session = self._open.get(session_id) or self._ended.get(session_id) or self._named.get(session_id)
        if session is None:
            raise UnknownSession("There is no such session.", "It may have ended; open a new one.")
        return session

    async def stop(self, session_id: str, reason: str) -> None:
        """End a session and wait until everything it held is free. Raises UnknownSession."""
        self.get(session_id).stop(reason)
        if task := self._tasks.get(session_id):
            await asyncio.wait([task])

    async def stop_all(self, reason: str, *, finish_within_s: float = 0.0) -> None:
        """Take no more sessions, and end the open ones, which may finish what they have received."""
        self._stopping = True
        for session in self.open:
            session.stop(reason, finish_within_s=finish_within_s)
        if self._tasks:
            await asyncio.wait(self._tasks.values())

    @property
    def stopping(self) -> bool:
        return self._stopping

    async def watch(self) -> None:
        """End sessions that are too long or that nobody reads, and give their memory back to the system, for ever."""
        read_s: dict[str, float] = {}
        n_trimmed = 0
        while True:
            now_s, read_before_s = self._now_s(), read_s
            read_s = {
                session.id: now_s if session.log.n_readers else read_before_s.get(session.id, now_s)
                for session in self.open
            }
            for session in self.open:
                self._end_if_over(session, now_s, unread_s=now_s - read_s[session.id])
            if self._n_forgotten != n_trimmed:
                n_trimmed = self._n_forgotten
                await asyncio.to_thread(heap.trim)
            await asyncio.sleep(WATCH_S)

    def _end_if_over(self, session: Session, now_s: float, *, unread_s: float) -> None:
        server = self._settings.server
        if now_s - self._began_s[session.id] >= server.max_session_s:
            session.stop(f"A session lasts {server.max_session_s:g} s at most.", finish_within_s=server.drain_s)
        elif unread_s >= server.idle_s:
            session.stop(f"Nobody has read its events for {server.idle_s:g} s.")

    async def _hold(self, session: Session) -> None:
        logs.session.set(session.id[:8])
        try:
            await session.run()
        except RealtimeError as error:
            logger.info("session %s failed: %s", session.id[:8], error.code)
        # A bug in one session must not end the others, which share its task group.
        except Exception:
            logger.exception("session %s broke", session.id[:8])
        finally:
            del self._open[session.id], self._tasks[session.id], self._began_s[session.id]
            self._ended[session.id] = session
            asyncio.get_running_loop().call_later(self._settings.publish.linger_s, self._forget, session.id)

    def _forget(self, session_id: str) -> None:
        session = self._ended.pop(session_id)
        # Another session may have the name by now.
        if session.name is not None and self._named[session.name] is session:
            del self._named[session.name]
        self._n_forgotten += 1
