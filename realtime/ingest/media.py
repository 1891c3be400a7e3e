"""Recordings and RTSP cameras, read with PyAV: both tracks on one media clock, given in media-time order.

Decoding runs in one worker thread. The task that iterates pulls a quarter of a media second at a time, so a slow
consumer makes the reading wait, and no more than that quarter second is held.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import threading
from collections.abc import AsyncGenerator, Iterator
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any, Self

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from realtime.errors import NotMedia
from realtime.ingest import tracks
from realtime.ingest.clock import Timeline
from realtime.ingest.convert import to_rgb
from realtime.ingest.files import CONVERT_HINT, file_url, is_pipe, open_options, refuse_unfinished, why_unreadable
from realtime.ingest.mono import MonoResampler
from realtime.ingest.order import Interleaver
from realtime.ingest.sampler import FrameSampler
from realtime.ingest.settings import IngestSettings
from realtime.ingest.speech import SpeechCutter, SpeechSettings
from realtime.records import AudioChunk, ClockTick, CueFrame, InputState, Item, SourceEnded, VideoFrame

logger = logging.getLogger(__name__)

RTSP = ("rtsp://", "rtsps://")
OPEN_TIMEOUT_S = 10.0
SKEW_S, LIVE_SKEW_S = 2.0, 0.3
"How far one track may run ahead of the other while the order stays exact."
# FFmpeg takes text files of some endings for terminal art, which would then be "watched".
TEXT_FORMATS = frozenset({"tty", "bin", "xbin", "idf", "adf"})


class MediaSource:
    """One recording or camera. `open` it, then iterate it once, with `items` or `read`."""

    def __init__(
        self,
        container: InputContainer,
        url: str,
        ingest: IngestSettings,
        speech: SpeechSettings,
        *,
        alone: bool = True,
    ) -> None:
        """As `open`."""
        self.live = url.startswith(RTSP)
        self._container = container
        self._video = tracks.choose_video(container)
        if self._video is not None and not alone:
            self._video.codec_context.thread_count = 1
        once = self.live or is_pipe(Path(url))
        audio = tracks.choose_audio(container, None if once else file_url(url))
        self._streams = [stream for stream in (self._video, audio) if stream is not None]
        self.has_video, self.has_audio = self._video is not None, audio is not None
        taken = (("video", self._video, tracks.video_tracks(container)), ("audio", audio, container.streams.audio))
        self._choices = [
            state
            for kind, track, there in taken
            if track is not None
            for state in tracks.describe_choice(kind, there, track.index, live=self.live)
        ]
        self._cue_fps = ingest.cue_fps
        self._cutter = SpeechCutter(speech)
        self._items: Iterator[Item] = self._in_order()
        self._stopping = threading.Event()
        self._reason = "end of file"
        self._last_stamp_s = 0.0
        "The latest stamp that was read, as the file has it: its clock may not begin at 0, and may leap."
        self.n_frames = 0
        "Pictures decoded, sampled or not."
        self.n_damaged = 0
        "Packets skipped because they did not decode."

    @classmethod
    def open(cls, url: str, *, ingest: IngestSettings, speech: SpeechSettings, alone: bool = True) -> Self:
        """Open a file or an `rtsp://` address, and read until something decodes. Blocks. Raises NotMedia.

        Where others are read beside it (not `alone`), pictures are decoded in one thread, as more would only cost time.
        """
        container = _open_container(url, ingest)
        try:
            source = cls(container, url, ingest, speech, alone=alone)
            first = next(source._items, None) if source._streams else None
            if first is None and not source.live and (told := why_unreadable(Path(url))) is not None:
                raise told
            if first is None:
                raise NotMedia(f"{_name(url)} holds no picture and no sound that can be decoded.", CONVERT_HINT)
        except BaseException:
            container.close()
            raise
        source._items = itertools.chain([first], source._items)
        return source

    @property
    def silent_s(self) -> float:
        return self._cutter.silent_s

    async def items(self) -> AsyncGenerator[Item, None]:
        """Every item, read in a worker thread as fast as the items are taken; frees the file however it ends."""
        loop = asyncio.get_running_loop()
        worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="media")
        try:
            while batch := await loop.run_in_executor(worker, self._next_batch):
                for item in batch:
                    yield item
        finally:
            self._stopping.set()
            # In the reading thread, so that it happens after the read in progress.
            worker.submit(self._container.close)
            worker.shutdown(wait=False)

    def read(self) -> Iterator[Item]:
        """The same items, for programs without an event loop: blocks, and frees the file however it ends."""
        with self._container:
            yield from self._items

    def _next_batch(self) -> list[Item]:
        """The items up to and including the next clock tick; empty at the end."""
        batch: list[Item] = []
        for item in self._items:
            batch.append(item)
            if isinstance(item, ClockTick):
                break
        return batch

    def _in_order(self) -> Iterator[Item]:
        """Everything there is, clock ticks and the end included; nothing at all when nothing decodes."""
        packets = self._packets()
        if (first := next(packets, None)) is None:
            return
        zero_s = self._zero_s(first)
        alone = len(self._streams) == 1 and not self.live
        leap_s = Timeline.HOLE_S if alone else Timeline.LEAP_S
        pictures = _Pictures(self._video, Timeline(zero_s, leap_s=leap_s), self._cue_fps)
        sounds = _Sounds(Timeline(zero_s, [pictures.timeline], leap_s=leap_s), live=self.live)
        order = Interleaver([stream.type for stream in self._streams], skew_s=LIVE_SKEW_S if self.live else SKEW_S)
        for state in self._choices:
            order.add(0.0, state)
        for packet in itertools.chain([first], packets):
            for frame in self._decode(packet):
                if isinstance(frame, av.VideoFrame):
                    self.n_frames += 1
                    at_s, sampled = pictures.take(frame)
                    if sampled is not None:
                        order.add(at_s, sampled)
                    yield from order.reached("video", at_s)
                elif isinstance(frame, av.AudioFrame):
                    yield from self._listen(sounds.take(frame), order)
                    for state in sounds.noticed():
                        order.add(self._cutter.heard_s, state)
        end_s = max(pictures.timeline.expected_s, sounds.timeline.expected_s)
        if end_s > 0.0:
            yield from self._listen(sounds.flush(), order)
            for segment in self._cutter.flush():
                order.add(self._cutter.heard_s, segment)
            self._note_a_missing_tail(end_s)
            yield from order.finish()
            logger.info("%s; %d pictures decoded, %d packets damaged", self._reason, self.n_frames, self.n_damaged)
            yield SourceEnded(self._reason)

    def _listen(self, chunks: Iterator[AudioChunk], order: Interleaver) -> Iterator[Item]:
        for chunk in chunks:
            for speech in self._cutter.push(chunk):
                order.add(self._cutter.heard_s, speech)
            yield from order.reached("audio", self._cutter.heard_s)

    def _packets(self) -> Iterator[Packet[Any]]:
        """Packets of both tracks as far as they can be read; the last of each is empty and flushes its decoder."""
        try:
            for packet in self._container.demux(self._streams):
                if self._stopping.is_set():
                    return
                if packet.pts is not None:
                    self._last_stamp_s = max(self._last_stamp_s, _seconds(packet.pts, packet.time_base))
                yield packet
        except av.FFmpegError as error:
            self._reason = "peer lost" if self.live else f"the file is damaged from here on ({error.strerror})"

    def _decode(self, packet: Packet[Any]) -> list[object]:
        try:
            return list(packet.decode())
        except av.FFmpegError:
            self.n_damaged += 1
            return []

    def _zero_s(self, first: Packet[Any]) -> float:
        """The stamp of the first packet of either track, in seconds."""
        starts_s = [
            float(s.start_time * s.time_base)
            for s in self._streams
            if s.start_time is not None and s.time_base is not None
        ]
        if starts_s:
            return min(starts_s)
        return float(first.pts * first.time_base) if first.pts is not None else 0.0

    def _note_a_missing_tail(self, end_s: float) -> None:
        if self._reason != "end of file" or self._container.duration is None:
            return
        header_s = self._container.duration / av.time_base
        missing_s = header_s - max(end_s, self._last_stamp_s)
        if missing_s > max(1.0, 0.05 * header_s):
            self._reason = f"end of file, {missing_s:.1f} s sooner than its header says"


class _Pictures:
    """The video track: it decides which frames are kept, and when they are shown."""

    def __init__(self, stream: VideoStream | None, timeline: Timeline, cue_fps: float) -> None:
        rate = (stream.average_rate or stream.guessed_rate) if stream else None
        self._frame_s = float(1 / rate) if rate else 0.04
        aspect = stream.sample_aspect_ratio if stream else None
        # Square, unless the file names another ratio within reason; some write 0:1 for "unknown".
        self._pixel_aspect = aspect if aspect and 0.25 <= aspect <= 4 else None
        self._sampler = FrameSampler(cue_fps)
        self.timeline = timeline

    def take(self, frame: av.VideoFrame) -> tuple[float, VideoFrame | CueFrame | None]:
        """The media time of the frame, and its picture if it is one to keep."""
        at_s = self.timeline.place(_stamp_s(frame), duration_s=self._frame_s)
        wanted = self._sampler.wants(at_s)
        if wanted is None:
            return at_s, None
        rgb_HW3 = to_rgb(frame, pixel_aspect=self._pixel_aspect)
        return at_s, VideoFrame(at_s, rgb_HW3) if wanted == "read" else CueFrame(at_s, rgb_HW3)


class _Sounds:
    """The audio track at 16 kHz mono."""

    def __init__(self, timeline: Timeline, *, live: bool) -> None:
        self.timeline = timeline
        self._resampler = MonoResampler(live=live)

    def take(self, frame: av.AudioFrame) -> Iterator[AudioChunk]:
        start_s = self.timeline.place(_stamp_s(frame), duration_s=frame.samples / frame.sample_rate)
        return self._resampler.push(frame, start_s=start_s)

    def flush(self) -> Iterator[AudioChunk]:
        return self._resampler.flush()

    def noticed(self) -> Iterator[InputState]:
        return self._resampler.noticed()


def _stamp_s(frame: av.VideoFrame | av.AudioFrame) -> float | None:
    stamp = frame.pts if frame.pts is not None else frame.dts
    base = None if stamp is None else frame.time_base
    return None if stamp is None or base is None else _seconds(stamp, base)


def _seconds(stamp: int, base: Fraction) -> float:
    """As `float(stamp * base)`, to the last bit, in a fifth of its time: there are hundreds of packets a second."""
    return stamp * base.numerator / base.denominator


def _name(url: str) -> str:
    return url.rsplit("@")[-1] if url.startswith(RTSP) else Path(url).name


def check(url: str, ingest: IngestSettings) -> None:
    """Raise NotMedia if `MediaSource.open` would, and for a pipe, which cannot be opened again."""
    if is_pipe(Path(url)):
        raise NotMedia(f"{url} is a pipe, which can be read only once.", "Save it to a file, and name that.")
    _open_container(url, ingest).close()


def _open_container(url: str, ingest: IngestSettings) -> InputContainer:
    """Raises NotMedia, saying why."""
    if url.startswith(RTSP):
        options = {"rtsp_transport": "tcp", "protocol_whitelist": "rtsp,rtp,udp,tcp,tls,crypto"}
    elif "://" in url and not Path(url).exists():
        raise NotMedia(
            f"{url.split('://')[0]}:// addresses are not read.",
            "Give a file's path or an rtsp:// address; download first.",
        )
    else:
        refuse_unfinished(Path(url))
        options = open_options(Path(url))
    try:
        container = av.open(file_url(url), options=options, timeout=(OPEN_TIMEOUT_S, ingest.peer_silent_s))
    except FileNotFoundError as error:
        raise NotMedia(f"There is no file {url}.", "Check the path.") from error
    except (av.FFmpegError, OSError, ValueError) as error:
        if not url.startswith(RTSP) and (told := why_unreadable(Path(url))) is not None:
            raise told from error
        reason = getattr(error, "strerror", None) or error
        hint = "Check the address and that the camera is on." if url.startswith(RTSP) else CONVERT_HINT
        raise NotMedia(f"{_name(url)} cannot be read as media: {reason}.", hint) from error
    if container.format.name in TEXT_FORMATS:
        container.close()
        raise NotMedia(f"{_name(url)} is text, not media.", "Give a video or audio file.")
    return container
