"""The server on a loopback port with a scripted model, a WebRTC peer that sends to it, and its events as they come."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx
import jsonschema
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack, VideoStreamTrack
from av import VideoFrame
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode

from realtime.engine.local import LocalEngine
from realtime.engine.worker import ModelWorker
from realtime.ingest.peers import close_peer
from realtime.ingest.webrtc import answer
from realtime.observe.metrics import Metrics
from realtime.publish.schema import event_schema
from realtime.recording.recorder import Recorder
from realtime.roles import Model, Transcriber
from realtime.serve import hosting
from realtime.serve.app import LiveServer
from realtime.settings import AnalysisSettings, Settings
from tests.scripted import ScriptedModel
from tests.waiting import WITHIN_S, eventually

SDP = {"Content-Type": "application/sdp"}
QUICK = Settings(analysis=AnalysisSettings(every_s=1.0))
"A peer sends in real time: the first label of one that says nothing comes after a second, not after four."
VALID = jsonschema.Draft202012Validator(event_schema(strict=True))


@dataclass
class Running:
    live: LiveServer
    http: httpx.AsyncClient
    listening: socket.socket
    secret: str = ""
    "Of the session opened last."

    @property
    def port(self) -> int:
        return int(self.listening.getsockname()[1])

    def socket(self, path: str, **options: Any) -> connect:
        return connect(f"ws://127.0.0.1:{self.port}{path}", **options)

    @asynccontextmanager
    async def unread(self, path: str) -> AsyncIterator[ClientConnection]:
        """A socket of a program that reads nothing, with buffers so small that the server soon cannot send."""
        # Connections that are accepted from now on have it, too.
        self.listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
        narrow = socket.socket()
        narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        narrow.connect(("127.0.0.1", self.port))
        async with self.socket(path, sock=narrow, max_queue=1, compression=None) as opened:
            yield opened
            # It would wait for an answer to its closing frame.
            opened.transport.abort()

    @asynccontextmanager
    async def events(self, path: str, after: int = 0, **options: Any) -> AsyncIterator[ClientConnection]:
        """The event socket of the session opened last, with a ticket for it.

        A test leaves what comes after its last event unread. In a full queue that would hide the server's answer to
        the closing frame, and the socket would wait for it for ten seconds.
        """
        options.setdefault("max_queue", None)
        ticket = (await self.http.post(f"{path}/tickets")).json()["ticket"]
        async with self.socket(f"{path}/events?ticket={ticket}&after={after}", **options) as opened:
            yield opened

    async def whip(self, peer: RTCPeerConnection, query: str = "", *, at: str = "/whip") -> str:
        """Offer what the peer sends and take the answer; the path of the session, whose secret is sent from now on."""
        await peer.setLocalDescription(await peer.createOffer())
        reply = await self.http.post(f"{at}{query}", content=peer.localDescription.sdp, headers=SDP)
        assert reply.status_code == 201, reply.text
        assert reply.headers["content-type"] == "application/sdp"
        await peer.setRemoteDescription(RTCSessionDescription(reply.text, "answer"))
        self.secret = reply.headers["session-secret"]
        self.http.headers["Authorization"] = f"Bearer {self.secret}"
        return str(reply.headers["location"])


@asynccontextmanager
async def serving(
    settings: Settings | None = None,
    recorder: Recorder | None = None,
    transcriber: Transcriber | None = None,
    model: Model | None = None,
) -> AsyncIterator[Running]:
    settings = settings or QUICK
    metrics = Metrics()
    listening = hosting.listen("127.0.0.1", 0)
    port = listening.getsockname()[1]
    with listening, ModelWorker(metrics) as worker:
        live = LiveServer(
            engine=LocalEngine(model or ScriptedModel(), worker),
            settings=settings,
            metrics=metrics,
            answer=partial(answer, ingest=settings.ingest, speech=settings.speech, ice=settings.ice),
            recorder=recorder,
            transcriber=transcriber,
        )
        program = hosting.program(live, settings)
        running = asyncio.create_task(program.serve(sockets=[listening]))
        await eventually(lambda: program.started or running.done(), "the server's start")
        certificate = settings.server.tls_cert
        scheme = "https" if certificate else "http"
        # Without a certificate of ours there is nothing to verify, and every authority of the system would be loaded.
        verify: ssl.SSLContext | bool = ssl.create_default_context(cafile=certificate) if certificate else False
        try:
            async with httpx.AsyncClient(
                base_url=f"{scheme}://localhost:{port}", timeout=WITHIN_S, verify=verify
            ) as http:
                yield Running(live, http, listening)
        finally:
            program.should_exit = True
            await running


class SmallPicture(VideoStreamTrack):
    """A green picture 30 times a second. aiortc's own has 20 times the pixels, each of which is coded and decoded."""

    async def recv(self) -> VideoFrame:
        pts, time_base = await self.next_timestamp()
        frame = VideoFrame(width=160, height=96)
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        frame.pts, frame.time_base = pts, time_base
        return frame


@asynccontextmanager
async def sender(*, audio: bool = True, video: bool = True) -> AsyncIterator[RTCPeerConnection]:
    """A peer that sends a picture and silence."""
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    if audio:
        peer.addTrack(AudioStreamTrack())
    if video:
        peer.addTrack(SmallPicture())
    try:
        yield peer
    finally:
        await close_peer(peer)


async def not_for_silence(socket: ClientConnection) -> bool:
    """Read what is left. Whether the socket was closed for another reason than that no ping was answered."""
    async with asyncio.timeout(WITHIN_S):
        with suppress(ConnectionClosed):
            while True:
                await socket.recv()
    return socket.close_code != CloseCode.INTERNAL_ERROR


async def until(socket: Any, *kinds: str, within_s: float = WITHIN_S) -> list[dict[str, Any]]:
    """The events up to the first of one of these types, each checked against the schema."""
    events: list[dict[str, Any]] = []
    async with asyncio.timeout(within_s):
        async for line in socket:
            events.append(json.loads(line))
            VALID.validate(events[-1])
            if events[-1]["type"] in kinds:
                return events
    raise AssertionError(f"the socket closed before any of {kinds}: {[event['type'] for event in events]}")
