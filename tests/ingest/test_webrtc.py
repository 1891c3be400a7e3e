"""A real WebRTC sender in the same process, over this machine's own network, sending a real clip."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.contrib.media import MediaPlayer

from realtime.errors import BadOffer
from realtime.ingest.settings import IceSettings, IngestSettings
from realtime.ingest.speech import SpeechSettings
from realtime.ingest.webrtc import WebRtcSource, answer
from tests.ingest.media_files import RememberingSink, real_clips, room, voice, write_clip

IMPATIENT = IngestSettings(peer_silent_s=1.0, connect_s=1.0)


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

    def kill(self) -> None:
        """Gone without a goodbye, as when a browser crashes: its sockets close and nothing is said."""
        for transceiver in self.peer.getTransceivers():
            for protocol in transceiver.sender.transport.transport._connection._protocols:
                protocol.transport.abort()


async def answered(offer: str, ingest: IngestSettings = IMPATIENT) -> tuple[str, WebRtcSource]:
    return await answer(offer, ingest=ingest, speech=SpeechSettings(), ice=IceSettings())


@asynccontextmanager
async def sending(clip: Path, *, audio: bool = True, video: bool = True) -> AsyncIterator[Sender]:
    """A sender whose end, like ours, leaves no task and no decoder behind."""
    before = asyncio.all_tasks()
    player = MediaPlayer(str(clip))
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    for track, wanted in ((player.audio, audio), (player.video, video)):
        if wanted:
            peer.addTrack(track)
    try:
        yield Sender(peer, player)
    finally:
        await peer.close()
        for track in (player.audio, player.video):
            track.stop()
    await asyncio.sleep(0.1)
    assert {task.get_name() for task in asyncio.all_tasks() - before} == set()
    assert [thread.name for thread in threading.enumerate() if thread.name.endswith("-decoder")] == []


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two to three seconds with a sentence in them."""
    if clips := real_clips():
        return clips[0]
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    spoken_N = np.concatenate([room(0.5), voice(1.2), room(0.6)])
    return write_clip(path, pictures_s=[index / 30 for index in range(69)], sound_N=spoken_N)


async def test_a_clip_arrives_as_frames_and_speech_and_its_sender_leaves(clip: Path, sink: RememberingSink) -> None:
    async with sending(clip) as sender:
        source = await sender.connect()
        assert (source.live, source.has_audio, source.has_video) == (True, True, True)
        running = asyncio.create_task(source.run(sink))
        await asyncio.sleep(2.4)
        await sender.peer.close()
        await asyncio.wait_for(running, 3)
    assert [round(frame.at_s, 1) for frame in sink.frames] == [0.0, 1.0, 2.0]
    assert sink.frames[0].rgb_HW3.shape[2] == 3
    (segment,) = sink.segments
    assert 0.0 < segment.start_s < 0.7
    assert 1.0 < segment.end_s - segment.start_s < 2.2
    assert sink.started[0].start_s == segment.start_s
    assert max(np.diff(sink.clock_s)) < 0.5
    assert len(sink.clock_s) >= 8
    assert sink.reasons == ["peer left"]
    assert source.n_frames > 50
    assert source.n_skipped == 0


async def test_a_sender_that_is_killed_is_noticed_within_ten_seconds(clip: Path, sink: RememberingSink) -> None:
    """When a browser is closed without a goodbye, aiortc still says `connected` half a minute later."""
    async with sending(clip) as sender:
        source = await sender.connect(IngestSettings())
        running = asyncio.create_task(source.run(sink))
        await asyncio.sleep(1.5)
        killed_s = time.monotonic()
        sender.kill()
        await asyncio.wait_for(running, 10)
    assert 5 < time.monotonic() - killed_s < 10
    assert sink.reasons == ["peer lost"]
    assert len(sink.segments) == 1, "what was being said when it was killed is not lost"


@pytest.mark.parametrize("kind", ["audio", "video"])
async def test_one_track_alone(kind: str, clip: Path, sink: RememberingSink) -> None:
    async with sending(clip, audio=kind == "audio", video=kind == "video") as sender:
        source = await sender.connect()
        assert (source.has_audio, source.has_video) == (kind == "audio", kind == "video")
        running = asyncio.create_task(source.run(sink))
        await asyncio.sleep(1.3)
        sender.kill()
        await asyncio.wait_for(running, 3)
    assert len(sink.started) == (kind == "audio")
    assert len(sink.frames) == (2 if kind == "video" else 0)
    assert sink.reasons == ["peer lost"]


async def test_a_slow_sink_is_skipped_and_the_draining_goes_on(clip: Path) -> None:
    class SlowSink(RememberingSink):
        async def frame(self, frame: object) -> None:
            n_before = source.n_frames
            await asyncio.sleep(0.8)
            drained.append(source.n_frames - n_before)

    drained: list[int] = []
    async with sending(clip) as sender:
        source = await sender.connect()
        running = asyncio.create_task(source.run(SlowSink()))
        await asyncio.sleep(1.5)
        await source.close()
        await asyncio.wait_for(running, 3)
    assert drained[0] > 15


async def test_an_offer_without_candidates(clip: Path, sink: RememberingSink) -> None:
    """Some senders (FFmpeg) name no address of their own and simply call ours."""
    async with sending(clip) as sender:
        offer = await sender.offer()
        bare = "".join(line for line in offer.splitlines(keepends=True) if "candidate" not in line)
        sdp, source = await answered(bare)
        await sender.peer.setRemoteDescription(RTCSessionDescription(sdp, "answer"))
        running = asyncio.create_task(source.run(sink))
        await asyncio.sleep(0.7)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert len(sink.frames) == 1
    assert not sink.reasons, "a source that is cancelled says nothing more"


async def test_no_path_to_the_sender(clip: Path, sink: RememberingSink) -> None:
    async with sending(clip) as sender:
        _, source = await answered(await sender.offer())
        await asyncio.wait_for(source.run(sink), 3)
    assert sink.reasons == ["no path"]


async def test_closing_twice_and_before_it_ran(clip: Path, sink: RememberingSink) -> None:
    async with sending(clip) as sender:
        _, source = await answered(await sender.offer())
        await asyncio.gather(source.close(), source.close())
        await source.close()
        await asyncio.wait_for(source.run(sink), 1)
    assert not sink.reasons


async def test_a_refused_offer_leaves_nothing_behind() -> None:
    before = asyncio.all_tasks()
    with pytest.raises(BadOffer):
        await answered("v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\n")
    assert asyncio.all_tasks() == before
