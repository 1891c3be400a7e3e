"""Writes sessions into the vault while they run. When writing fails, the session gets an error event and goes on."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from fractions import Fraction

import av
import numpy as np

from realtime.errors import NotDeleted
from realtime.publish.channel import EventLog
from realtime.publish.events import ErrorEvent
from realtime.recording.settings import Kept
from realtime.recording.vault import EVENT, PICTURE, SOUND, RecordingWriter, Vault
from realtime.records import SAMPLE_RATE_HZ, Item, SpeechSegment, VideoFrame
from realtime.roles import Source

logger = logging.getLogger(__name__)

CHECK_S = 3_600.0
WAITING = 64
"Frames and segments of speech that may wait for the disk. When one more comes, the oldest is dropped and counted."
FINISH_S = 5.0


class MediaTap:
    """A source whose frames and segments of speech are also kept for the recorder, as the session gets them."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.waiting: deque[VideoFrame | SpeechSegment] = deque(maxlen=WAITING)
        self.n_skipped = 0

    @property
    def live(self) -> bool:
        return self._source.live

    @property
    def has_video(self) -> bool:
        return self._source.has_video

    @property
    def has_audio(self) -> bool:
        return self._source.has_audio

    @property
    def silent_s(self) -> float:
        return self._source.silent_s

    async def items(self) -> AsyncGenerator[Item, None]:
        async with aclosing(self._source.items()) as items:
            async for item in items:
                if isinstance(item, VideoFrame | SpeechSegment):
                    self.n_skipped += len(self.waiting) == WAITING
                    self.waiting.append(item)
                yield item

    def take(self) -> list[VideoFrame | SpeechSegment]:
        taken = list(self.waiting)
        self.waiting.clear()
        return taken


class Recorder:
    """Holds the tasks that write. `most` is what this server keeps at most, whatever a session agrees to."""

    def __init__(self, vault: Vault, most: Kept) -> None:
        self.vault = vault
        self.most = most
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def start(self, log: EventLog, secret: str, tap: MediaTap | None) -> None:
        """Record a session from its event log and, with a `tap`, its media. Whoever has `secret` may delete it."""
        task = asyncio.create_task(self._record(log, secret, tap), name=f"record {log.session[:8]}")
        self._tasks[log.session] = task
        task.add_done_callback(lambda _: self._tasks.pop(log.session, None))

    async def delete(self, session_id: str) -> None:
        """Stop recording a session and delete its recording. Raises UnknownSession, NotDeleted."""
        if task := self._tasks.get(session_id):
            task.cancel()
            await asyncio.wait([task])
        try:
            await asyncio.to_thread(self.vault.delete, session_id)
        except OSError as error:
            logger.error("the recording of session %s could not be deleted: %s", session_id[:8], error.strerror)
            raise NotDeleted(
                f"The recording could not be deleted: {error.strerror or error}.", "Ask whoever runs this server."
            ) from error
        logger.info("the recording of session %s was deleted", session_id[:8])

    async def watch(self) -> None:
        """Delete recordings that have been kept long enough, for ever."""
        while True:
            try:
                n_deleted = await asyncio.to_thread(self.vault.delete_ended)
            except OSError as error:
                logger.error("recordings that have ended could not be deleted: %s", error.strerror)
            else:
                if n_deleted:
                    logger.info("%d recordings have ended and were deleted", n_deleted)
            await asyncio.sleep(CHECK_S)

    async def finish(self) -> None:
        """Wait until the last events of sessions that have just ended are written."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks.values(), timeout=FINISH_S)
            for task in late:
                task.cancel()

    async def _record(self, log: EventLog, secret: str, tap: MediaTap | None) -> None:
        try:
            with await asyncio.to_thread(self.vault.begin, log.session, secret) as recording:
                async for line in log.read(as_reader=False):
                    await asyncio.to_thread(_write, recording, line, tap.take() if tap else [])
            logger.info(
                "session %s: %d blocks kept, %d left out",
                log.session[:8],
                recording.n_blocks,
                tap.n_skipped if tap else 0,
            )
        except OSError as error:
            logger.error("session %s is no longer recorded: %s", log.session[:8], error.strerror)
            why = f"The recording has stopped: {error.strerror}."
            log.publish(ErrorEvent("record_failed", why, "The session goes on."), at_s=log.newest_s)


def _write(recording: RecordingWriter, line: str, media: list[VideoFrame | SpeechSegment]) -> None:
    recording.add(EVENT, line.encode())
    for item in media:
        if isinstance(item, VideoFrame):
            recording.add(PICTURE, _with_head({"at_s": item.at_s}, _jpeg(item)))
        else:
            head = {"start_s": item.start_s, "end_s": item.end_s, "rate_hz": SAMPLE_RATE_HZ}
            pcm_N = (np.clip(item.samples_N, -1, 1) * 32_767).astype("<i2")
            recording.add(SOUND, _with_head(head, pcm_N.tobytes()))


def _with_head(head: dict[str, float], content: bytes) -> bytes:
    return json.dumps(head).encode() + b"\n" + content


def _jpeg(frame: VideoFrame) -> bytes:
    height, width = frame.rgb_HW3.shape[:2]
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuvj420p"
    encoder.time_base = Fraction(1, 1)
    picture = av.VideoFrame.from_ndarray(frame.rgb_HW3, "rgb24").reformat(format="yuvj420p")
    return b"".join(bytes(packet) for packet in [*encoder.encode(picture), *encoder.encode(None)])
