"""Which of a recording's tracks is watched and which is heard."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from realtime.errors import NotMedia
from realtime.ingest.mono import MonoResampler
from realtime.records import InputState

AUDIBLE = 10 ** (-60 / 20)
"Peak of a track that carries sound; below it there is at most the hiss of an input with nothing plugged in."
LOOKS, LOOK_S = 4, 5.0
"Places of a recording, evenly spread, and how much of each is decoded to find out whether a track carries sound."
LEAST_RATE_HZ = 1_000
"""Samples a second of a track that can carry a voice. A damaged header, or a file of measurements, has fewer; such a
track of a few kilobytes lasts for days."""
FIRST_PACKETS = 5_000
"A track without a packet among so many is taken to come later, not to be empty."


def choose_video(container: InputContainer) -> VideoStream | None:
    """The track marked as default, else the first. Raises NotMedia for a picture that is stored in tiles."""
    tracks = video_tracks(container)
    return next((stream for stream in tracks if stream.disposition & Disposition.default), next(iter(tracks), None))


def video_tracks(container: InputContainer) -> list[VideoStream]:
    """The tracks that may be watched: no cover art, no still beside what moves. Raises NotMedia as `choose_video`."""
    tracks = [stream for stream in container.streams.video if stream.codec_context is not None]
    # FFmpeg gives the tiles of an iPhone's HEIC or of an AVIF grid as tracks of their own.
    tiles = [stream for stream in tracks if stream.disposition & Disposition.dependent]
    if len(tiles) > 1:
        raise NotMedia(
            f"This picture is stored in {len(tiles)} tiles (HEIC or AVIF), which are not put together here.",
            "Convert it to JPEG or PNG, or let the phone take JPEG (on an iPhone: Formats, Most Compatible).",
        )
    # A song's cover art is a video track of one picture.
    tracks = [stream for stream in tracks if not stream.disposition & Disposition.attached_pic]
    # An animated AVIF has its first picture in a track of its own, before that of all of them.
    moving = [stream for stream in tracks if stream.frames != 1]
    return moving or tracks


def choose_audio(container: InputContainer, url: str | None) -> AudioStream | None:
    """The track marked as default if it carries sound, else the first that does, else the default or first one.

    Tracks without a single packet do not count, nor do those too coarse in time for any voice.

    `url`: to open the recording again and listen; None where it can be read only once, as a camera.
    """
    tracks = [
        stream
        for stream in container.streams.audio
        if stream.codec_context is not None and not 0 < stream.rate < LEAST_RATE_HZ
    ]
    # Python's sort keeps the order of the file among equals.
    tracks.sort(key=lambda stream: not stream.disposition & Disposition.default)
    if url is not None:
        tracks = [stream for stream in tracks if not _empty(url, stream.index)]
    if len(tracks) < 2 or url is None:
        return next(iter(tracks), None)
    return next((stream for stream in tracks if _audible(url, stream.index)), tracks[0])


def describe_choice(
    kind: str, streams: Sequence[VideoStream | AudioStream], chosen: int, *, live: bool
) -> Iterator[InputState]:
    """Says which of several tracks was taken; nothing where there is only one. `chosen`: its index in the file.

    `live`: it comes from a camera, which cannot be copied with one track left.
    """
    if len(streams) < 2:
        return
    number = [stream.index for stream in streams].index(chosen)
    what, source = ("heard" if kind == "audio" else "watched"), ("camera" if live else "recording")
    yield InputState(
        f"several_{kind}_tracks",
        f"The {source} has {len(streams)} {kind} tracks; number {number + 1} is {what}.",
        "For another one, make it the first in the camera's settings, or use the address of its own stream."
        if live
        else f"For another one, leave only that: ffmpeg -i IN -map 0:{'v' if kind == 'audio' else 'a'}? "
        f"-map 0:{'a' if kind == 'audio' else 'V'}:N -c copy OUT, with N from 0.",
    )


def _empty(url: str, index: int) -> bool:
    """Whether the track with that index of the file is announced and holds nothing, as some recorders write it."""
    with suppress(av.FFmpegError), av.open(url) as again:
        for number, packet in enumerate(again.demux()):
            if packet.size and packet.stream.index == index:
                return False
            if number == FIRST_PACKETS:
                return False
        return True
    return False


def _audible(url: str, index: int) -> bool:
    """Whether the track with that index of the file carries sound, looked for in a few places."""
    with suppress(av.FFmpegError), av.open(url) as again:
        stream = next(stream for stream in again.streams.audio if stream.index == index)
        length_s = (again.duration or 0) / av.time_base
        for look in range(LOOKS):
            begin_s = length_s * look / LOOKS
            # What cannot be wound is listened to from its beginning.
            with suppress(av.FFmpegError):
                again.seek(round(begin_s * av.time_base))
            resampler, heard_s = MonoResampler(live=False), 0.0
            for frame in again.decode(stream):
                for chunk in resampler.push(frame, start_s=heard_s):
                    if np.abs(chunk.samples_N).max(initial=0.0) > AUDIBLE:
                        return True
                heard_s += frame.samples / frame.sample_rate
                if heard_s >= LOOK_S:
                    break
    return False
