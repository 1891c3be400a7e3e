"""Small media files made for tests, and a record of what a source gave."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.audio.stream import AudioStream
from av.video.stream import VideoStream
from scipy.signal import lfilter

from realtime.ingest.media import MediaSource
from realtime.ingest.settings import IngestSettings
from realtime.ingest.speech import SpeechSettings
from realtime.records import (
    SAMPLE_RATE_HZ,
    ClockTick,
    InputState,
    Item,
    SourceEnded,
    SpeechSegment,
    SpeechSoFar,
    SpeechStarted,
    VideoFrame,
)
from realtime.roles import Source


@dataclass
class Received:
    """Everything a source gave, with the order it came in."""

    frames: list[VideoFrame] = field(default_factory=list)
    started: list[SpeechStarted] = field(default_factory=list)
    open: list[SpeechSoFar] = field(default_factory=list)
    segments: list[SpeechSegment] = field(default_factory=list)
    clock_s: list[float] = field(default_factory=list)
    order: list[tuple[str, float]] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    states: list[InputState] = field(default_factory=list)

    async def all_of(self, source: Source) -> None:
        """Take the items of the source, each at once, until it ends."""
        async with aclosing(source.items()) as items:
            async for item in items:
                self.take(item)

    def take(self, item: Item) -> None:
        match item:
            case VideoFrame(at_s):
                self.frames.append(item)
                self.order.append(("frame", at_s))
            case SpeechStarted(start_s):
                self.started.append(item)
                self.order.append(("start", start_s))
            case SpeechSoFar():
                self.open.append(item)
            case SpeechSegment():
                self.segments.append(item)
                self.order.append(("end", item.end_s))
            case ClockTick(at_s):
                self.clock_s.append(at_s)
            case InputState():
                self.states.append(item)
            case SourceEnded(reason):
                self.reasons.append(reason)


def open_media(path: Path | str) -> MediaSource:
    """The recording as it is read without settings of one's own."""
    return MediaSource.open(str(path), ingest=IngestSettings(), speech=SpeechSettings())


def voice(seconds: float) -> npt.NDArray[np.float32]:
    """(N,) at 16 kHz: something with a voice's pitch and formants, swelling four times a second."""
    n = round(seconds * SAMPLE_RATE_HZ)
    t_N = np.arange(n) / SAMPLE_RATE_HZ
    pulses_N = np.diff(np.floor(np.cumsum(120 + 15 * np.sin(5 * t_N)) / SAMPLE_RATE_HZ), prepend=0.0)
    sound_N = pulses_N
    for formant_hz, width_hz in ((700, 90), (1200, 110), (2600, 160)):
        r = np.exp(-np.pi * width_hz / SAMPLE_RATE_HZ)
        sound_N = lfilter([1 - r], [1, -2 * r * np.cos(2 * np.pi * formant_hz / SAMPLE_RATE_HZ), r * r], sound_N)
    sound_N = sound_N * (0.7 + 0.3 * np.sin(2 * np.pi * 4 * t_N))
    return np.asarray(0.5 * sound_N / np.abs(sound_N).max(), np.float32)


def room(seconds: float, seed: int = 0) -> npt.NDArray[np.float32]:
    """(N,) of a quiet room: noise far below speech, but no digital silence."""
    noise_N = np.random.default_rng(seed).normal(0, 3e-4, round(seconds * SAMPLE_RATE_HZ))
    return noise_N.astype(np.float32)


def picture(index: int, width: int = 160, height: int = 120) -> npt.NDArray[np.uint8]:
    """(H, W, 3): grey that moves on with the index, and a red quarter at the top left."""
    rgb_HW3 = np.full((height, width, 3), 60 + index % 100, np.uint8)
    rgb_HW3[: height // 2, : width // 2] = (220, 30, 30)
    return rgb_HW3


def write_clip(
    path: Path,
    *,
    pictures_s: Sequence[float] = (),
    sound_N: npt.NDArray[np.float32] | None = None,
    turned_deg: int = 0,
    codec: str = "mpeg4",
    audio_codec: str = "aac",
) -> Path:
    """A small clip with a picture at each of the times, and with the sound."""
    with av.open(str(path), "w") as out:
        video = out.add_stream(codec, rate=30) if pictures_s else None
        if video is not None:
            assert isinstance(video, VideoStream)
            video.width, video.height, video.pix_fmt = 160, 120, "yuvj420p" if codec == "mjpeg" else "yuv420p"
            video.codec_context.time_base = video.time_base = Fraction(1, 1000)
            if turned_deg:
                video.set_display_rotation(turned_deg)
        audio = out.add_stream(audio_codec, rate=SAMPLE_RATE_HZ, layout="mono") if sound_N is not None else None
        if video is not None:
            for index, at_s in enumerate(pictures_s):
                frame = av.VideoFrame.from_ndarray(picture(index), format="rgb24")
                frame.pts, frame.time_base = round(at_s * 1000), Fraction(1, 1000)
                out.mux(video.encode(frame))
            out.mux(video.encode())
        if audio is not None and sound_N is not None:
            assert isinstance(audio, AudioStream)
            for heard in _sound_frames(sound_N):
                out.mux(audio.encode(heard))
            out.mux(audio.encode())
    return path


def _sound_frames(sound_N: npt.NDArray[np.float32]) -> Iterator[av.AudioFrame]:
    step = 1024
    for start in range(0, sound_N.size, step):
        pcm = (sound_N[start : start + step] * 32767).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(pcm[None, :], format="s16", layout="mono")
        frame.sample_rate, frame.pts = SAMPLE_RATE_HZ, start
        frame.time_base = Fraction(1, SAMPLE_RATE_HZ)
        yield frame
