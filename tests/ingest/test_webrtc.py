"""A real WebRTC sender in the same process, over this machine's own network, sending a real clip."""

from __future__ import annotations

import asyncio
import math
import random
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import aioice
import av
import numpy as np
import pytest
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.contrib.media import MediaPlayer
from aiortc.mediastreams import MediaStreamError

from realtime.errors import BadOffer
from realtime.ingest.peers import close_peer
from realtime.ingest.settings import IceSettings, IngestSettings
from realtime.ingest.speech import SpeechSettings
from realtime.ingest.stagger import Stagger
from realtime.ingest.webrtc import PATH_LOST, WebRtcSource, answer
from realtime.records import SourceStarted, VideoFrame
from tests.ingest.datagrams import Bytes, PassedOn
from tests.ingest.media_files import Received, room, voice, write_clip
from tests.ingest.telling_track import TellingTrack
from tests.recorded import real_clips
from tests.waiting import WITHIN_S, eventually

IMPATIENT = IngestSettings(peer_silent_s=3.0, connect_s=WITHIN_S)
"A sender that is silent is soon given up, but not one on a busy machine."
ENCODED_S = 0.1
"What aiortc may take to encode and send a small picture on a busy machine."


@dataclass
class Sender:
    """Stands in for a browser: offers, and sends its clip once in real time."""

    peer: RTCPeerConnection
    player: MediaPlayer

    async def offer(self) -> str:
        await self.peer.setLocalDescription(await self.peer.createOffer())
        return self.peer.localDescription.sdp

    async def connect(self, ingest: IngestSettings = IMPATIENT) -> WebRtcSource:
        sdp, source = await answered(await self.offer(), ingest)
        await self.peer.setRemoteDescription(RTCSessionDescription(sdp, "answer"))
        return source

    def worsen(self, *, loss: float, jitter_s: float = 0.0, only_media: bool = False) -> list[BadNetwork]:
        """From now on the network loses and delays what it sends. All of it lost is a browser that crashed.

        With `only_media` it loses all checks of the path (STUN).
        """
        networks = []
        for transceiver in self.peer.getTransceivers():
            for protocol in transceiver.sender.transport.transport._connection._protocols:
                network = BadNetwork(protocol.transport, loss, jitter_s, only_media)
                protocol.transport = network
                networks.append(network)
        return networks

    async def sent(self, n_packets: int) -> None:
        """Wait until it has sent so many: checks of the path first, then the handshake, then media."""
        networks = self.worsen(loss=0.0)
        await eventually(lambda: sum(network.n_sent for network in networks) >= n_packets, f"{n_packets} packets")


class BadNetwork(PassedOn):
    """Loses and delays media by a fixed pattern."""

    def __init__(
        self, transport: asyncio.DatagramTransport, loss: float, jitter_s: float, only_media: bool = False
    ) -> None:
        super().__init__(transport)
        self._only_media = only_media
        self._loss, self._jitter_s = loss, jitter_s
        self._random = random.Random(0)
        self.n_sent = 0

    def sendto(self, data: Bytes, addr: Any = None) -> None:
        self.n_sent += 1
        # The first byte tells STUN from DTLS and media (RFC 7983).
        if self._only_media and data[0] < 4:
            return
        if self._random.random() >= self._loss:
            asyncio.get_running_loop().call_later(self._random.random() * self._jitter_s, self.deliver, data, addr)


async def answered(offer: str, ingest: IngestSettings = IMPATIENT) -> tuple[str, WebRtcSource]:
    return await answer(offer, ingest=ingest, speech=SpeechSettings(), ice=IceSettings())


def left(before: set[asyncio.Task[Any]]) -> list[str]:
    """Tasks and decoders that are still there."""
    decoders = [thread.name for thread in threading.enumerate() if thread.name.endswith("-decoder")]
    return [task.get_name() for task in asyncio.all_tasks() - before] + decoders


@asynccontextmanager
async def sending(clip: Path, *, audio: bool = True, video: bool = True) -> AsyncIterator[Sender]:
    """A sender whose end, like ours, leaves no task and no decoder behind."""
    before = asyncio.all_tasks()
    player = MediaPlayer(str(clip))
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    assert player.audio is not None
    assert player.video is not None
    tracks = (player.audio, player.video)
    for track, wanted in zip(tracks, (audio, video), strict=True):
        if wanted:
            peer.addTrack(track)
    try:
        yield Sender(peer, player)
    finally:
        await close_peer(peer)
        for track in tracks:
            track.stop()
    await eventually(lambda: not left(before), f"the end of {left(before)}")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two to three seconds with a sentence in them."""
    if clips := real_clips():
        return clips[0]
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    spoken_N = np.concatenate([room(0.5), voice(1.2), room(0.6)])
    return write_clip(path, pictures_s=[index / 30 for index in range(69)], sound_N=spoken_N)


async def test_a_clip_arrives_as_frames_and_speech_and_its_sender_leaves(clip: Path, received: Received) -> None:
    async with sending(clip) as sender:
        source = await sender.connect()
        assert (source.live, source.has_audio, source.has_video) == (True, True, True)
        running = asyncio.create_task(received.all_of(source))
        await eventually(lambda: received.segments and len(received.frames) >= 2)
        await sender.peer.close()
        await asyncio.wait_for(running, WITHIN_S)
    assert all(np.diff([math.floor(frame.at_s + 0.02) for frame in received.frames]) >= 1)
    assert received.frames[0].rgb_HW3.shape[2] == 3
    segment = received.segments[0]
    assert segment.start_s < 1.0
    assert segment.samples_N.size == pytest.approx((segment.end_s - segment.start_s) * 16_000, abs=1)
    assert received.started[0].start_s == segment.start_s
    assert len(received.clock_s) >= 6
    assert received.clock_s == sorted(received.clock_s)
    assert received.reasons == ["peer left"]
    assert source.n_frames > 40


@pytest.mark.slow
async def test_a_sender_that_is_killed_is_noticed_by_its_silence(clip: Path, received: Received) -> None:
    """When a browser is closed without a goodbye, aiortc still says `connected` half a minute later, and then ends for
    another reason: `PATH_LOST`."""
    async with sending(clip) as sender:
        source = await sender.connect(IngestSettings())
        running = asyncio.create_task(received.all_of(source))
        await eventually(lambda: received.started)
        sender.worsen(loss=1.0)
        await asyncio.wait_for(running, WITHIN_S)
    assert received.reasons == ["peer lost: nothing came for 6 s"]
    assert len(received.segments) == 1, "what was being said when it was killed is not lost"


async def test_a_sender_whose_path_stops_answering_is_lost_and_has_not_left(
    tmp_path: Path, received: Received, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On an overloaded machine consent to send ran out while the page was open and sending, and it was told as left."""
    monkeypatch.setattr(aioice.ice, "CONSENT_INTERVAL", 0.1)
    monkeypatch.setattr(aioice.ice, "CONSENT_FAILURES", 2)
    # Longer than the half second that each unanswered check takes.
    clip = write_clip(tmp_path / "clip.mp4", pictures_s=[index / 30 for index in range(600)], sound_N=room(20.0))
    async with sending(clip) as sender:
        source = await sender.connect(IngestSettings())
        # A busy loop comes late: then the tracks have ended and the connection is closed already.
        source._peer.remove_all_listeners("connectionstatechange")
        running = asyncio.create_task(received.all_of(source))
        await eventually(lambda: received.frames)
        sender.worsen(loss=0.0, only_media=True)
        await asyncio.wait_for(running, WITHIN_S)
    assert received.reasons == [PATH_LOST]


@pytest.mark.slow
async def test_a_bad_network_loses_frames_but_not_the_thread(tmp_path: Path, received: Received) -> None:
    """Five packets in a hundred lost and up to 100 ms of jitter: what arrives keeps its time."""
    # Longer than a clip: a network this bad may lose the first key frames whole, and the next come when asked for.
    spoken_N = np.concatenate([room(0.5), voice(1.2), room(0.6)] * 8)
    pictures_s = [index / 30 for index in range(round(30 * spoken_N.size / 16_000))]
    clip = write_clip(tmp_path / "clip.mp4", pictures_s=pictures_s, sound_N=spoken_N)
    async with sending(clip) as sender:
        source = await sender.connect()
        sender.worsen(loss=0.05, jitter_s=0.1)
        running = asyncio.create_task(received.all_of(source))
        await eventually(lambda: received.started and len(received.frames) >= 2)
        sender.worsen(loss=1.0)
        await asyncio.wait_for(running, WITHIN_S)
    assert all(np.diff([frame.at_s for frame in received.frames]) > 0.5)
    assert received.segments
    assert all(clock.n_rebased == 0 for clock in source.clocks.values())


@pytest.mark.parametrize("kind", ["audio", "video"])
async def test_one_track_alone(kind: str, clip: Path, received: Received) -> None:
    async with sending(clip, audio=kind == "audio", video=kind == "video") as sender:
        source = await sender.connect(replace(IMPATIENT, peer_silent_s=1.5))
        assert (source.has_audio, source.has_video) == (kind == "audio", kind == "video")
        running = asyncio.create_task(received.all_of(source))
        await eventually(lambda: received.started or len(received.frames) == 2)
        sender.worsen(loss=1.0)
        await asyncio.wait_for(running, WITHIN_S)
    assert bool(received.started) == (kind == "audio")
    assert bool(received.frames) == (kind == "video")
    assert received.reasons == ["peer lost: nothing came for 1.5 s"]


async def test_the_wall_clock_of_media_second_0_is_that_of_capture() -> None:
    """By it, a picture's media time is when the picture was taken, within the error that is told.

    A busy machine brings pictures later than anybody can foresee. Then it is within the longest that one took.
    """
    peer, track = RTCPeerConnection(RTCConfiguration(iceServers=[])), TellingTrack()
    peer.addTrack(track)
    await peer.setLocalDescription(await peer.createOffer())
    sdp, source = await answered(peer.localDescription.sdp)
    await peer.setRemoteDescription(RTCSessionDescription(sdp, "answer"))
    seen: list[object] = []
    frames: list[tuple[VideoFrame, float]] = []
    async with asyncio.timeout(WITHIN_S):
        async for item in source.items():
            seen.append(item)
            if isinstance(item, VideoFrame):
                frames.append((item, time.time()))
            if len(frames) == 2:
                break
    await source.close()
    await close_peer(peer)
    started = seen[0]
    assert isinstance(started, SourceStarted)
    taken_s = [track.taken_s[round(float(frame.rgb_HW3.mean()) / 3)] for frame, _ in frames]
    longest_s = max(received_s - its_s for (_, received_s), its_s in zip(frames, taken_s, strict=True))
    for (frame, _), its_s in zip(frames, taken_s, strict=True):
        assert -started.error_s < started.unix_s + frame.at_s - its_s < max(started.error_s, longest_s)


async def test_a_senders_reports_tell_when_media_second_0_was() -> None:
    """They tell when a picture was sent. What the network may take is no part of it."""
    peer, track = RTCPeerConnection(RTCConfiguration(iceServers=[])), TellingTrack()
    peer.addTrack(track)
    await peer.setLocalDescription(await peer.createOffer())
    sdp, source = await answered(peer.localDescription.sdp)
    await peer.setRemoteDescription(RTCSessionDescription(sdp, "answer"))
    starts: list[SourceStarted] = []
    off_s: list[float] = []
    async with asyncio.timeout(WITHIN_S):
        async for item in source.items():
            match item:
                case SourceStarted():
                    starts.append(item)
                case VideoFrame() if len(starts) > 1:
                    newest = len(track.taken_s) - 1
                    number = newest - (newest - round(float(item.rgb_HW3.mean()) / 3)) % 80
                    off_s.append(starts[-1].unix_s + item.at_s - track.taken_s[number])
                    break
    await source.close()
    await close_peer(peer)
    assert [start.by_sender for start in starts[:2]] == [False, True]
    # aiortc pairs the time of sending with the stamp of capture: what its encoder took lies between.
    assert -starts[1].error_s < off_s[0] < starts[1].error_s + ENCODED_S


async def test_a_slow_consumer_is_skipped_and_the_draining_goes_on(clip: Path) -> None:
    def drained_to(n_frames: int) -> bool:
        return source.n_frames >= n_frames

    async def take_slowly() -> None:
        async for item in source.items():
            if isinstance(item, VideoFrame):
                await eventually(partial(drained_to, source.n_frames + 10), "ten more pictures")
                drained.set()

    drained = asyncio.Event()
    async with sending(clip) as sender:
        source = await sender.connect(IngestSettings())
        running = asyncio.create_task(take_slowly())
        await asyncio.wait_for(drained.wait(), 2 * WITHIN_S)
        await source.close()
        await asyncio.wait_for(running, WITHIN_S)


async def test_an_offer_without_candidates(clip: Path, received: Received) -> None:
    """Some senders (FFmpeg) name no address of their own and simply call ours."""
    async with sending(clip) as sender:
        offer = await sender.offer()
        bare = "".join(line for line in offer.splitlines(keepends=True) if "candidate" not in line)
        sdp, source = await answered(bare)
        await sender.peer.setRemoteDescription(RTCSessionDescription(sdp, "answer"))
        running = asyncio.create_task(received.all_of(source))
        await eventually(lambda: received.frames)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert not received.reasons, "a source that is cancelled says nothing more"


async def test_no_path_to_the_sender(clip: Path, received: Received) -> None:
    async with sending(clip) as sender:
        _, source = await answered(await sender.offer(), IngestSettings(connect_s=1.0))
        await asyncio.wait_for(received.all_of(source), WITHIN_S)
    assert received.reasons == ["no path"]


async def test_closing_twice_and_before_it_ran(clip: Path, received: Received) -> None:
    async with sending(clip) as sender:
        _, source = await answered(await sender.offer())
        await asyncio.gather(source.close(), source.close())
        await source.close()
        await asyncio.wait_for(received.all_of(source), WITHIN_S)
    assert not received.reasons


async def test_leaving_at_any_moment_of_the_connecting_leaves_nothing_behind(clip: Path, received: Received) -> None:
    """About one in forty of these left a task of aioice behind for ever: it began just after it had been ended."""
    for n_packets in (0, 1, 2, 3, 5, 8, 12, 20):
        async with sending(clip) as sender:
            source = await sender.connect()
            await sender.sent(n_packets)
            await source.close()


async def test_a_refused_offer_leaves_nothing_behind() -> None:
    before = asyncio.all_tasks()
    with pytest.raises(BadOffer):
        await answered("v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\n")
    assert asyncio.all_tasks() == before


class Pictures(MediaStreamTrack):
    """A camera that sends two seconds at once."""

    kind = "video"
    n_sent = 0

    async def recv(self) -> av.VideoFrame:
        if self.n_sent == 20:
            raise MediaStreamError
        frame = av.VideoFrame(64, 48, "yuv420p")
        frame.pts, frame.time_base = self.n_sent, Fraction(1, 10)
        self.n_sent += 1
        await asyncio.sleep(0)
        return frame


async def test_frames_of_those_who_come_together_are_not_sampled_together(received: Received) -> None:
    stagger = Stagger(1.0)
    stagger.join("somebody", zero_s=100.0)
    source = WebRtcSource(
        RTCPeerConnection(RTCConfiguration(iceServers=[])),
        {"video": Pictures()},
        IMPATIENT,
        SpeechSettings(),
        now_s=lambda: 100.0,
        stagger=stagger,
    )
    await received.all_of(source)
    assert [frame.at_s for frame in received.frames] == pytest.approx([0.0, 0.5, 1.5])
    assert set(stagger._moments_s) == {"somebody"}
