"""The HTTP and WebSocket server: WHIP in (RFC 9725), events out, and the page.

POST   /whip                    an SDP offer becomes a session; its Location is /sessions/{id}
GET    /sessions/{id}           its state        DELETE ends it
POST   /sessions/{id}/marks     a mark at this moment, which comes back as an event
PUT    /sessions/{id}/ask       another question, or labels of one's own, for the next windows; or a summary
DELETE /sessions/{id}/record    what was kept of it, where --record keeps anything
GET    /sessions                the sessions that are open, for the operator
POST   /sessions/{id}/tickets   a ticket for one event socket, or a lasting one; DELETE revokes those
WS     /sessions/{id}/events    its events, from ?after=SEQ on, with ?ticket=TICKET
WS     /v0/stream/models        pictures and sounds of programs that were written for Hume (hume/)
WS     /v1/realtime             a session for clients of OpenAI's Realtime API (openai/)
GET    /healthz /readyz /metrics /openapi.json /schema/events.json /api/config, and the page at /
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from realtime.asking import question as asking
from realtime.errors import NotAllowed, NotReady, RealtimeError, SessionOver, TooLarge, UnknownSession
from realtime.ingest.relay import ice_servers
from realtime.observe.loop import watch_loop
from realtime.observe.metrics import Metrics
from realtime.publish.schema import event_schema
from realtime.records import SECTIONS
from realtime.roles import Engine, Transcriber
from realtime.serve import marks
from realtime.serve.access import Access
from realtime.serve.adapter_folder import Adapters
from realtime.serve.guard import Guard, bearer, refuse
from realtime.serve.media_import import media_imported
from realtime.serve.openapi import describe_api
from realtime.serve.page import Page
from realtime.serve.page_build import WEB
from realtime.serve.passing_on import PassingOn
from realtime.serve.rate_limits import Rates
from realtime.serve.readers import Readers
from realtime.serve.refusals import HANDLERS
from realtime.serve.requests import after_of, agrees, body_of
from realtime.serve.sessions import Sessions
from realtime.serve.tickets import TICKET_S
from realtime.serve.whip import Answer, WhipEndpoint
from realtime.session import Session
from realtime.settings import Settings

if TYPE_CHECKING:
    from realtime.recording.recorder import Recorder
    from realtime.serve.hume.stream import ExpressionMeasurement
    from realtime.serve.openai.socket import RealtimeSockets

READY_WITHIN_S = 5.0
STOPPED = "The server was stopped."


class LiveServer:
    """One server over one model. `app` is the ASGI application; sessions live in the loop that runs it."""

    def __init__(
        self,
        *,
        engine: Engine,
        settings: Settings,
        metrics: Metrics,
        answer: Answer,
        adapters: Adapters | None = None,
        recorder: Recorder | None = None,
        transcriber: Transcriber | None = None,
    ) -> None:
        """`transcriber` writes down the words of sessions that agree. None: of none."""
        self._transcriber = transcriber
        self._recorder = recorder
        self._adapters = adapters or Adapters(None)
        self.sessions = Sessions(engine=engine, settings=settings, metrics=metrics)
        self._engine = engine
        self._settings = settings
        self._metrics = metrics
        self._access = Access(self.sessions, settings.server)
        self._mark_rates = Rates(per_s=marks.PER_S, burst=marks.BURST, what="marks in this session")
        self._passing_on = PassingOn(settings.publish)
        self._readers = Readers(metrics, patience_s=settings.publish.send_timeout_s)
        self._hume: ExpressionMeasurement | None = None
        self._openai: RealtimeSockets | None = None
        "Made for their first client (`media_import.py`)."
        self._importing: asyncio.Task[None] | None = None
        whip = WhipEndpoint(
            engine=engine,
            sessions=self.sessions,
            access=self._access,
            passing_on=self._passing_on,
            settings=settings,
            metrics=metrics,
            answer=answer,
            adapters=self._adapters,
            recorder=recorder,
            transcriber=transcriber,
        )
        app = Starlette(
            routes=[
                # One route: of two, a refusal for the method would name the methods of the first alone.
                Route("/whip", whip.serve, methods=["POST", "OPTIONS"]),
                Route("/sessions", self.listing),
                Route("/sessions/{id}", self.session, methods=["GET", "DELETE"]),
                Route("/sessions/{id}/ask", self.set_question, methods=["PUT"]),
                Route("/sessions/{id}/marks", self.mark, methods=["POST"]),
                Route("/sessions/{id}/tickets", self.tickets, methods=["POST", "DELETE"]),
                Route("/sessions/{id}/tickets/{ticket}", self.revoke, methods=["DELETE"]),
                Route("/sessions/{id}/record", self.delete_recording, methods=["DELETE"]),
                WebSocketRoute("/sessions/{id}/events", self.events),
                WebSocketRoute("/v0/stream/models", self.measure),
                WebSocketRoute("/v1/realtime", self.realtime),
                Route("/healthz", self.alive),
                Route("/readyz", self.ready),
                Route("/metrics", self.metrics),
                Route("/openapi.json", self.openapi),
                Route("/schema/events.json", self.schema),
                Route("/api/config", self.config),
            ],
            exception_handlers=HANDLERS,
            lifespan=self._lifespan,
        )
        # Not a mount: one at / would also get requests that another route refuses for their method.
        app.router.default = Page(directory=WEB, html=True, check_dir=False)
        # Outermost, so that even the answer to a crash carries the headers.
        self.app = Guard(
            app,
            loopback=settings.server.loopback,
            rates=Rates(per_s=settings.server.requests_per_s, burst=settings.server.requests_burst),
            allow_origins=settings.server.allow_origins,
            public_url=settings.server.public_url,
        )

    @asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        watching = [
            asyncio.create_task(watch_loop(self._metrics), name="watch loop"),
            asyncio.create_task(self.sessions.watch(), name="watch sessions"),
        ]
        if self._recorder is not None:
            watching.append(asyncio.create_task(self._recorder.watch(), name="watch recordings"))
        try:
            yield
        finally:
            for task in watching:
                task.cancel()
            await self.sessions.stop_all(STOPPED)
            await self._passing_on.finish()
            if self._recorder is not None:
                await self._recorder.finish()

    async def drain(self) -> None:
        """Take no more sessions, let the open ones finish their windows, and let their readers read to the end."""
        await self.sessions.stop_all(STOPPED, finish_within_s=self._settings.server.drain_s)
        await self._readers.finish()

    # Sessions.

    async def listing(self, request: Request) -> Response:
        self._access.check_operator(request)
        return JSONResponse({"sessions": [self._state(session) for session in self.sessions.open]})

    async def session(self, request: Request) -> Response:
        if request.method == "DELETE":
            session = self._access.ended(request)
            await self.sessions.stop(session.id, "The session was ended by its owner.")
            return Response(status_code=HTTPStatus.OK)
        session, _ = self._access.followed(request)
        return JSONResponse(self._state(session))

    def _state(self, session: Session) -> dict[str, Any]:
        return {
            "id": session.id,
            "name": session.name,
            "state": "ended" if session.log.closed else "live",
            "model": session.model.name,
            "ask": asking.as_json(session.question),
            "words": session.writes_words,
            "recorded": self._access.openers[session].kept,
            "readers": session.log.n_readers,
            **session.state(),
        }

    async def tickets(self, request: Request) -> Response:
        if request.method == "DELETE":
            self._access.openers[self._access.steered(request)].revoke_all()
            return Response(status_code=HTTPStatus.OK)
        if agrees(request, "lasting"):
            ticket, name = self._access.openers[self._access.steered(request)].lasting_ticket()
            return JSONResponse({"ticket": ticket, "id": name, "expires_in_s": None}, HTTPStatus.CREATED)
        _, grant = self._access.followed(request)
        return JSONResponse({"ticket": grant.ticket(), "expires_in_s": TICKET_S}, HTTPStatus.CREATED)

    async def revoke(self, request: Request) -> Response:
        self._access.openers[self._access.steered(request)].revoke(request.path_params["ticket"])
        return Response(status_code=HTTPStatus.OK)

    async def delete_recording(self, request: Request) -> Response:
        """Delete the recording of a session, open or long ended. It takes the secret of whoever opened the session."""
        session_id, secret = request.path_params["id"], bearer(request) or ""
        if self._recorder is None:
            raise UnknownSession("This server keeps nothing.", "There is nothing to delete.")
        if not await asyncio.to_thread(self._recorder.vault.is_owner, session_id, secret):
            raise NotAllowed("Only who opened a session may do this.", "Send its Session-Secret as a bearer token.")
        await self._recorder.delete(session_id)
        return Response(status_code=HTTPStatus.OK)

    async def set_question(self, request: Request) -> Response:
        session = self._access.steered(request)
        if session.log.closed:
            raise SessionOver("The session has ended.", "Open a new one to ask it something.")
        large = TooLarge(f"The question is larger than {asking.MAX_BYTES} bytes.", "Ask for less at once.")
        body = await self._body(request, asking.MAX_BYTES, large)
        wanted = asking.question_from(body, session.model.labels, open_labels=session.model.open_labels)
        if isinstance(wanted, asking.SummaryWanted):
            await session.sum_up(wanted.query, wanted.last_s)
            return JSONResponse(asking.as_json(session.question) | {"summary_s": wanted.last_s})
        await session.set_question(wanted)
        return JSONResponse(asking.as_json(wanted))

    async def mark(self, request: Request) -> Response:
        session = self._access.steered(request)
        large = TooLarge(f"The mark is larger than {marks.MAX_BYTES} bytes.", "Send names and numbers, not media.")
        name, data = marks.mark_from(await self._body(request, marks.MAX_BYTES, large))
        self._mark_rates.take(session.id)
        return Response(session.mark(name, data), HTTPStatus.CREATED, media_type="application/json")

    async def _body(self, request: Request, limit: int, too_large: TooLarge) -> bytes:
        return await body_of(request, limit=limit, too_large=too_large, within_s=self._settings.server.request_s)

    async def events(self, socket: WebSocket) -> None:
        try:
            session = self.sessions.get(socket.path_params["id"])
            after = after_of(socket.query_params.get("after", "0"))
            grant = self._access.openers[session].admits(socket.query_params.get("ticket", ""))
            if grant is None:
                raise NotAllowed("The ticket is missing, used or too old.", f"POST /sessions/{session.id}/tickets.")
            self._readers.admit(session, grant)
        except RealtimeError as error:
            await refuse(socket.scope, socket.receive, socket.send, error)
            return
        await self._readers.follow(socket, session, after, grant)

    # For operators and programs.

    async def alive(self, request: Request) -> Response:
        return JSONResponse({"status": "alive"})

    async def ready(self, request: Request) -> Response:
        if self.sessions.stopping:
            raise NotReady("The server is being stopped.", "Send its callers to another one.")
        try:
            async with asyncio.timeout(READY_WITHIN_S):
                await self._engine.ready()
        except TimeoutError as error:
            raise NotReady(f"The model has not answered for {READY_WITHIN_S:g} s.", "Restart the server.") from error
        model = self._engine.model
        return JSONResponse({"status": "ready", "model": model.name, "engine": model.runtime_reason})

    async def metrics(self, request: Request) -> Response:
        self._metrics.take(self._engine.stats())
        return Response(self._metrics.text(), media_type=CONTENT_TYPE_LATEST)

    async def openapi(self, request: Request) -> Response:
        return JSONResponse(describe_api(version("emothinker")))

    async def schema(self, request: Request) -> Response:
        return JSONResponse(event_schema(), media_type="application/schema+json")

    async def measure(self, socket: WebSocket) -> None:
        await media_imported()
        from realtime.serve.hume.stream import ExpressionMeasurement

        self._hume = self._hume or ExpressionMeasurement(
            engine=self._engine,
            sessions=self.sessions,
            access=self._access,
            settings=self._settings,
            metrics=self._metrics,
        )
        await self._hume.serve(socket)

    async def realtime(self, socket: WebSocket) -> None:
        await media_imported()
        from realtime.serve.openai.socket import RealtimeSockets

        self._openai = self._openai or RealtimeSockets(
            sessions=self.sessions,
            access=self._access,
            passing_on=self._passing_on,
            settings=self._settings,
            metrics=self._metrics,
        )
        await self._openai.serve(socket)

    async def config(self, request: Request) -> Response:
        # The page asks for it as it opens.
        self._importing = self._importing or asyncio.create_task(media_imported(), name="import what receives media")
        model = self._engine.model
        return JSONResponse(
            {
                "version": version("emothinker"),
                "model": model.name,
                "adapters": self._adapters.names(),
                "engine": model.runtime_reason,
                "labels": model.labels,
                "sections": SECTIONS,
                "window_s": self._settings.buffer.window_s,
                "every_s": self._settings.analysis.every_s,
                "max_sessions": self._settings.server.max_sessions,
                "words": self._transcriber is not None,
                "record": self._recorder and self._recorder.most,
                "passed_on": self._passing_on.kinds,
                "record_days": self._recorder and self._settings.record.days,
                "token_required": self._settings.server.token is not None,
                "ice_servers": [
                    server.for_browser()
                    for server in ice_servers(self._settings.ice, relay=self._access.may_open(request))
                ],
            }
        )
