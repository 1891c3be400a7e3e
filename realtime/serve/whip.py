"""`/whip` (RFC 9725): an SDP offer becomes a session."""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from realtime.errors import BadOffer, BadRequest, RealtimeError, TooLarge, WrongContentType
from realtime.ingest.addresses import announce
from realtime.ingest.relay import ice_servers
from realtime.observe import tracing
from realtime.observe.metrics import Metrics
from realtime.recording.settings import Kept
from realtime.roles import Engine, Source, Transcriber
from realtime.serve.access import Access
from realtime.serve.adapter_folder import Adapters
from realtime.serve.passing_on import PassingOn
from realtime.serve.requests import agrees, body_of
from realtime.serve.sessions import Sessions
from realtime.serve.tickets import Opener
from realtime.settings import Settings

if TYPE_CHECKING:
    from realtime.recording.recorder import MediaTap, Recorder

SDP = "application/sdp"
MAX_OFFER_BYTES = 65_536

Answer = Callable[[str], Awaitable[tuple[str, Source]]]
"An SDP offer in; the SDP answer and the source of the peer's media out. Raises BadOffer."


class WhipEndpoint:
    """Opens the sessions of WebRTC senders."""

    def __init__(
        self,
        *,
        engine: Engine,
        sessions: Sessions,
        access: Access,
        passing_on: PassingOn,
        settings: Settings,
        metrics: Metrics,
        answer: Answer,
        adapters: Adapters,
        recorder: Recorder | None,
        transcriber: Transcriber | None,
    ) -> None:
        """`transcriber` writes down the words of sessions that agree. None: of none."""
        self._engine = engine
        self._sessions = sessions
        self._access = access
        self._passing_on = passing_on
        self._settings = settings
        self._metrics = metrics
        self._answer = answer
        self._adapters = adapters
        self._recorder = recorder
        self._transcriber = transcriber

    async def serve(self, request: Request) -> Response:
        return await (self._ice(request) if request.method == "OPTIONS" else self._counted(request))

    async def _counted(self, request: Request) -> Response:
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
        transcriber = self._transcriber if agrees(request, "words") else None
        # Before a place is taken: a caller who sends the offer slowly must not keep others out.
        offer = await self._offer(request)
        name = request.query_params.get("name")
        with self._sessions.place(name):
            adapter = request.query_params.get("adapter")
            model = None if adapter is None else await self._engine.use(self._adapters.folder(adapter))
            sdp, source = await self._answer(offer)
            tap = _tapped(source) if keep == "media" else None
            session = self._sessions.start(tap or source, model, name, transcriber)
        opener = self._access.openers[session] = Opener(kept=keep)
        self._passing_on.start(session)
        if self._recorder is not None and keep is not None:
            self._recorder.start(session.log, opener.secret, tap)
        headers = {"Location": f"{request.scope['root_path']}/sessions/{session.id}", "Session-Secret": opener.secret}
        answer = Response(self._announced(sdp, request), HTTPStatus.CREATED, headers, media_type=SDP)
        self._link(answer, relay=True)
        return answer

    async def _ice(self, request: Request) -> Response:
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
        body = await body_of(request, limit=limit, too_large=large, within_s=self._settings.server.request_s)
        try:
            return body.decode()
        except UnicodeDecodeError as error:
            raise BadOffer("The body is not text, so not an SDP offer.", "Send what createOffer() gave you.") from error

    def _kept(self, request: Request) -> Kept | None:
        """What is recorded of the session: what its opener agrees to, and no more than the operator allows."""
        agreed = request.query_params.get("record")
        if agreed not in (None, "events", "media"):
            raise BadRequest(f"record is {agreed[:40]!r}.", "Agree to `events` or `media`, or leave it out.")
        if self._recorder is None or agreed is None:
            return None
        return "media" if agreed == self._recorder.most == "media" else "events"


def _tapped(source: Source) -> MediaTap:
    from realtime.recording.recorder import MediaTap

    return MediaTap(source)


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
