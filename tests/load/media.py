"""What the senders send: a clip read once, from which any number of tracks plays in a loop with stamps that go on.

aiortc's own player starts its pictures' stamps over with each loop, and a receiver rightly drops what is from the past.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from aiortc import MediaStreamTrack
from PIL import Image
from skimage import data

from tests.ingest.media_files import room, voice

FPS = 10
SIZE_WH = (320, 240)
RATE_HZ = 48_000
STEP_N = RATE_HZ // 50
LONGEST_S = 60
"Of a clip; it is kept in memory."


@dataclass(frozen=True)
class Clip:
    pictures: list[npt.NDArray[np.uint8]]
    "YUV 4:2:0, each (H · 3/2, W)."
    fps: float
    sound_N: npt.NDArray[np.int16]
    "Mono at 48 kHz."

    def tracks(self) -> tuple[LoopedSound, LoopedPictures]:
        """A microphone and a camera that begin now."""
        return LoopedSound(self.sound_N), LoopedPictures(self.pictures, self.fps)


def portrait() -> Clip:
    """A face that moves a little, and a voice every other two seconds.

    Eileen Collins (NASA, public domain; scikit-image ships it); forwards and back, so that the loop has no jump.
    """
    whole, noise = Image.fromarray(data.astronaut()), np.random.default_rng(0)
    pictures: list[npt.NDArray[np.uint8]] = []
    for index in range(8 * FPS):
        shift = 20 * abs(1 - 2 * index / (8 * FPS))
        cut = whole.crop((60 + shift, 0, 460 + shift, 300)).resize(SIZE_WH)
        # A picture without any noise would rightly be reported as frozen.
        rgb_HW3 = np.asarray(cut) + noise.integers(-4, 5, (SIZE_WH[1], SIZE_WH[0], 1))
        frame = av.VideoFrame.from_ndarray(np.clip(rgb_HW3, 0, 255).astype(np.uint8), format="rgb24")
        pictures.append(np.asarray(frame.to_ndarray(format="yuv420p"), np.uint8))
    sound_N = np.concatenate([part for index in range(2) for part in (room(2.0, seed=index), voice(2.0))])
    return Clip(pictures, FPS, (np.repeat(sound_N, RATE_HZ // 16_000) * 32767).astype(np.int16))


def read(path: Path) -> Clip:
    """The first minute of a file with picture and sound."""
    with av.open(str(path)) as file:
        fps = float(file.streams.video[0].average_rate or 30)
        pictures = [
            np.asarray(frame.to_ndarray(format="yuv420p"), np.uint8)
            for frame in islice(file.decode(video=0), round(LONGEST_S * fps))
        ]
    resampler, parts = av.AudioResampler("s16", "mono", RATE_HZ), []
    with av.open(str(path)) as file:
        for frame in file.decode(audio=0):
            parts += [part.to_ndarray()[0] for part in resampler.resample(frame)]
    return Clip(pictures, fps, np.concatenate(parts)[: LONGEST_S * RATE_HZ])


class Looped(MediaStreamTrack):
    """Frames at the pace of life."""

    def __init__(self, period_s: float) -> None:
        super().__init__()
        self._period_s = period_s
        self._began_s: float | None = None
        self._n = 0

    async def _next(self) -> int:
        now_s = time.monotonic()
        self._began_s = now_s if self._began_s is None else self._began_s
        await asyncio.sleep(max(0.0, self._began_s + self._n * self._period_s - now_s))
        self._n += 1
        return self._n - 1


class LoopedPictures(Looped):
    kind = "video"

    def __init__(self, pictures: list[npt.NDArray[np.uint8]], fps: float) -> None:
        super().__init__(1 / fps)
        self._pictures = pictures

    async def recv(self) -> av.VideoFrame:
        n = await self._next()
        frame = av.VideoFrame.from_ndarray(self._pictures[n % len(self._pictures)], format="yuv420p")
        frame.pts, frame.time_base = round(n * self._period_s * 90_000), Fraction(1, 90_000)
        return frame


class LoopedSound(Looped):
    kind = "audio"

    def __init__(self, sound_N: npt.NDArray[np.int16]) -> None:
        super().__init__(STEP_N / RATE_HZ)
        self._steps_MN = sound_N[: sound_N.size // STEP_N * STEP_N].reshape(-1, STEP_N)

    async def recv(self) -> av.AudioFrame:
        n = await self._next()
        frame = av.AudioFrame.from_ndarray(self._steps_MN[None, n % len(self._steps_MN)], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE_HZ, n * STEP_N, Fraction(1, RATE_HZ)
        return frame
