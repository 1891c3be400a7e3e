"""One person of a load: a real aiortc sender over a network made bad on purpose, and a reader of its events.

Loss and jitter sit under ICE, where a bad network has them, in both directions and from the first packet on. A sender
that leaves abruptly falls silent there.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from realtime.ingest.peers import close_peer
from tests.ingest.datagrams import Bytes, PassedOn
from tests.load.media import Clip

SDP = {"Content-Type": "application/sdp"}
FAREWELL_S = 5.0
"For the last events of a session that was ended."


@dataclass(frozen=True)
class Network:
    loss: float = 0.0
    "Share of packets lost, 0–1."
    burst: int = 1
    "Packets lost in a row; the share stays the same."
    jitter_s: float = 0.0
    "Packets are held for 0 to this long, and so overtake each other."


class BadNetwork:
    """Stands between a peer's sockets and its ICE: loses and holds packets by a pattern that the seed fixes."""

    def __init__(self, network: Network, seed: int) -> None:
        self._network = network
        self._dice = random.Random(seed)
        self._n_to_lose = 0
        self.gone = False
        "Whether the peer has fallen silent."

    def spoil(self, peer: RTCPeerConnection) -> None:
        """Both ways of every socket that `peer` has gathered."""
        for transport in {sender.transport.transport for sender in peer.getSenders()}:
            for protocol in transport._connection._protocols:
                protocol.transport = _Outgoing(protocol.transport, self)
                protocol.datagram_received = self._worse(protocol.datagram_received)  # type: ignore[method-assign]

    def pass_on(self, deliver: Callable[..., None], *packet: Any) -> None:
        if self.gone or self._lost():
            return
        held_s = self._dice.uniform(0, self._network.jitter_s)
        if held_s:
            asyncio.get_running_loop().call_later(held_s, deliver, *packet)
        else:
            deliver(*packet)

    def _worse(self, deliver: Callable[..., None]) -> Callable[..., None]:
        return lambda *packet: self.pass_on(deliver, *packet)

    def _lost(self) -> bool:
        if not self._n_to_lose and self._dice.random() < self._network.loss / self._network.burst:
            self._n_to_lose = self._network.burst
        lost = self._n_to_lose > 0
        self._n_to_lose -= lost
        return lost


class _Outgoing(PassedOn):
    def __init__(self, transport: asyncio.DatagramTransport, network: BadNetwork) -> None:
        super().__init__(transport)
        self._network = network

    def sendto(self, data: Bytes, addr: Any = None) -> None:
        self._network.pass_on(self.deliver, data, addr)


@dataclass
class Outcome:
    """What one person saw."""

    status: int = 0
    "Of the offer; 0 when it was never answered."
    retry_after_s: int | None = None
    seq: int = 0
    "Of the newest event."
    n_wrong: int = 0
    "Events that were missing, or came twice, or in another order."
    types: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    "Error events by code."
    reduced: Counter[str] = field(default_factory=Counter)
    max_lag_s: float = 0.0
    first_label_s: float | None = None
    "From the answer to the offer."
    closed: str | None = None
    "The reason, where the session ended before we ended it."
    n_reads: int = 0
    "Times that its events were asked for."

    def take(self, event: dict[str, Any], *, passed_s: float) -> None:
        self.n_wrong += event["seq"] != self.seq + 1
        self.seq = event["seq"]
        self.types[event["type"]] += 1
        match event:
            case {"type": "label"} if self.first_label_s is None:
                self.first_label_s = passed_s
            case {"type": "lag"}:
                self.max_lag_s = max(self.max_lag_s, event["seconds"])
                self.reduced[event["reduced"]] += 1
            case {"type": "error"} if not event.get("over"):
                self.errors[event["code"]] += 1
            case {"type": "session.closed"}:
                self.closed = event["reason"]


@dataclass(frozen=True)
class Behaviour:
    seconds: float
    "From the answer to the leaving."
    network: Network = Network()
    seed: int = 0
    abrupt: bool = False
    "Leaves without a word."
    come_back_s: float | None = None
    "Its reader breaks off and comes back with `after`, so often."
    slow_readers: int = 0
    "More readers, who take nothing."


@asynccontextmanager
async def sender(clip: Clip, network: BadNetwork) -> AsyncIterator[RTCPeerConnection]:
    """A peer that sends the clip in a loop, its candidates gathered."""
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    tracks = clip.tracks()
    try:
        for track in tracks:
            peer.addTrack(track)
        await peer.setLocalDescription(await peer.createOffer())
        network.spoil(peer)
        yield peer
    finally:
        await close_peer(peer)
        for track in tracks:
            track.stop()


async def play(
    http: httpx.AsyncClient,
    clip: Clip,
    behaviour: Behaviour,
    outcome: Outcome | None = None,
    stay: asyncio.Event | None = None,
) -> Outcome:
    """Open a session, send, read, leave once the time is over and `stay`, if given, is set.

    A given `outcome` can be looked at meanwhile.
    """
    outcome = outcome or Outcome()
    network = BadNetwork(behaviour.network, behaviour.seed)
    async with sender(clip, network) as peer:
        reply = await http.post("/whip", content=peer.localDescription.sdp, headers=SDP)
        outcome.status = reply.status_code
        if reply.status_code != 201:
            outcome.retry_after_s = int(reply.headers.get("retry-after", 0)) or None
            return outcome
        session = Opened(http, reply.headers["location"], reply.headers["session-secret"])
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(_read(session, outcome, behaviour.come_back_s), name="read")
            idling = [tasks.create_task(_idle(session), name="idle") for _ in range(behaviour.slow_readers)]
            await peer.setRemoteDescription(RTCSessionDescription(reply.text, "answer"))
            await asyncio.wait({reading}, timeout=behaviour.seconds)
            if stay is not None:
                staying = tasks.create_task(stay.wait(), name="stay")
                await asyncio.wait({reading, staying}, return_when=asyncio.FIRST_COMPLETED)
                staying.cancel()
            if behaviour.abrupt:
                network.gone = True
            elif outcome.closed is None:
                await session.end()
                # What was still on its way is the outcome's too.
                await asyncio.wait({reading}, timeout=FAREWELL_S)
                outcome.closed = None
            for task in (reading, *idling):
                task.cancel()
    return outcome


@dataclass(frozen=True)
class Opened:
    """A session, for whoever opened it."""

    http: httpx.AsyncClient
    path: str
    secret: str

    @asynccontextmanager
    async def events(self, after: int, **options: Any) -> AsyncIterator[ClientConnection]:
        """Its event socket, with a ticket of its own."""
        ticket = (await self.http.post(f"{self.path}/tickets", headers=self._mine)).json()["ticket"]
        address = str(self.http.base_url.join(self.path)).replace("http", "ws", 1)
        async with connect(f"{address}/events?ticket={ticket}&after={after}", open_timeout=30, **options) as socket:
            yield socket

    async def end(self) -> None:
        await self.http.delete(self.path, headers=self._mine)

    @property
    def _mine(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.secret}"}


async def _read(session: Opened, outcome: Outcome, come_back_s: float | None) -> None:
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    while outcome.closed is None:
        outcome.n_reads += 1
        try:
            async with session.events(outcome.seq) as lines, asyncio.timeout(come_back_s):
                async for line in lines:
                    outcome.take(json.loads(line), passed_s=loop.time() - began_s)
                return
        except TimeoutError:
            continue
        except ConnectionClosed:
            return


async def _idle(session: Opened) -> None:
    # A tiny buffer on our side, so that the server's fills soonest.
    async with session.events(0, max_queue=1):
        await asyncio.Event().wait()
