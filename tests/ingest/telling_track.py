"""A camera that tells when it took each picture."""

from __future__ import annotations

import time

import av
import numpy as np
from aiortc.mediastreams import VideoStreamTrack


class TellingTrack(VideoStreamTrack):
    """Pictures whose brightness is their number, and when each was taken. Their stamps say so too, at any pace."""

    def __init__(self) -> None:
        super().__init__()
        self.taken_s: list[float] = []

    async def recv(self) -> av.VideoFrame:
        _, time_base = await self.next_timestamp()
        level = 3 * len(self.taken_s) % 240
        frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), level, np.uint8), "rgb24")
        self.taken_s.append(time.time())
        # aiortc's own stamps go on at 30 a second where a busy machine takes fewer.
        frame.pts, frame.time_base = round((self.taken_s[-1] - self.taken_s[0]) / time_base), time_base
        return frame
