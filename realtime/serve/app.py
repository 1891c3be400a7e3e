"""The HTTP and WebSocket server: WHIP in (RFC 9725), events out, and the page.

POST   /whip                    an SDP offer becomes a session; its Location is /sessions/{id}
GET    /sessions/{id}           its state        DELETE ends it
POST   /sessions/{id}/marks     a mark at this moment, which comes back as an event
PUT    /sessions/{id}/ask       another question, or labels of one's own, for the next windows
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
import ipaddress
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from importlib.metadata import version
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from realtime.asking import question as asking
from realtime.errors import (
    BadOffer,
    BadRequest,
    NotAllowed,
    NotFound,
    NotReady,
    RealtimeError,
    SessionOver,
    TooLarge,
    TooSlow,
    UnknownSession,
    WrongContentType,
    WrongMethod,
)
from realtime.ingest.addresses import announce
from realtime.ingest.relay import ice_servers
from realtime.observe import tracing
from realtime.observe.loop import watch_loop
from realtime.observe.metrics import Metrics
from realtime.publish.schema import event_schema
from realtime.recording.recorder import MediaTap, Recorder
from realtime.recording.settings import Kept
from realtime.records import SECTIONS
from realtime.roles import Engine, Source, Transcriber
from realtime.serve import marks
from realtime.serve.access import Access
from realtime.serve.adapter_folder import Adapters
from realtime.serve.guard import Guard, bearer, problem, refuse
from realtime.serve.hume.stream import ExpressionMeasurement
from realtime.serve.openai.socket import RealtimeSockets
from realtime.serve.openapi import describe_api
from realtime.serve.page import Page
from realtime.serve.page_build import WEB
from realtime.serve.passing_on import PassingOn
from realtime.serve.rate_limits import Rates
from realtime.serve.readers import Readers
from realtime.serve.sessions import Sessions
from realtime.serve.tickets import TICKET_S, Opener
from realtime.session import Session
from realtime.settings import Settings

SDP = "application/sdp"
MAX_OFFER_BYTES = 65_536
READY_WITHIN_S = 5.0
STOPPED = "The server was stopped."

Answer = Callable[[str], Awaitable[tuple[str, Source]]]
"An SDP offer in; the SDP answer and the source of the peer's media out. Raises BadOffer."


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
        self._answer = answer
        self._access = Access(self.sessions, settings.server)
        self._mark_rates = Rates(per_s=marks.PER_S, burst=marks.BURST, what="marks in this session")
        self._passing_on = PassingOn(settings.publish)
        self._readers = Readers(metrics, patience_s=settings.publish.send_timeout_s)
        hume = ExpressionMeasurement(
            engine=engine, sessions=self.sessions, access=self._access, settings=settings, metrics=metrics
        )
        events = RealtimeSockets(
            sessions=self.sessions,
            access=self._access,
            passing_on=self._passing_on,
            settings=settings,
            metrics=metrics,
        )
        app = Starlette(
            routes=[
                # One route: of two, a refusal for the method would name the methods of the first alone.
                Route("/whip", self.whip, methods=["POST", "OPTIONS"]),
                Route("/sessions", self.listing),
                Route("/sessions/{id}", self.session, methods=["GET", "DELETE"]),
                Route("/sessions/{id}/ask", self.set_question, methods=["PUT"]),
                Route("/sessions/{id}/marks", self.mark, methods=["POST"]),
                Route("/sessions/{id}/tickets", self.tickets, methods=["POST", "DELETE"]),
                Route("/sessions/{id}/tickets/{ticket}", self.revoke, methods=["DELETE"]),
                Route("/sessions/{id}/record", self.delete_recording, methods=["DELETE"]),
                WebSocketRoute("/sessions/{id}/events", self.events),
                WebSocketRoute("/v0/stream/models", hume.serve),
                WebSocketRoute("/v1/realtime", events.serve),
                Route("/healthz", self.alive),
                Route("/readyz", self.ready),
                Route("/metrics", self.metrics),
                Route("/openapi.json", self.openapi),
                Route("/schema/events.json", self.schema),
                Route("/api/config", self.config),
            ],
            exception_handlers={RealtimeError: _problem_of, HTTPException: _http, Exception: _broken},
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

    # WHIP.

    async def whip(self, request: Request) -> Response:
        return await (self.ice(request) if request.method == "OPTIONS" else self.open(request))

    async def open(self, request: Request) -> Response:
        try:
            with tracing.span("open"):
                return await self._open(request)
        except RealtimeError as error:
            self._metrics.refused.labels(error.code).inc()
            raise

    async def _open(self, request: Request) -> Response:
        self._access.check_open(request)
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != SDP:
            raise WrongContentType(f"The body is {kind or 'of no named type'}.", f"Send an SDP offer as {SDP}.")
        keep = self._kept(request)
        transcriber = self._transcriber if _agreed(request, "words") else None
        # Before a place is taken: a caller who sends the offer slowly must not keep others out.
        offer = await self._offer(request)
        name = request.query_params.get("name")
        with self.sessions.place(name):
            adapter = request.query_params.get("adapter")
            model = None if adapter is None else await self._engine.use(self._adapters.folder(adapter))
            sdp, source = await self._answer(offer)
            tap = MediaTap(source) if keep == "media" else None
            session = self.sessions.start(tap or source, model, name, transcriber)
        opener = self._access.openers[session] = Opener(kept=keep)
        self._passing_on.start(session)
        if self._recorder is not None and keep is not None:
            self._recorder.start(session.log, opener.secret, tap)
        headers = {"Location": f"{request.scope['root_path']}/sessions/{session.id}", "Session-Secret": opener.secret}
        answer = Response(self._announced(sdp, request), HTTPStatus.CREATED, headers, media_type=SDP)
        self._link(answer, relay=True)
        return answer

    async def ice(self, request: Request) -> Response:
        """STUN and TURN servers, for senders that need them before they make an offer (RFC 9725, section 4.6)."""
        answer = Response(status_code=HTTPStatus.NO_CONTENT, headers={"Accept-Post": SDP, "Allow": "POST, OPTIONS"})
        self._link(answer, relay=self._access.may_open(request))
        return answer

    def _link(self, answer: Response, *, relay: bool) -> None:
        for server in ice_servers(self._settings.ice, relay=relay):
            answer.headers.append("Link", server.link())

    def _announced(self, sdp: str, request: Request) -> str:
        if self._settings.server.loopback:
            return sdp
        return announce(sdp, reached=_reached(request), public_address=self._settings.ice.public_address)

    async def _offer(self, request: Request) -> str:
        limit = MAX_OFFER_BYTES
        large = TooLarge(f"The offer is larger than {limit} bytes.", "Offer one audio and one video track.")
        body = await self._body(request, limit, large)
        try:
            return body.decode()
        except UnicodeDecodeError as error:
            raise BadOffer("The body is not text, so not an SDP offer.", "Send what createOffer() gave you.") from error

    async def _body(self, request: Request, limit: int, too_large: TooLarge) -> bytes:
        """The whole body. Raises `too_large` as soon as it has more than `limit` bytes, TooSlow, or BadRequest."""
        body = bytearray()
        try:
            async with asyncio.timeout(self._settings.server.request_s):
                async for part in request.stream():
                    body += part
                    if len(body) > limit:
                        raise too_large
        except TimeoutError as error:
            raise TooSlow("The request did not arrive in time.", "Send it at once.") from error
        except ClientDisconnect as error:
            raise BadRequest("The request broke off.", "Send all of it.") from error
        return bytes(body)

    def _kept(self, request: Request) -> Kept | None:
        """What is recorded of the session: what its opener agrees to, and no more than the operator allows."""
        agreed = request.query_params.get("record")
        if agreed not in (None, "events", "media"):
            raise BadRequest(f"record is {agreed[:40]!r}.", "Agree to `events` or `media`, or leave it out.")
        if self._recorder is None or agreed is None:
            return None
        return "media" if agreed == self._recorder.most == "media" else "events"

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
        if _agreed(request, "lasting"):
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
        question = asking.question_from(body, session.model.labels, open_labels=session.model.open_labels)
        await session.set_question(question)
        return JSONResponse(asking.as_json(question))

    async def mark(self, request: Request) -> Response:
        session = self._access.steered(request)
        large = TooLarge(f"The mark is larger than {marks.MAX_BYTES} bytes.", "Send names and numbers, not media.")
        name, data = marks.mark_from(await self._body(request, marks.MAX_BYTES, large))
        self._mark_rates.take(session.id)
        return Response(session.mark(name, data), HTTPStatus.CREATED, media_type="application/json")

    async def events(self, socket: WebSocket) -> None:
        try:
            session = self.sessions.get(socket.path_params["id"])
            after = _number(socket.query_params.get("after", "0"))
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

    async def config(self, request: Request) -> Response:
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


def _agreed(request: Request, name: str) -> bool:
    """Whether a parameter is `true`. Raises BadRequest for what is neither `true` nor `false`."""
    given = request.query_params.get(name, "false")
    if given not in ("true", "false"):
        raise BadRequest(f"{name} is {given[:40]!r}.", "Give true, or leave it out.")
    return given == "true"


def _reached(request: Request) -> str | None:
    """The server's address that a peer of a private network used. None: it came from elsewhere, or by a proxy."""
    ours, theirs = request.scope.get("server"), request.scope.get("client")
    if not ours or not theirs or {"forwarded", "x-forwarded-for"} & set(request.headers):
        return None
    try:
        address, peer = (ipaddress.ip_address(host.partition("%")[0]) for host in (ours[0], theirs[0]))
    except ValueError:
        return None
    return str(getattr(address, "ipv4_mapped", None) or address) if peer.is_private else None


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise BadRequest(f"after is {text[:40]!r}.", "Give the seq of the last event you have seen, or 0.")
    return int(text)


async def _problem_of(request: Request, error: Exception) -> Response:
    assert isinstance(error, RealtimeError)
    return problem(error)


async def _http(request: Request, error: Exception) -> Response:
    """Starlette's own refusals (no such path, wrong method) as problem bodies."""
    assert isinstance(error, HTTPException)
    answer = problem(_refusal(request.url.path, error))
    answer.headers.update(error.headers or {})
    return answer


def _refusal(path: str, error: HTTPException) -> RealtimeError:
    match error.status_code:
        case HTTPStatus.NOT_FOUND:
            return NotFound(f"There is nothing at {path[:200]}.", "docs/api.md and /openapi.json name what there is.")
        case HTTPStatus.METHOD_NOT_ALLOWED:
            return WrongMethod(f"{path[:200]} does not take that method.", "Use one that the header Allow names.")
    return BadRequest(HTTPStatus(error.status_code).description, "docs/api.md says what the server takes.")


async def _broken(request: Request, error: Exception) -> Response:
    # Starlette logs the traceback; the caller only learns that the server failed.
    return problem(RealtimeError("The server failed on this request.", "Try again; the log says why."))
