"""FFmpeg's own WHIP muxer, sending a test picture and a tone.

`python -m tests.ingest.whip_sender URL SECONDS PROFILE KEY=VALUE…`

A process of its own: the muxer waits inside FFmpeg and holds the interpreter meanwhile. Keys and values are the muxer's
options.
"""

from __future__ import annotations

import sys
import time
from fractions import Fraction

import av
import numpy as np

RATE, FPS = 48_000, 15
TONE = (8_000 * np.sin(2 * np.pi * 220 * np.arange(960) / RATE)).astype(np.int16)


def send(url: str, seconds: float, profile: str, options: dict[str, str]) -> None:
    with av.open(url, "w", format="whip", options=options) as out:
        video = out.add_stream("libx264", rate=FPS)
        video.width, video.height, video.pix_fmt, video.gop_size = 320, 240, "yuv420p", FPS
        video.options = {"profile": profile, "tune": "zerolatency", "preset": "veryfast"}
        audio = out.add_stream("libopus", rate=RATE, layout="stereo")
        began_s, n_pictures, n_samples = time.monotonic(), 0, 0
        while (passed_s := time.monotonic() - began_s) < seconds:
            while n_pictures <= passed_s * FPS:
                picture = av.VideoFrame.from_ndarray(np.full((240, 320, 3), n_pictures % 200 + 30, np.uint8))
                picture.pts, picture.time_base = n_pictures, Fraction(1, FPS)
                out.mux(video.encode(picture))
                n_pictures += 1
            while n_samples <= passed_s * RATE:
                sound = av.AudioFrame.from_ndarray(np.repeat(TONE, 2).reshape(1, -1), format="s16", layout="stereo")
                sound.sample_rate, sound.pts, sound.time_base = RATE, n_samples, Fraction(1, RATE)
                out.mux(audio.encode(sound))
                n_samples += TONE.size
            time.sleep(0.01)


if __name__ == "__main__":
    send(sys.argv[1], float(sys.argv[2]), sys.argv[3], dict(pair.split("=", 1) for pair in sys.argv[4:]))
