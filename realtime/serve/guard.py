"""Checks that each request is meant for this server, and sets what a browser may do with the answer."""

from __future__ import annotations

import logging
from http import HTTPStatus
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from realtime.errors import RealtimeError, ServerFull, TooMany, WrongOrigin
from realtime.serve.rate_limits import Rates

logger = logging.getLogger(__name__)

WRONG_TOKEN_COST = 20
"Requests that a refused token counts for."
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
OPEN_LOOPBACK = "Open it as http://localhost, or start it with --host, a token and TLS to be reached by another name."
PROXY = (
    "A proxy stands in front. Start the server with --public-url ADDRESS, as browsers see it, and --token-file; or "
    "with --host ADDRESS and TLS of its own, and let the proxy pass on Host: proxy_set_header Host $http_host."
)
PROXY_HEADERS = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src 'self' blob:; "
    "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors "
)
HEADERS = {
    "Permissions-Policy": "camera=(self), microphone=(self), geolocation=(), display-capture=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    # Answers name sessions and live states. The page's own files set another value.
    "Cache-Control": "no-store",
}


CORS = {
    # What a WHIP client and a reader of events need to see of an answer.
    "Access-Control-Expose-Headers": "Location, Session-Secret, Link, Accept-Post, Retry-After, WWW-Authenticate",
}
PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, POST, PUT, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": "Authorization, Content-Type",
    "Access-Control-Max-Age": "600",
}


class Guard:
    """Refuses requests of other sites' pages, and puts security headers on every answer.

    On loopback only loopback names are served. Otherwise a page elsewhere, whose name was pointed at 127.0.0.1 (DNS
    rebinding), could talk to this server as if it were its own page. On any other address the token decides.

    `allow_origins` are the other sites whose pages may use this server; CORS headers tell their browsers so, and their
    pages may show this server's in a frame. `public_url` is the address by which a proxy makes it reachable: the name
    in it is served, too, and its path may stand before every path, or be taken off by the proxy.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        loopback: bool,
        rates: Rates,
        allow_origins: tuple[str, ...] = (),
        public_url: str | None = None,
    ) -> None:
        public = urlsplit(public_url or "")
        self._public_host = public.netloc
        self._own_origin = f"{public.scheme}://{public.netloc}" if public_url else None
        self._prefix = public.path.rstrip("/")
        self._origins = frozenset(allow_origins)
        framing = " ".join(allow_origins) or "'none'"
        self._headers = HEADERS | {"Content-Security-Policy": POLICY + framing}
        if self._origins:
            self._headers["Vary"] = "Origin"
        self._app = app
        self._loopback = loopback
        self._rates = rates
        self._logged = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return

        client = (scope.get("client") or ("",))[0]
        given = Headers(scope=scope)
        foreign = given.get("origin") if given.get("origin") in self._origins else None
        scope = self._without_prefix(scope, given)

        async def with_headers(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                if message["status"] == HTTPStatus.UNAUTHORIZED:
                    self._rates.charge(client, WRONG_TOKEN_COST)
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
                if foreign is not None:
                    headers["Access-Control-Allow-Origin"] = foreign
                    headers.update(CORS)
            await send(message)

        try:
            self._rates.take(client)
            self._check(given)
        except (TooMany, WrongOrigin) as error:
            if isinstance(error, WrongOrigin):
                self._log(error)
            await refuse(scope, receive, with_headers, error)
        else:
            if scope["type"] == "http" and self._prefix and scope["path"] == self._prefix:
                # Without the stroke the page would look for its files one folder up.
                await RedirectResponse(f"{self._prefix}/", 308)(scope, receive, with_headers)
            elif foreign is not None and scope["type"] == "http" and _is_preflight(scope, given):
                await Response(status_code=204, headers=PREFLIGHT)(scope, receive, with_headers)
            else:
                await self._app(scope, receive, with_headers)

    def _without_prefix(self, scope: Scope, headers: Headers) -> Scope:
        """The request as if it had come to the root. `root_path` is what stands before the path of every address."""
        if not self._prefix:
            return scope
        path = scope["path"]
        if path.startswith(f"{self._prefix}/"):
            path = path.removeprefix(self._prefix)
            return {**scope, "path": path, "raw_path": path.encode(), "root_path": self._prefix}
        # The proxy has taken it off.
        proxied = headers.get("host") == self._public_host or _proxied(headers)
        return {**scope, "root_path": self._prefix} if proxied else scope

    def _check(self, headers: Headers) -> None:
        host = headers.get("host", "")
        origin = headers.get("origin")
        if self._loopback and _hostname(host) not in LOOPBACK_NAMES and host != (self._public_host or None):
            raise WrongOrigin(
                f"This server is not {host or 'without a name'}.", PROXY if _proxied(headers) else OPEN_LOOPBACK
            )
        ours = origin is None or _netloc(origin) == host or origin == self._own_origin
        if not ours and origin not in self._origins:
            raise WrongOrigin(
                f"Pages of {origin} may not use this server, which was asked for as {host}.",
                PROXY
                if _proxied(headers)
                else "Open the server's own page, or name that origin in server.allow_origins.",
            )

    def _log(self, error: WrongOrigin) -> None:
        """Say once why requests are refused; whoever runs a proxy looks for it here."""
        if not self._logged:
            self._logged = True
            logger.warning("refused a request (wrong_origin, said once): %.200s %s", error.message, error.hint)


def _is_preflight(scope: Scope, headers: Headers) -> bool:
    return scope["method"] == "OPTIONS" and "access-control-request-method" in headers


def _proxied(headers: Headers) -> bool:
    return any(name in headers for name in PROXY_HEADERS)


def _hostname(host: str) -> str | None:
    # Not every text is an address (`[`, `a:b:c`).
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def _netloc(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


async def refuse(scope: Scope, receive: Receive, send: Send, error: RealtimeError) -> None:
    """Answer a request, or a WebSocket before it was accepted, with the error as a problem body (RFC 9457)."""
    answer = problem(error)
    if scope["type"] == "websocket":
        await WebSocket(scope, receive, send).send_denial_response(answer)
    else:
        await answer(scope, receive, send)


def problem(error: RealtimeError) -> Response:
    headers = {}
    if isinstance(error, ServerFull | TooMany):
        headers["Retry-After"] = str(error.retry_after_s)
    if error.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="emothinker"'
    return JSONResponse(error.problem(), error.status, headers, media_type="application/problem+json")


def bearer(connection: HTTPConnection | Request) -> str | None:
    """The bearer token of the request, if it brings one."""
    kind, _, token = connection.headers.get("authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else None
