"""This machine's camera and microphone, read with PyAV's input devices. Each has a thread of its own.

Whether and under which names devices are there depends on the system: Video4Linux and ALSA on Linux, AVFoundation on
macOS, DirectShow on Windows. Only Linux's were tried.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any, Self

import av
from av.container import InputContainer

from realtime.errors import BadSettings, DeviceMissing
from realtime.ingest.clock import ArrivalClock
from realtime.ingest.convert import to_rgb
from realtime.ingest.mono import MonoResampler
from realtime.ingest.order import TICK_S
from realtime.ingest.sampler import Sampler
from realtime.ingest.settings import IngestSettings
from realtime.ingest.speech import SpeechCutter, SpeechSettings
from realtime.records import ClockTick, Item, SourceEnded, SourceStarted, VideoFrame

logger = logging.getLogger(__name__)

WAITING = 64
"Items that wait for a busy consumer. The oldest is dropped for a new one."
CAPTURE_S = 0.05
"A device's picture or sound is at most this old when it is read, or nearly so."
ALSA_CONFIG = Path("/usr/share/alsa/alsa.conf")

Place = tuple[str, str]
"FFmpeg's name of a kind of device, and the device's name there."


class DeviceSource:
    """One camera, one microphone, or both. `open` it, then iterate it once."""

    live = True

    def __init__(
        self,
        camera: InputContainer | None,
        microphone: InputContainer | None,
        speech: SpeechSettings,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._containers = {
            kind: found for kind, found in (("video", camera), ("audio", microphone)) if found is not None
        }
        self._now_s = now_s
        self._cutter = SpeechCutter(speech)
        self._lock = threading.Lock()
        "Both threads count time, and write to the queue."
        self._zero_s: float | None = None
        "When the first frame of either device came: media second 0."
        self._reached_s = 0.0
        self._waiting: deque[Item] = deque(maxlen=WAITING)
        self._stopping = threading.Event()
        self.n_skipped = 0
        "Items dropped because the consumer was busy."

    @classmethod
    def open(
        cls, camera: int | str | None, microphone: str | None, *, ingest: IngestSettings, speech: SpeechSettings
    ) -> Self:
        """Open the devices. Blocks. `FORMAT:NAME` names a device of another of FFmpeg's formats.

        Raises DeviceMissing where one is missing or in use, BadSettings without any.
        """
        if camera is None and microphone is None:
            raise BadSettings("There is neither a camera nor a microphone to read.", "Name one of them.")
        seeing = None if camera is None else _open("camera", _camera_place(camera), ingest)
        try:
            hearing = None if microphone is None else _open("microphone", _microphone_place(microphone), ingest)
        except BaseException:
            if seeing is not None:
                seeing.close()
            raise
        return cls(seeing, hearing, speech)

    @property
    def has_video(self) -> bool:
        return "video" in self._containers

    @property
    def has_audio(self) -> bool:
        return "audio" in self._containers

    @property
    def silent_s(self) -> float:
        return self._cutter.silent_s

    async def items(self) -> AsyncGenerator[Item, None]:
        """What the devices give, until one is gone. They are let go of when the iterator ends or is closed."""
        loop = asyncio.get_running_loop()
        changed, ended = asyncio.Event(), asyncio.Event()

        def wake() -> None:
            changed.set()

        def over() -> None:
            ended.set()
            changed.set()

        readers = [
            threading.Thread(target=self._read, args=(kind, loop, wake, over), name=f"device {kind}", daemon=True)
            for kind in self._containers
        ]
        for reader in readers:
            reader.start()
        try:
            while True:
                await changed.wait()
                changed.clear()
                while (item := self._take()) is not None:
                    yield item
                if ended.is_set():
                    yield SourceEnded("The camera or the microphone is gone.")
                    return
        finally:
            self._stopping.set()

    def _read(
        self, kind: str, loop: asyncio.AbstractEventLoop, wake: Callable[[], None], over: Callable[[], None]
    ) -> None:
        """Read one device until it is gone or nobody wants it any more. In its own thread."""
        clock = ArrivalClock()
        take = self._see() if kind == "video" else self._hear()
        with self._containers[kind] as container:
            try:
                for frame in container.decode(**{kind: 0}):
                    if self._stopping.is_set():
                        return
                    if not isinstance(frame, av.VideoFrame | av.AudioFrame):
                        continue
                    now_s = self._now_s()
                    stamp_s = now_s if frame.time is None else frame.time
                    at_s = clock.place(stamp_s, arrived_s=now_s - self._zero(now_s))
                    items = take(frame, at_s)
                    with self._lock:
                        for item in items:
                            self._put(item)
                    loop.call_soon_threadsafe(wake)
            except av.FFmpegError as error:
                logger.warning("the %s device is gone: %s", kind, error.strerror)
            # The loop has ended together with everything that waits for this device.
            except RuntimeError:
                return
        if not self._stopping.is_set():
            loop.call_soon_threadsafe(over)

    def _see(self) -> Callable[[Any, float], list[Item]]:
        sampler = Sampler()

        def take(frame: Any, at_s: float) -> list[Item]:
            seen: list[Item] = [VideoFrame(at_s, to_rgb(frame))] if sampler.wants(at_s) else []
            return [*seen, *self._ticks(at_s)]

        return take

    def _hear(self) -> Callable[[Any, float], list[Item]]:
        resampler = MonoResampler(live=True)

        def take(frame: Any, at_s: float) -> list[Item]:
            heard: list[Item] = []
            for chunk in resampler.push(frame, start_s=at_s):
                heard.extend(self._cutter.push(chunk))
            heard.extend(resampler.noticed())
            return [*heard, *self._ticks(self._cutter.heard_s)]

        return take

    def _zero(self, now_s: float) -> float:
        with self._lock:
            if self._zero_s is None:
                self._zero_s = now_s
                self._put(SourceStarted(time.time() - CAPTURE_S, CAPTURE_S))
            return self._zero_s

    def _ticks(self, at_s: float) -> list[Item]:
        with self._lock:
            due = at_s // TICK_S > self._reached_s // TICK_S
            self._reached_s = max(at_s, self._reached_s)
        return [ClockTick(at_s)] if due else []

    def _put(self, item: Item) -> None:
        self.n_skipped += len(self._waiting) == self._waiting.maxlen
        self._waiting.append(item)

    def _take(self) -> Item | None:
        with self._lock:
            return self._waiting.popleft() if self._waiting else None


def _camera_place(camera: int | str) -> Place:
    if isinstance(camera, str) and camera.partition(":")[0] in av.formats_available:
        form, _, name = camera.partition(":")
        return form, name
    if sys.platform == "darwin":
        return "avfoundation", f"{camera}:none"
    if sys.platform == "win32":
        return "dshow", f"video={camera}"
    return "v4l2", f"/dev/video{camera}" if isinstance(camera, int) else camera


def _microphone_place(microphone: str) -> Place:
    form, _, name = microphone.partition(":")
    if form in av.formats_available and name:
        return form, name
    if sys.platform == "darwin":
        return "avfoundation", f"none:{microphone}"
    if sys.platform == "win32":
        return "dshow", f"audio={microphone}"
    return "alsa", microphone


def _open(what: str, place: Place, ingest: IngestSettings) -> InputContainer:
    form, name = place
    if form == "alsa" and ALSA_CONFIG.exists():
        # The ALSA in PyAV's wheel looks for its configuration where the wheel was built.
        os.environ.setdefault("ALSA_CONFIG_PATH", str(ALSA_CONFIG))
    # Pictures are then stamped by the wall clock, as sound is.
    options = {"ts": "abs"} if form == "v4l2" else {}
    try:
        return av.open(name, format=form, options=options, timeout=(ingest.connect_s, ingest.peer_silent_s))
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DeviceMissing(
            f"There is no {what} at {name} ({form}): {reason}.",
            f"Connect it, close other programs that use it, or name another; {what}=None does without.",
        ) from error
