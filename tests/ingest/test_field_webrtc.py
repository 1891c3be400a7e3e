"""Senders and offers that people met in the field and that went wrong once: each test is named after what was seen."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from aiortc import (
    MediaStreamTrack,
    RTCBundlePolicy,
    RTCConfiguration,
    RTCPeerConnection,
    RTCRtpSender,
    RTCSessionDescription,
)
from aiortc.mediastreams import AudioStreamTrack, VideoStreamTrack
from aiortc.sdp import SessionDescription
from av.video.stream import VideoStream

from realtime.ingest.peers import close_peer
from realtime.ingest.webrtc import WebRtcSource
from realtime.settings import ServerSettings, Settings
from tests.serve.live_server import SDP, Running, serving, until
from tests.waiting import WITHIN_S, eventually

MUXER = pytest.mark.skipif("whip" not in av.formats_available, reason="this PyAV has no WHIP muxer")


@asynccontextmanager
async def ffmpeg(
    running: Running, query: str = "", *, profile: str = "baseline", **options: object
) -> AsyncIterator[None]:
    """FFmpeg's WHIP muxer, sending to the server."""
    url = f"http://127.0.0.1:{running.port}/whip{query}"
    given = [f"{name}={value}" for name, value in options.items()]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.senders.ffmpeg_muxer", url, "60", profile, *given, stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def opened(running: Running) -> str:
    """The path of the session that a sender of its own opened, readable by the test."""
    await eventually(lambda: running.live.sessions.open, "the session")
    session = running.live.sessions.open[0]
    running.http.headers["Authorization"] = f"Bearer {running.live._access.openers[session].secret}"
    return f"/sessions/{session.id}"


@pytest.fixture(scope="module", params=["ec", pytest.param("rsa", marks=pytest.mark.slow)])
def certificate(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A certificate as the command in the hint makes it, or with an RSA key."""
    folder = tmp_path_factory.mktemp("certificate")
    kind = {"ec": ["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"], "rsa": ["rsa:2048"]}[request.param]
    files = {"cert_file": folder / "cert.pem", "key_file": folder / "key.pem"}
    made = ["openssl", "req", "-x509", "-newkey", *kind, "-nodes", "-subj", "/CN=sender"]
    subprocess.run([*made, "-keyout", files["key_file"], "-out", files["cert_file"]], check=True, capture_output=True)
    return files


@pytest.mark.slow
@MUXER
@pytest.mark.parametrize("role", ["", "dtls_active"])
async def test_ffmpegs_muxer_sends_with_a_certificate_it_was_given(certificate: dict[str, Path], role: str) -> None:
    """Field report 8. Before, one with an RSA key failed as well.

    Its session's secret stays with it: whoever runs the server reads the session by its name, with another key.
    """
    options = certificate | {"authorization": "the-token"} | ({"whip_flags": role} if role else {})
    settings = Settings(server=ServerSettings(token="the-token", operator_token="the-operators-own-key"))
    async with serving(settings) as running, ffmpeg(running, "?name=study-7", profile="high", **options):
        running.http.headers["Authorization"] = "Bearer the-operators-own-key"
        await eventually(lambda: running.live.sessions.open, "the session")
        (listed,) = (await running.http.get("/sessions")).json()["sessions"]
        assert listed["name"] == "study-7"
        async with running.events("/sessions/study-7") as socket:
            wanted = {"frame", "end"}
            while wanted:
                event = (await until(socket, "frame", "speech"))[-1]
                wanted -= {event.get("state", event["type"])}


@pytest.mark.slow
@MUXER
async def test_ffmpegs_muxer_with_its_own_certificate_works_or_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Field report 8: DTLS failed and nobody said why.

    Built with GnuTLS, FFmpeg makes a key on secp224r1, which OpenSSL 4 takes no longer; built with OpenSSL it works.
    """
    async with serving() as running, ffmpeg(running):
        path = await opened(running)
        async with running.events(path) as socket:
            event = (await until(socket, "frame", "error"))[-1]
    if event["type"] == "error":
        assert event["code"] == "dtls_failed"
        assert "openssl req -x509 -newkey ec" in event["hint"]
        (said,) = [record.getMessage() for record in caplog.records if "DTLS failed" in record.getMessage()]
        assert "secp224r1" in said
        assert "-cert_file" in said


class H264(MediaStreamTrack):
    """H.264 as OBS and x264 make it, ready to be sent: aiortc's sender packs it without asking for its profile."""

    kind = "video"

    def __init__(self, profile: str, pixels: str) -> None:
        super().__init__()
        self._encoder = av.CodecContext.create("libx264", "w")
        self._encoder.width, self._encoder.height, self._encoder.pix_fmt = 320, 240, pixels
        self._encoder.time_base = Fraction(1, 15)
        self._encoder.options = {"profile": profile, "tune": "zerolatency", "preset": "fast", "g": "5"}
        self._n = 0

    async def recv(self) -> av.Packet[VideoStream]:
        await asyncio.sleep(1 / 15)  # The pace of a camera, by which the receiver's jitter buffer goes.
        picture = av.VideoFrame.from_ndarray(np.full((240, 320, 3), self._n % 200 + 30, np.uint8))
        picture.pts, picture.time_base = self._n, Fraction(1, 15)
        self._n += 1
        return self._encoder.encode(picture)[0]


@pytest.mark.parametrize(
    ("profile", "pixels", "fmtp"),
    [
        ("high", "yuv420p", "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=640c1f"),
        ("main", "yuv420p", "profile-level-id=4d001f;packetization-mode=0"),
        ("high10", "yuv420p10le", "profile-level-id=6E001F; packetization-mode=1"),
        ("baseline", "yuv420p", "profile-level-id=42001f"),
        ("high", "yuv420p", ""),
    ],
)
async def test_h264_of_other_profiles_and_without_fmtp_is_decoded(profile: str, pixels: str, fmtp: str) -> None:
    """Field report 9: refused, or no frame was decoded."""
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    transceiver = peer.addTransceiver(H264(profile, pixels), direction="sendonly")
    known = RTCRtpSender.getCapabilities("video").codecs
    transceiver.setCodecPreferences([codec for codec in known if codec.parameters.get("profile-level-id") == "42e01f"])
    await peer.setLocalDescription(await peer.createOffer())
    own = next(line for line in peer.localDescription.sdp.splitlines() if line.startswith("a=fmtp:"))
    payload = own.removeprefix("a=fmtp:").split(" ")[0]
    offered = f"a=fmtp:{payload} {fmtp}" if fmtp else ""
    offer = peer.localDescription.sdp.replace(f"{own}\r\n", f"{offered}\r\n" if offered else "")
    async with serving() as running:
        try:
            reply = await running.http.post("/whip", content=offer, headers=SDP)
            assert [line for line in reply.text.splitlines() if line.startswith("a=fmtp:")] == [offered] * bool(offered)
            # What aiortc itself has to find in it, for it knows two profiles alone.
            answer = reply.text.replace(f"{offered}\r\n", "") if offered else reply.text
            answer = answer.replace("a=rtcp-mux\r\n", f"a=rtcp-mux\r\n{own}\r\n", 1)
            await peer.setRemoteDescription(RTCSessionDescription(answer, "answer"))
            async with running.events(await opened(running)) as socket:
                await until(socket, "frame")
        finally:
            await close_peer(peer)


@pytest.mark.parametrize(
    ("extra", "expects"),
    [
        ("data channel", ["audio", "video", "application"]),
        ("second camera", ["audio", "video", "video inactive"]),
        ("receives first", ["video inactive", "audio", "video"]),
    ],
)
async def test_an_offer_with_more_than_we_take_is_answered_so_that_aiortc_sends(extra: str, expects: list[str]) -> None:
    """Field report 10: aiortc refused the answer, or waited for a section that was refused and never was connected."""
    async with serving() as running:
        peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        if extra == "receives first":
            peer.addTransceiver("video", direction="recvonly")
        peer.addTrack(AudioStreamTrack())
        peer.addTransceiver(VideoStreamTrack(), direction="sendonly")
        if extra == "second camera":
            peer.addTrack(VideoStreamTrack())
        channel = peer.createDataChannel("chat") if extra == "data channel" else None
        try:
            path = await running.whip(peer)
            media = SessionDescription.parse(peer.remoteDescription.sdp).media
            assert [
                f"{one.kind} 0"
                if one.port == 0
                else f"{one.kind} inactive"
                if one.direction == "inactive"
                else one.kind
                for one in media
            ] == expects
            async with running.events(path) as socket:
                await until(socket, "frame")
            async with asyncio.timeout(WITHIN_S):
                while peer.connectionState != "connected":
                    await asyncio.sleep(0.05)
                # Nothing is read from it, so it does not stay open.
                while channel is not None and channel.readyState != "closed":
                    await asyncio.sleep(0.05)
        finally:
            await close_peer(peer)


@pytest.mark.parametrize("extra", ["nothing", "second camera", "data channel", "receives first"])
async def test_an_offer_whose_sections_have_transports_of_their_own_connects(extra: str) -> None:
    """Field report: without a bundle, aiortc stayed `connecting` on what we had refused, and sent nothing at all where
    that came first."""
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_COMPAT))
    if extra == "receives first":
        peer.addTransceiver("video", direction="recvonly")
    peer.addTrack(AudioStreamTrack())
    peer.addTransceiver(VideoStreamTrack(), direction="sendonly")
    if extra == "second camera":
        peer.addTrack(VideoStreamTrack())
    channel = peer.createDataChannel("chat") if extra == "data channel" else None
    await peer.setLocalDescription(await peer.createOffer())
    offer = re.sub(r"a=group:BUNDLE[^\r]*\r\n", "", peer.localDescription.sdp)
    async with serving() as running:
        try:
            reply = await running.http.post("/whip", content=offer, headers=SDP)
            ports = [int(line.split(" ")[1]) for line in reply.text.splitlines() if line.startswith("m=")]
            assert len(set(ports)) == len(ports)
            assert 0 not in ports
            assert "BUNDLE" not in reply.text
            await peer.setRemoteDescription(RTCSessionDescription(reply.text, "answer"))
            async with running.events(await opened(running)) as socket:
                await until(socket, "frame")
            await eventually(lambda: peer.connectionState == "connected", "the connection")
            await eventually(lambda: channel is None or channel.readyState == "closed", "the channel's end")
            source = running.live.sessions.open[0]._source
            assert isinstance(source, WebRtcSource)
            assert source._unused is not None
        finally:
            await close_peer(peer)
        await eventually(lambda: not running.live.sessions.open, "the session's end")
        assert [unused.connectionState for unused in source._unused._peers] == ["closed"] * (extra != "nothing")


class CountedSilence(AudioStreamTrack):
    """aiortc's silence, and how much of it was sent."""

    sent_s = 0.0

    async def recv(self) -> av.AudioFrame:
        frame = await super().recv()
        assert isinstance(frame, av.AudioFrame)
        self.sent_s += frame.samples / frame.sample_rate
        return frame


async def test_a_call_in_pcmu_without_rtpmap_is_heard_at_our_rate() -> None:
    """Field report 22: static payload types need no rtpmap (RFC 3551), and 8 kHz become our 16 kHz."""
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    silence = CountedSilence()
    transceiver = peer.addTransceiver(silence, direction="sendonly")
    known = RTCRtpSender.getCapabilities("audio").codecs
    transceiver.setCodecPreferences([codec for codec in known if codec.mimeType == "audio/PCMU"])
    await peer.setLocalDescription(await peer.createOffer())
    offer = peer.localDescription.sdp.replace("a=rtpmap:0 PCMU/8000\r\n", "")
    assert "rtpmap" not in offer
    async with serving() as running:
        try:
            reply = await running.http.post("/whip", content=offer, headers=SDP)
            assert "a=rtpmap:0 PCMU/8000" in reply.text
            await peer.setRemoteDescription(RTCSessionDescription(reply.text, "answer"))
            await opened(running)
            session = running.live.sessions.open[0]
            await eventually(lambda: session.at_s >= 2.0, "two seconds of media")
            # Sound of n seconds is n seconds of media, however it was sampled.
            assert session.at_s < silence.sent_s + 0.5
        finally:
            await close_peer(peer)
