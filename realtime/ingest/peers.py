"""Peer connections of aiortc: made with our certificate and ICE servers, held for what we do not use, and closed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress

from aiortc import RTCConfiguration, RTCIceServer, RTCPeerConnection, RTCSessionDescription
from aiortc.exceptions import InvalidStateError, OperationError

from realtime.ingest.data_channel import ClosedDataChannel
from realtime.ingest.dtls import DtlsCertificate
from realtime.ingest.relay import ice_servers
from realtime.ingest.sdp import Narrowed
from realtime.ingest.settings import IceSettings


def make_peer(ice: IceSettings, certificate: DtlsCertificate) -> RTCPeerConnection:
    """A connection that shows this certificate and asks these ICE servers, and no others."""
    # Given even when it is empty: without the list aiortc asks a public STUN server.
    servers = [
        RTCIceServer(server.url, username=server.username or None, credential=server.credential or None)
        for server in ice_servers(ice)
    ]
    peer = RTCPeerConnection(RTCConfiguration(iceServers=servers))
    # aiortc takes no certificate of ours, and makes one of each connection's own.
    peer._RTCPeerConnection__certificates = [certificate]  # type: ignore[attr-defined]
    return peer


class UnusedSections:
    """The transports of an offer's sections that we do not use and that share none with those we use.

    Nothing runs over them. aiortc's clients stay `connecting`, or send nothing at all, while one of their sections is
    refused, so each gets a connection of its own. They connect side by side with the one that carries media, and
    whether they do is of no consequence.
    """

    def __init__(self) -> None:
        self._peers: list[RTCPeerConnection] = []

    async def answer(self, offer: Narrowed, ice: IceSettings) -> Mapping[int, str]:
        """By place in the offer: the answer to each section that could be answered, candidates included."""
        answers: dict[int, str] = {}
        for index, sdp in offer.alone.items():
            peer = make_peer(ice, DtlsCertificate.generateCertificate())
            self._peers.append(peer)
            # One that aiortc cannot answer is refused in the answer, and the rest of the offer goes on.
            with suppress(ValueError, OperationError, InvalidStateError):
                await peer.setRemoteDescription(RTCSessionDescription(sdp, "offer"))
                if offer.is_data_channel(index):
                    ClosedDataChannel(peer.getReceivers()[0].transport)
                await peer.setLocalDescription(await peer.createAnswer())
                answers[index] = peer.localDescription.sdp
        return answers

    async def close(self) -> None:
        """Free every connection. It may be called more than once."""
        for peer in self._peers:
            await close_peer(peer)


async def close_peer(peer: RTCPeerConnection) -> None:
    """Close a connection that may still be connecting, and end every task it has begun.

    aiortc 1.16 connects in a task of its own, which `close` does not know. If a path is found at this very moment,
    consent checks and receivers start on a connection that is closed already, and never end.
    """
    connecting = [task for task in asyncio.all_tasks() if _connects(task, peer)]
    for task in connecting:
        task.cancel()
    if connecting:
        await asyncio.wait(connecting)
    await peer.close()


def _connects(task: asyncio.Task[object], peer: RTCPeerConnection) -> bool:
    coroutine = task.get_coro()
    frame = getattr(coroutine, "cr_frame", None)
    return (
        getattr(coroutine, "__qualname__", "") == "RTCPeerConnection.__connect"
        and frame is not None
        and frame.f_locals.get("self") is peer
    )
