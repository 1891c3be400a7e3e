"""A session through a real relay, with every direct path blocked."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import pytest
from aiortc import RTCConfiguration, RTCIceServer, RTCIceTransportPolicy, RTCPeerConnection
from aiortc.mediastreams import VideoStreamTrack

from realtime.ingest.peers import close_peer
from realtime.ingest.settings import IngestSettings
from realtime.settings import Settings
from tests.serve.live_server import Running, serving, until
from tests.serve.turn import Relay, coturn


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    with coturn(tmp_path_factory.mktemp("relay")) as started:
        yield started


async def confined(running: Running) -> RTCPeerConnection:
    """A sender that can reach nobody but the relay that the server names, as behind a strict firewall."""
    named = (await running.http.get("/api/config")).json()["ice_servers"]
    servers = [RTCIceServer(**server) for server in named]
    peer = RTCPeerConnection(RTCConfiguration(servers, RTCIceTransportPolicy.RELAY))
    peer.addTrack(VideoStreamTrack())
    return peer


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
async def test_pictures_come_through_the_relay(relay: Relay, transport: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Where OpenSSL looks for whom to trust.
    monkeypatch.setenv("SSL_CERT_FILE", str(relay.certificate))
    async with serving(Settings(ice=relay.ice(transport), ingest=IngestSettings(connect_s=60))) as running:
        peer = await confined(running)
        try:
            path = await running.whip(peer)
            assert " typ host" not in peer.localDescription.sdp
            async with running.events(path) as socket:
                await until(socket, "frame")
            way = peer.getTransceivers()[0].sender.transport.transport._connection._nominated[1]
            assert way.local_candidate.type == "relay"
        finally:
            await close_peer(peer)


@pytest.mark.slow
async def test_without_a_path_it_says_so_within_ten_seconds_and_what_to_set(caplog: pytest.LogCaptureFixture) -> None:
    async with serving() as running:
        peer = await confined(running)
        try:
            began_s = time.monotonic()
            path = await running.whip(peer)
            async with running.events(path) as socket:
                error = (await until(socket, "error"))[-1]
            waited_s = time.monotonic() - began_s
        finally:
            await close_peer(peer)
    assert error["code"] == "no_path"
    assert "[ice]" in error["hint"]
    assert waited_s >= 1
    said = [record.message for record in caplog.records if "no network path" in record.message]
    assert len(said) == 1
    assert "(it offered no address)" in said[0]
    assert "turn_secret" in said[0]


async def test_another_secret_opens_no_path(relay: Relay) -> None:
    settings = Settings(ice=relay.ice(secret="another"))
    async with serving(settings) as running:
        peer = await confined(running)
        # The relay's refusal, however aioice tells it.
        with contextlib.suppress(Exception):
            await peer.setLocalDescription(await peer.createOffer())
        assert " typ relay" not in (peer.localDescription.sdp if peer.localDescription else "")
        await close_peer(peer)
