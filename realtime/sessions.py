"""The sessions open on this server: who may open one, who holds it, and how it ends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from realtime.errors import RealtimeError, ServerFull, UnknownSession
from realtime.ingest import Source
from realtime.metrics import Metrics
from realtime.records import ModelInfo
from realtime.roles import Engine
from realtime.session import Session
from realtime.settings import Settings

logger = logging.getLogger(__name__)


class Sessions:
    """Holds every session's task. A session that has ended can be read for `linger_s` more, then it is forgotten."""

    def __init__(self, *, engine: Engine, settings: Settings, metrics: Metrics) -> None:
        self._engine = engine
        self._settings = settings
        self._metrics = metrics
        self._n_reserved = 0
        self._open: dict[str, Session] = {}
        self._ended: dict[str, Session] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    @property
    def open(self) -> Sequence[Session]:
        return tuple(self._open.values())

    @contextmanager
    def place(self) -> Iterator[None]:
        """Keeps a place while an offer is being answered. Raises ServerFull when every place is taken."""
        limit = self._settings.server.max_sessions
        if len(self._open) + self._n_reserved >= limit:
            retry_after_s = self._settings.server.retry_after_s
            raise ServerFull(
                f"All {limit} {'session is' if limit == 1 else 'sessions are'} taken.",
                f"Try again in {retry_after_s} seconds.",
                retry_after_s=retry_after_s,
            )
        self._n_reserved += 1
        try:
            yield
        finally:
            self._n_reserved -= 1

    def start(self, source: Source, model: ModelInfo | None = None) -> Session:
        """Run a session over `source` until one of them ends, with the server's own model or another one."""
        session = Session(
            source=source,
            engine=self._engine,
            model=model,
            settings=self._settings,
            metrics=self._metrics,
        )
        self._open[session.id] = session
        self._tasks[session.id] = asyncio.create_task(self._hold(session), name=f"session {session.id[:8]}")
        return session

    def get(self, session_id: str) -> Session:
        """The session of that id, open or just ended. Raises UnknownSession."""
        session = self._open.get(session_id) or self._ended.get(session_id)
        if session is None:
            raise UnknownSession("There is no such session.", "It may have ended; open a new one.")
        return session

    async def stop(self, session_id: str, reason: str) -> None:
        """End it and wait until everything it held is free. Raises UnknownSession."""
        self.get(session_id).stop(reason)
        if task := self._tasks.get(session_id):
            await asyncio.wait([task])

    async def stop_all(self, reason: str) -> None:
        for session in self.open:
            session.stop(reason)
        if self._tasks:
            await asyncio.wait(self._tasks.values())

    async def _hold(self, session: Session) -> None:
        try:
            await session.run()
        except RealtimeError as error:
            logger.info("session %s failed: %s", session.id[:8], error.code)
        # One session's bug is not the others': the group they share would end with it.
        except Exception:
            logger.exception("session %s broke", session.id[:8])
        finally:
            del self._open[session.id], self._tasks[session.id]
            self._ended[session.id] = session
            asyncio.get_running_loop().call_later(self._settings.publish.linger_s, self._ended.pop, session.id, None)
