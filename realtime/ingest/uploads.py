"""A picture, a sound or a short video that a program sends whole, as bytes: what is in it, within bounds.

Nothing but the bytes is read: neither files nor addresses that they name.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import av
import numpy as np
from av.container import InputContainer

from realtime.errors import NotMedia, TooLarge, TooLong
from realtime.ingest import tracks
from realtime.ingest.convert import to_rgb
from realtime.ingest.mono import MonoResampler
from realtime.ingest.sampler import SAMPLE_PERIOD_S, Sampler
from realtime.records import Float32, UInt8

FORMATS = "aac,avi,bmp_pipe,flac,gif,jpeg_pipe,matroska,mov,mp3,ogg,png_pipe,wav,webp_pipe"
"FFmpeg's names of the formats that are read. None of them is a list of other files."
MAX_SIDE_PX = 3_000
"A picture has no more pixels than a square of this side."
MAX_S = 30.0
"Seconds of sound or video."
MAX_DECODED_PX = 1_000_000_000
"Pixels of all pictures of a video, looked at or not: 30 s of 1280 × 720 at 30 a second have fewer."


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture that is looked at."""

    number: int
    "Of all pictures of the upload, from 0."
    at_s: float
    "Seconds after the first picture."
    rgb_HW3: UInt8
    "(H, W, 3) uint8, upright, scaled down to what is looked at."
    width: int
    "Of the picture as it was sent, upright."
    height: int


@dataclass(frozen=True, slots=True)
class Upload:
    """What was sent."""

    pictures: tuple[Picture, ...]
    "Oldest first; empty for a sound."
    samples_N: Float32 | None
    "(N,) float32, 16 kHz mono; None where there is no track of sound."


def read_upload(data: bytes, *, period_s: float = SAMPLE_PERIOD_S) -> Upload:
    """Decode what was sent, with one picture each `period_s` seconds. Blocks.

    Raises NotMedia for what cannot be decoded, TooLarge for a picture of too many pixels, TooLong for too much of it.
    """
    # The limit of FFmpeg's own decoders. Streams get it when they are probed, and again below when they are decoded.
    limits = {"max_pixels": str(MAX_SIDE_PX**2)}
    options = {"format_whitelist": FORMATS, "protocol_whitelist": "none", **limits}
    try:
        container = av.open(io.BytesIO(data), "r", options=options)
    except av.FFmpegError as error:
        raise _no_media(error) from error
    with container:
        for stream in container.streams.video:
            stream.codec_context.options = limits
        try:
            return _decoded(container, period_s)
        except av.ArgumentError as error:
            # What every decoder says of a picture beyond the limit; broken data has another error.
            raise TooLarge(
                f"The picture has more than {MAX_SIDE_PX} × {MAX_SIDE_PX} pixels.", "Scale it down before it is sent."
            ) from error
        except av.FFmpegError as error:
            raise _no_media(error) from error


def _decoded(container: InputContainer, period_s: float) -> Upload:
    video, audio = tracks.choose_video(container), tracks.choose_audio(container, None)
    sampler, resampler = Sampler(period_s), MonoResampler(live=False)
    pictures: list[Picture] = []
    sounds: list[Float32] = []
    n_pictures = n_px = 0
    first_s, heard_s = 0.0, 0.0
    for frame in container.decode([stream for stream in (video, audio) if stream is not None]):
        if isinstance(frame, av.VideoFrame):
            shown_s = frame.time if frame.time is not None else n_pictures / 25
            first_s = shown_s if n_pictures == 0 else first_s
            at_s, n_px = shown_s - first_s, n_px + frame.width * frame.height
            if at_s > MAX_S or n_px > MAX_DECODED_PX:
                raise TooLong(f"The video is longer than {MAX_S:g} s, or has too many pictures.", "Send less at once.")
            if sampler.wants(at_s):
                pictures.append(_picture(frame, n_pictures, at_s))
            n_pictures += 1
        elif isinstance(frame, av.AudioFrame):
            sounds += [chunk.samples_N for chunk in resampler.push(frame, start_s=heard_s)]
            heard_s += frame.samples / frame.sample_rate
            if heard_s > MAX_S:
                raise TooLong(f"The sound is longer than {MAX_S:g} s.", "Send less at once.")
    sounds += [chunk.samples_N for chunk in resampler.flush()]
    if not pictures and not sounds:
        raise NotMedia("There is no picture and no sound in what was sent.", "Send a whole file.")
    return Upload(tuple(pictures), np.concatenate(sounds) if sounds else None)


def _picture(frame: av.VideoFrame, number: int, at_s: float) -> Picture:
    rgb_HW3 = to_rgb(frame)
    height, width = rgb_HW3.shape[:2]
    scale = max(frame.width, frame.height) / max(width, height)
    return Picture(number, at_s, rgb_HW3, round(width * scale), round(height * scale))


def _no_media(error: av.FFmpegError) -> NotMedia:
    return NotMedia(
        f"What was sent cannot be decoded as a picture or sound ({error.strerror}).",
        "Send a whole file: JPEG, PNG, WebP, WAV, FLAC, MP3, Ogg, MP4 or WebM.",
    )
