"""The server's doors: generated requests, through the whole application, with a scripted model behind it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import httpx
from hypothesis import strategies as st
from starlette.types import Message, Scope

from realtime.engine.local import LocalEngine
from realtime.engine.worker import ModelWorker
from realtime.ingest.settings import IngestSettings
from realtime.ingest.webrtc import answer
from realtime.observe.metrics import Metrics
from realtime.serve.app import LiveServer
from realtime.settings import PublishSettings, ServerSettings, Settings
from tests.fuzz.doors import JSON, OFFER, OFFERS, QUESTIONS
from tests.scripted import ScriptedModel

NOTHING_BUT = frozenset({200, 201, 204, 304, 400, 401, 403, 404, 405, 406, 408, 409, 413, 415, 416, 422, 429, 503})
PATHS = (
    *("/whip", "/sessions/x", "/sessions/LIVE", "/sessions/LIVE/ask", "/sessions/LIVE/tickets", "/sessions/x/record"),
    *(
        "/healthz",
        "/readyz",
        "/metrics",
        "/openapi.json",
        "/schema/events.json",
        "/api/config",
        "/",
        "/assets/x",
        "/..",
    ),
)
LATIN = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\0"), max_size=40)
NAMES = ("host", "origin", "authorization", "content-type", "content-length", "x-forwarded-for", "forwarded", "range")
QUERY = st.dictionaries(
    st.sampled_from(("after", "ticket", "adapter", "record", "x")), st.text(max_size=20), max_size=2
)
REQUESTS = st.fixed_dictionaries(
    {
        "method": st.sampled_from(("GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH", "x")),
        "path": st.one_of(st.sampled_from(PATHS), st.text(max_size=30).map("/".__add__)),
        "query": QUERY,
        "headers": st.dictionaries(st.sampled_from(NAMES), LATIN, max_size=2),
        "body": st.one_of(
            st.binary(max_size=200), QUESTIONS, OFFERS.map(str.encode), JSON.map(lambda value: str(value).encode())
        ),
        "good": st.booleans(),
    }
)


class Behind:
    """The application in a loop of its own, driven from a test that knows of none."""

    def __init__(self, loop: asyncio.AbstractEventLoop, live: LiveServer) -> None:
        self._loop = loop
        self.live = live

    def enter(self, value: dict[str, Any]) -> None:
        self._loop.run_until_complete(self._enter(value))

    async def _enter(self, value: dict[str, Any]) -> None:
        try:
            await self._http(value)
            await self._socket(value)
        finally:
            # Also after a bug, or the next input would find the server full.
            for session in self.live.sessions.open:
                await self.live.sessions.stop(session.id, "The input was tried.")

    async def _http(self, value: dict[str, Any]) -> None:
        # What the application raises is raised here, as a bug.
        transport = httpx.ASGITransport(self.live.app)
        sdp = {"content-type": "application/sdp"}
        headers = dict(sdp) if value["good"] else {}
        given = {name: text.encode("latin-1") for name, text in value["headers"].items() if name != "content-length"}
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            path = quote(value["path"])
            if "LIVE" in path:
                opened = await client.post("/whip", content="\n".join(OFFER), headers=sdp)
                assert opened.status_code == HTTPStatus.CREATED, opened.text
                path = path.replace("/sessions/LIVE", opened.headers["location"])
                if value["good"]:
                    headers = {"authorization": f"Bearer {opened.headers['session-secret']}"}
            url = httpx.URL("http://localhost").join(path).copy_merge_params(value["query"])
            request = client.build_request(value["method"], url, content=value["body"], headers={**headers, **given})
            reply = await client.send(request)
        assert reply.status_code in NOTHING_BUT, (reply.status_code, reply.text)
        assert "content-security-policy" in reply.headers

    async def _socket(self, value: dict[str, Any]) -> None:
        """The same as the beginning of a WebSocket."""
        said: list[Message] = []
        heard: Iterator[Message] = iter([{"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1000}])

        async def receive() -> Message:
            return next(heard)

        async def send(message: Message) -> None:
            said.append(message)

        query = httpx.QueryParams(value["query"])
        path = value["path"].partition("?")[0]
        scope: Scope = {
            "type": "websocket",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": str(query).encode(),
            "headers": [(b"host", b"localhost")],
            "subprotocols": [],
            "scheme": "ws",
            "client": ("127.0.0.1", 1),
            "extensions": {"websocket.http.response": {}},
        }
        await self.live.app(scope, receive, send)
        assert said[0]["type"] == "websocket.http.response.start"
        assert said[0]["status"] in NOTHING_BUT


@contextmanager
def behind() -> Iterator[Behind]:
    settings = Settings(
        server=ServerSettings(requests_per_s=1e6, requests_burst=1_000_000),
        ingest=IngestSettings(connect_s=1.0),
        publish=PublishSettings(linger_s=0),
    )
    metrics = Metrics()
    loop = asyncio.new_event_loop()
    try:
        with ModelWorker(metrics) as worker:
            live = LiveServer(
                engine=LocalEngine(ScriptedModel(), worker),
                settings=settings,
                metrics=metrics,
                answer=partial(answer, ingest=settings.ingest, speech=settings.speech, ice=settings.ice),
            )
            yield Behind(loop, live)
            loop.run_until_complete(live.sessions.stop_all("The inputs were tried."))
    finally:
        loop.close()
