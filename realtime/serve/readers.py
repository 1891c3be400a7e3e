"""The event sockets of a server: how many may follow a session, and when one is disconnected."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress

from starlette.websockets import WebSocket, WebSocketDisconnect

from realtime.errors import ServerFull
from realtime.observe.metrics import Metrics
from realtime.serve.closing import close
from realtime.serve.tickets import Grant
from realtime.session import Session

LAST_WORDS_S = 1.0
"Seconds that readers get to take a session's last events before their sockets close."
MAX_READERS = 64
"Event sockets per session: a page, its reconnects, and a few watchers."
KEPT_FOR_OPENER = 16
"Of these sockets, so many are for whoever opened the session, whatever others do."
MAX_WORDS = 16
"Messages that a reader may send before it is disconnected."


class Readers:
    """The readers of all sessions. A reader that is slow, or sends messages, is disconnected and delays nobody else."""

    def __init__(self, metrics: Metrics, *, patience_s: float) -> None:
        """A reader that takes nothing for `patience_s` is disconnected."""
        self._metrics = metrics
        self._patience_s = patience_s
        self._n_readers: dict[str, int] = {}
        self._unread = asyncio.Event()
        "Set while nobody reads any session."
        self._unread.set()

    def admit(self, session: Session, grant: Grant) -> None:
        """Raise ServerFull if the session has as many readers as it may."""
        most = MAX_READERS if grant.of_opener else MAX_READERS - KEPT_FOR_OPENER
        if self._n_readers.get(session.id, 0) >= most:
            raise ServerFull(f"{most} readers follow this session already.", "Close one of them.")

    async def follow(self, socket: WebSocket, session: Session, after: int, grant: Grant) -> None:
        """Send the session's events after number `after`, until it ends, the reader has gone, or it may no longer."""
        await socket.accept()
        self._n_readers[session.id] = self._n_readers.get(session.id, 0) + 1
        self._unread.clear()
        self._metrics.readers.inc()
        try:
            async with aclosing(session.log.read(after)) as lines, asyncio.TaskGroup() as both:
                listening = both.create_task(_until_gone(socket), name=f"listen {session.id[:8]}")
                sending = both.create_task(self._send(socket, lines), name=f"send {session.id[:8]}")
                revoked = both.create_task(grant.revoked.wait(), name=f"revoked {session.id[:8]}")
                await asyncio.wait({listening, sending, revoked}, return_when=asyncio.FIRST_COMPLETED)
                for task in (listening, sending, revoked):
                    task.cancel()
            if grant.revoked.is_set():
                await close(socket, 1008, "the ticket was revoked")
        finally:
            self._metrics.readers.dec()
            self._n_readers[session.id] -= 1
            if not self._n_readers[session.id]:
                del self._n_readers[session.id]
            if not self._n_readers:
                self._unread.set()

    async def finish(self) -> None:
        """Wait for the remaining readers, for at most `LAST_WORDS_S`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS_S):
                await self._unread.wait()

    async def _send(self, socket: WebSocket, lines: AsyncIterator[str]) -> None:
        code, reason = 1000, "the session has ended"
        try:
            async for line in lines:
                async with asyncio.timeout(self._patience_s):
                    await socket.send_text(line)
        except TimeoutError:
            self._metrics.slow_readers.inc()
            code, reason = 1013, f"nothing was taken for {self._patience_s:g} s; come back with after="
        except WebSocketDisconnect:
            return
        await close(socket, code, reason)


async def _until_gone(socket: WebSocket) -> None:
    """Return when the reader leaves. Its messages mean nothing and are dropped.

    After `MAX_WORDS` messages it is disconnected: reading them would cost the loop that serves the others.
    """
    for _ in range(MAX_WORDS):
        if (await socket.receive())["type"] == "websocket.disconnect":
            return
    await socket.close(1008, "events go one way")
