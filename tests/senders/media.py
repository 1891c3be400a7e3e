"""What the senders of these tests send: a picture that changes, and somebody who speaks for a moment and pauses.

`python -m tests.senders.media AUDIO_PORT VIDEO_PORT` sends both as RTP over UDP on loopback (Opus and VP8) until it is
ended, for senders that bring no encoders of their own.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from fractions import Fraction

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.stream import VideoStream

from tests.ingest.media_files import room, voice

RATE, FPS, WIDTH, HEIGHT = 48_000, 15, 320, 240
STEP = RATE // 50
"Samples of 20 ms, as Opus takes them."


def pictures() -> Iterator[av.VideoFrame]:
    n = 0
    while True:
        picture = av.VideoFrame.from_ndarray(np.full((HEIGHT, WIDTH, 3), n % 200 + 30, np.uint8))
        picture.pts, picture.time_base = n, Fraction(1, FPS)
        yield picture
        n += 1


def sounds() -> Iterator[av.AudioFrame]:
    spoken_N = np.concatenate([room(0.6), voice(1.4), room(1.0)])
    pcm_N = np.repeat((spoken_N * 32767).astype(np.int16), RATE // 16_000)
    n = 0
    while True:
        at = n * STEP % (pcm_N.size - pcm_N.size % STEP)
        sound = av.AudioFrame.from_ndarray(np.repeat(pcm_N[at : at + STEP], 2)[None], format="s16", layout="stereo")
        sound.sample_rate, sound.pts, sound.time_base = RATE, n * STEP, Fraction(1, RATE)
        yield sound
        n += 1


def add_video(out: OutputContainer, codec: str, **options: str) -> VideoStream:
    """A track for `pictures`, each second of which can be decoded by itself."""
    video = out.add_stream(codec, rate=FPS)
    assert isinstance(video, VideoStream)
    video.width, video.height, video.pix_fmt, video.gop_size = WIDTH, HEIGHT, "yuv420p", FPS
    video.options = {**options}
    return video


def add_audio(out: OutputContainer) -> AudioStream:
    """A track for `sounds`."""
    audio = out.add_stream("libopus", rate=RATE, layout="stereo")
    assert isinstance(audio, AudioStream)
    return audio


def send(video: VideoStream, audio: AudioStream, *, seconds: float = float("inf")) -> None:
    """Encode both and write them to the containers of their tracks, at the speed of a camera."""
    shown, spoken = video.container, audio.container
    assert isinstance(shown, OutputContainer)
    assert isinstance(spoken, OutputContainer)
    began_s, seen, heard = time.monotonic(), pictures(), sounds()
    n_pictures, n_sounds = 0, 0
    while (passed_s := time.monotonic() - began_s) < seconds:
        while n_pictures <= passed_s * FPS:
            shown.mux(video.encode(next(seen)))
            n_pictures += 1
        while n_sounds <= passed_s * RATE / STEP:
            spoken.mux(audio.encode(next(heard)))
            n_sounds += 1
        time.sleep(0.01)


def main() -> None:
    audio_port, video_port = sys.argv[1:]
    with (
        av.open(f"rtp://127.0.0.1:{video_port}", "w", format="rtp") as pictures_out,
        av.open(f"rtp://127.0.0.1:{audio_port}", "w", format="rtp") as sounds_out,
    ):
        video = add_video(pictures_out, "libvpx", deadline="realtime", **{"cpu-used": "8"})
        send(video, add_audio(sounds_out))


if __name__ == "__main__":
    main()
