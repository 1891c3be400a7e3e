"""The sockets of programs that have a client of OpenAI's Realtime API.

    WS /v1/realtime             Authorization: Bearer TOKEN, or the operator token

Each is a session like others: it is listed, followed and passed on. A slow model makes the program wait, and nothing
that it sends is left out.
"""

from __future__ import annotations

import asyncio
import secrets
from contextlib import aclosing
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from realtime.asking.question import question_of
from realtime.errors import RealtimeError
from realtime.ingest.pushed import PushedSource
from realtime.observe.metrics import Metrics
from realtime.publish.parse import parse
from realtime.serve.access import Access
from realtime.serve.closing import close
from realtime.serve.guard import refuse
from realtime.serve.openai import messages
from realtime.serve.openai.turns import Turns
from realtime.serve.passing_on import PassingOn
from realtime.serve.sessions import Sessions
from realtime.serve.tickets import Opener
from realtime.session import Session
from realtime.settings import Settings

IDLE_S = 60.0
"A socket on which nothing comes for so long is closed: it holds the place of a session."
ENDED = "the session has ended"


class RealtimeSockets:
    """All such sockets of a server."""

    def __init__(
        self, *, sessions: Sessions, access: Access, passing_on: PassingOn, settings: Settings, metrics: Metrics
    ) -> None:
        self._sessions = sessions
        self._access = access
        self._passing_on = passing_on
        self._settings = settings
        self._metrics = metrics

    async def serve(self, socket: WebSocket) -> None:
        """Run a session over what the program sends, until it leaves or the session ends."""
        try:
            self._access.check_open(socket)
            with self._sessions.place(socket.query_params.get("name")):
                source = PushedSource(self._settings.speech)
                session = self._sessions.start(source, None, socket.query_params.get("name"))
        except RealtimeError as error:
            self._metrics.refused.labels(error.code).inc()
            await refuse(socket.scope, socket.receive, socket.send, error)
            return
        self._access.openers[session] = Opener()
        self._passing_on.start(session)
        await socket.accept()
        conversation = Conversation(socket, session, source, patience_s=self._settings.publish.send_timeout_s)
        try:
            reason = await conversation.run()
        finally:
            session.stop("The program left.")
        if reason:
            await close(socket, 1008 if reason != ENDED else 1000, reason)


class Conversation:
    """One socket and its session."""

    def __init__(self, socket: WebSocket, session: Session, source: PushedSource, *, patience_s: float) -> None:
        self._socket = socket
        self._session = session
        self._source = source
        self._patience_s = patience_s
        self._turns = Turns()

    async def run(self) -> str:
        """Both directions, until one of them ends. Returns why the socket is to be closed; empty if it is."""
        name = self._session.id[:8]
        async with asyncio.TaskGroup() as both:
            hearing = both.create_task(self._hear(), name=f"realtime in {name}")
            telling = both.create_task(self._tell_all(), name=f"realtime out {name}")
            done, _ = await asyncio.wait({hearing, telling}, return_when=asyncio.FIRST_COMPLETED)
            for task in (hearing, telling):
                task.cancel()
        return next((task.result() for task in done), "")

    async def _hear(self) -> str:
        while True:
            try:
                async with asyncio.timeout(IDLE_S):
                    message = await self._socket.receive()
            except TimeoutError:
                return f"nothing came for {IDLE_S:g} s"
            if message["type"] == "websocket.disconnect":
                return ""
            if (gone := await self._take(message.get("text") or "")) is not None:
                return gone

    async def _take(self, text: str) -> str | None:
        """Do what one event asks for. What is wrong with it is told. Returns why the socket ends, if it does."""
        event: dict[str, Any] = {}
        try:
            event = await asyncio.to_thread(messages.read_event, text)
            if event["type"] == "session.update":
                await self._ask(messages.instructions(event))
                return await self._tell(messages.told("session.updated", session=self._described()))
            for piece in await asyncio.to_thread(messages.pieces, event):
                await self._source.push(piece)
            if event["type"] == "conversation.item.create":
                return await self._tell(*self._turns.added(_without_media(event["item"])))
        except RealtimeError as error:
            return await self._tell(messages.failure(error, event.get("event_id")))
        return None

    async def _ask(self, query: str | None) -> None:
        if query is not None:
            # This API knows no null: empty instructions are none.
            model = self._session.model
            asked = question_of(query.strip() or None, None, model.labels, open_labels=model.open_labels)
            await self._session.set_question(asked)

    async def _tell_all(self) -> str:
        if gone := await self._tell(messages.told("session.created", session=self._described())):
            return gone
        async with aclosing(self._session.log.read()) as lines:
            async for line in lines:
                event = parse(line)
                if event is not None and (gone := await self._tell(*self._turns.of(event))):
                    return gone
        return ENDED

    async def _tell(self, *events: dict[str, Any]) -> str | None:
        try:
            async with asyncio.timeout(self._patience_s):
                for event in events:
                    await self._socket.send_json(event)
        except TimeoutError:
            return "the events are not read"
        except WebSocketDisconnect:
            return ""
        return None

    def _described(self) -> dict[str, Any]:
        session = self._session
        return messages.session_of(session.id, session.model.name, session.question.query)


def _without_media(item: dict[str, Any]) -> dict[str, Any]:
    given = item.get("id")
    item_id = given if isinstance(given, str) and len(given) <= 64 else f"item_{secrets.token_hex(8)}"
    return messages.user_message(item_id, [{"type": content["type"]} for content in item["content"]])
