"""A WebRTC peer that sends its camera and microphone: answers the WHIP offer and receives the tracks.

    track ─► drain (every frame, at full rate) ─► sampler, or resampler and speech cutter ─► outbox ─► items

Draining starts with the answer and never waits for the consumer: aiortc's own queues have no bound, so a track that
nobody drains becomes memory and then lag. Items wait for the consumer in the outbox (`outbox.py`).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import suppress
from functools import partial
from typing import Any

import av
from aiortc import (
    MediaStreamTrack,
    RTCIceTransport,
    RTCPeerConnection,
    RTCSessionDescription,
)
from aiortc.exceptions import InvalidStateError, OperationError
from aiortc.mediastreams import MediaStreamError

from realtime.errors import DTLS_HINT, BadOffer
from realtime.ingest.clock import ArrivalClock
from realtime.ingest.convert import to_rgb
from realtime.ingest.data_channel import ClosedDataChannel
from realtime.ingest.dtls import DtlsCertificate
from realtime.ingest.mono import MonoResampler
from realtime.ingest.order import TICK_S
from realtime.ingest.outbox import OUTBOX_ITEMS, Outbox, RawFrame
from realtime.ingest.peers import UnusedSections, close_peer, make_peer
from realtime.ingest.sampler import FrameSampler
from realtime.ingest.sdp import narrow
from realtime.ingest.sender_reports import Alignment, SendersStart, listen
from realtime.ingest.settings import IceSettings, IngestSettings
from realtime.ingest.speech import SpeechCutter, SpeechSettings
from realtime.ingest.stagger import Stagger
from realtime.records import (
    ClockTick,
    CueFrame,
    Item,
    SourceEnded,
    SourceStarted,
    VideoFrame,
)

logger = logging.getLogger(__name__)

CHECK_S = 0.25
"Seconds between two checks whether the peer is still there."
CLOSE_S = 3.0
"Seconds that closing a connection may take."
DELAY_S = 0.15
"""Seconds, about, from a moment to its decoded picture or sound: encoding, the network, the jitter buffer. On one
machine it was 0.04–0.08 s (`tests/ingest/test_webrtc.py`); a relay or a mobile network adds tenths."""

PEER_LEFT = "peer left"
"The sender closed the connection."
PATH_LOST = "peer lost: its network path stopped answering"
"Consent to send ran out (RFC 7675): the sender answered no check of the path for half a minute. It may still be there."
NO_PATH, NO_DTLS, NO_MEDIA = "no path", "DTLS failed", "no media"


async def answer(
    offer_sdp: str, *, ingest: IngestSettings, speech: SpeechSettings, ice: IceSettings, stagger: Stagger | None = None
) -> tuple[str, WebRtcSource]:
    """The answer to a WHIP offer, candidates included, and the source of the peer's media.

    All sources of a server share one `stagger`, so that their frames are not all sampled at the same moment.

    Raises BadOffer (or NoMediaOffered) after freeing everything. The caller iterates the source, or `close`s it.
    """
    offer = narrow(offer_sdp)
    certificate, others = DtlsCertificate.generateCertificate(), UnusedSections()
    peer = make_peer(ice, certificate)
    source: WebRtcSource | None = None
    try:
        await peer.setRemoteDescription(RTCSessionDescription(offer.sdp, "offer"))
        tracks = {receiver.track.kind: receiver.track for receiver in peer.getReceivers()}
        if offer.has_data_channel:
            for transport in {receiver.transport for receiver in peer.getReceivers()}:
                ClosedDataChannel(transport)
        source = WebRtcSource(
            peer, tracks, ingest, speech, offer.candidate_kinds, others, stagger=stagger, certificate=certificate
        )
        # This gathers all candidates first, because WHIP clients need no trickle ICE.
        await peer.setLocalDescription(await peer.createAnswer())
        alone = await others.answer(offer, ice)
    except BaseException as error:
        await (source.close() if source else close_peer(peer))
        await others.close()
        if isinstance(error, ValueError | OperationError | InvalidStateError):
            raise BadOffer(f"The offer cannot be answered: {error}.", "Send the offer of a WebRTC sender.") from error
        raise
    return offer.widen(peer.localDescription.sdp, alone), source


class WebRtcSource:
    """The media of one peer, from the answer to its last packet."""

    live = True

    def __init__(
        self,
        peer: RTCPeerConnection,
        tracks: dict[str, MediaStreamTrack],
        ingest: IngestSettings,
        speech: SpeechSettings,
        offered: str = "",
        unused: UnusedSections | None = None,
        now_s: Callable[[], float] = time.monotonic,
        stagger: Stagger | None = None,
        certificate: DtlsCertificate | None = None,
        unix_s: Callable[[], float] = time.time,
    ) -> None:
        self._peer = peer
        self._unused = unused
        self._certificate = certificate
        self._stagger = stagger or Stagger()
        self._ingest = ingest
        self._now_s = now_s
        self._answered_s = now_s()
        self._first_s: float | None = None
        "Wall time of the first frame of either track: media time 0."
        self._unix_s = unix_s
        self._started: SourceStarted | None = None
        self._heard_from_s = self._answered_s
        self._reached_s = 0.0
        self._cutter = SpeechCutter(speech)
        self._outbox = Outbox(OUTBOX_ITEMS)
        self.clocks = {kind: ArrivalClock() for kind in tracks}
        "The media clock of each track."
        reports = listen(peer.getReceivers())
        self.alignment = Alignment(self.clocks, reports)
        "Of pictures beside sound, by the sender's own clock."
        self._senders_start = SendersStart(self.clocks, reports, self.alignment)
        self.n_frames = 0
        "Pictures decoded, sampled or not."
        self._offered = offered
        "How many addresses of which kind the offer has, for the log; never the addresses."
        self._closing: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        # At once, not at the next look: FFmpeg takes its session back as soon as the handshake has failed.
        peer.add_listener("connectionstatechange", self._changed.set)
        self._path_failed = False
        for ice in {receiver.transport.transport for receiver in peer.getReceivers()}:
            ice.add_listener("statechange", partial(self._path_changed, ice))
        self._life = asyncio.create_task(self._live(tracks), name="webrtc peer")

    @property
    def has_video(self) -> bool:
        return "video" in self.clocks

    @property
    def has_audio(self) -> bool:
        return "audio" in self.clocks

    @property
    def silent_s(self) -> float:
        return self._cutter.silent_s

    @property
    def n_skipped(self) -> int:
        "Items dropped for newer ones because the consumer was slow."
        return self._outbox.n_skipped

    async def items(self) -> AsyncGenerator[Item, None]:
        """What the peer sends, until it leaves or is lost. Everything is freed when the iterator ends or is closed."""
        try:
            started = False
            async for item in self._outbox:
                if not started and self._started is not None:
                    started = True
                    yield self._started
                if isinstance(item, RawFrame):
                    # Milliseconds of arithmetic; the loop goes on draining meanwhile.
                    rgb_HW3 = await asyncio.to_thread(to_rgb, item.frame)
                    yield CueFrame(item.at_s, rgb_HW3) if item.only_measured else VideoFrame(item.at_s, rgb_HW3)
                else:
                    yield item
            if self._closing is None:
                yield SourceEnded(await self._life)
        finally:
            await self.close()

    async def close(self) -> None:
        """Free the connection and end every task. It may be called at any time, and more than once."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._close(), name="webrtc close")
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        self._life.cancel()
        await asyncio.wait([self._life])
        self._stagger.leave(self)
        try:
            async with asyncio.timeout(CLOSE_S):
                await close_peer(self._peer)
                if self._unused is not None:
                    await self._unused.close()
        except TimeoutError:
            logger.warning("the peer connection did not close within %.0f s", CLOSE_S)
        logger.info(
            "peer closed after %.1f s of media, %d pictures decoded, moved %+.2f s beside the sound, %d items dropped",
            self._reached_s,
            self.n_frames,
            self.alignment.shift_s,
            self.n_skipped,
        )

    async def _live(self, tracks: dict[str, MediaStreamTrack]) -> str:
        """Receive the tracks until the peer is gone, and return why it ended."""
        drain = {"audio": self._drain_audio, "video": self._drain_video}
        drains = [asyncio.create_task(drain[kind](track), name=f"webrtc {kind}") for kind, track in tracks.items()]
        try:
            reason = await self._until_over(drains)
            if reason == NO_PATH:
                logger.warning(
                    "no network path to a peer within %.0f s (it offered %s); set turn_url and turn_secret under "
                    "[ice], and public_address where a router stands in front of this server",
                    self._now_s() - self._answered_s,
                    self._offered or "no address",
                )
            elif reason == NO_DTLS:
                logger.warning(
                    "DTLS failed with a peer (%s). %s",
                    (self._certificate and self._certificate.trouble) or "it did not finish the handshake",
                    DTLS_HINT,
                )
            return reason
        finally:
            for task in drains:
                task.cancel()
            await asyncio.wait(drains)
            for segment in self._cutter.flush():
                self._outbox.put(segment)
            self._outbox.close()

    async def _until_over(self, drains: list[asyncio.Task[None]]) -> str:
        while True:
            self._changed.clear()
            # Not wait_for: Python 3.11's loses a cancellation that comes together with the change.
            with suppress(TimeoutError):
                async with asyncio.timeout(CHECK_S):
                    await self._changed.wait()
            for drain in drains:
                if drain.done():
                    drain.result()
            if self._path_failed or self._peer.connectionState == "failed":
                return self._unconnected() if self._first_s is None else PATH_LOST
            if all(drain.done() for drain in drains) or self._peer.connectionState == "closed":
                return PEER_LEFT
            silent_s = self._now_s() - self._heard_from_s
            if self._first_s is None and silent_s > self._ingest.connect_s:
                return NO_MEDIA if self._peer.connectionState == "connected" else self._unconnected()
            # The connection's state stays "connected" for half a minute after a browser was killed.
            if self._first_s is not None and silent_s > self._ingest.peer_silent_s:
                return f"peer lost: nothing came for {self._ingest.peer_silent_s:g} s"

    def _path_changed(self, ice: RTCIceTransport) -> None:
        """Note that consent to send ran out. Right after it aiortc closes the connection, as if the sender had."""
        if ice.state == "failed":
            self._path_failed = True
            self._changed.set()

    def _unconnected(self) -> str:
        """Why there is no connection: where packets pass, the handshake is what failed."""
        transports = [receiver.transport.transport for receiver in self._peer.getReceivers()]
        return NO_DTLS if any(transport.state == "completed" for transport in transports) else NO_PATH

    async def _drain_video(self, track: MediaStreamTrack) -> None:
        sampler: FrameSampler | None = None
        async for frame, stamp_s in _frames(track):
            self.n_frames += 1
            arrived_s = self._place(stamp_s, "video")
            at_s = self.alignment.place(arrived_s)
            if sampler is None:
                phase_s = self._stagger.join(self, zero_s=self._now_s() - at_s)
                sampler = FrameSampler(self._ingest.cue_fps, phase_s=phase_s)
            wanted = sampler.wants(at_s)
            if wanted is not None:
                self._outbox.put(RawFrame(at_s, frame, only_measured=wanted == "measured"))
            # The clock of windows goes on with arrival, as that of the sound does.
            self._tick(arrived_s)

    async def _drain_audio(self, track: MediaStreamTrack) -> None:
        resampler = MonoResampler(live=True)
        async for frame, stamp_s in _frames(track):
            for chunk in resampler.push(frame, start_s=self._place(stamp_s, "audio")):
                for speech in self._cutter.push(chunk):
                    self._outbox.put(speech)
            for state in resampler.noticed():
                self._outbox.put(state)
            self._tick(self._cutter.heard_s)

    def _place(self, stamp_s: float, kind: str) -> float:
        """The media time of a frame that arrives now, on the clock that both tracks share."""
        now_s = self._now_s()
        self._heard_from_s = now_s
        if self._first_s is None:
            self._first_s = now_s
            # Capture lies before arrival, by an unknown part of twice this delay.
            self._started = SourceStarted(self._unix_s() - DELAY_S, DELAY_S)
        return self.clocks[kind].place(stamp_s, arrived_s=now_s - self._first_s)

    def _tick(self, at_s: float) -> None:
        if self._started is not None and (started := self._senders_start.news(self._started)) is not None:
            self._outbox.put(started)
        if at_s // TICK_S > self._reached_s // TICK_S:
            self._outbox.put(ClockTick(at_s))
        self._reached_s = max(at_s, self._reached_s)


async def _frames(track: MediaStreamTrack) -> AsyncIterator[tuple[Any, float]]:
    """Decoded frames with the sender's stamps in seconds, until the track ends."""
    with suppress(MediaStreamError):
        while True:
            frame = await track.recv()
            if isinstance(frame, av.VideoFrame | av.AudioFrame) and frame.time is not None:
                yield frame, frame.time
