"""Reads the sound of a recording as serving hears it, and writes speech as the data folder keeps it."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
from av.audio.stream import AudioStream

from realtime.errors import NotMedia
from realtime.ingest.files import file_url, open_options, refuse_unfinished, why_unreadable
from realtime.ingest.mono import MonoResampler
from realtime.ingest.speech import SpeechCutter, SpeechSettings
from realtime.ingest.tracks import choose_audio
from realtime.records import SAMPLE_RATE_HZ, AudioChunk, Float32, SpeechSegment

CODECS = {".flac": "flac", ".opus": "libopus"}
"The encoder by the ending of a file."
OPUS_BIT_RATE = 32_000
"Bits per second, as a call over WebRTC has them for a voice."
TAIL_S, TAIL_SHARE = 0.3, 0.1
"A recording is damaged where it is shorter than its header says by more than both, seconds and share."
AGAIN = "Fetch the file again."


def read(path: Path) -> Float32:
    """(N,) float32 in −1…1, 16 kHz mono, resampled and mixed by ingest.

    Raises NotMedia for a file without sound, a damaged one, and one that ends sooner than its header says.
    """
    refuse_unfinished(path)
    url = file_url(str(path))
    resampler, parts, at_s = MonoResampler(live=False), [], 0.0
    try:
        with av.open(url, options=open_options(path)) as container:
            track = choose_audio(container, url)
            if track is None:
                raise NotMedia(f"{path.name} has no sound.", "Remove it from the labels.")
            for frame in container.decode(track):
                parts += [chunk.samples_N for chunk in resampler.push(frame, start_s=at_s)]
                at_s += frame.samples / frame.sample_rate
            told_s = float(track.duration * track.time_base) if track.duration and track.time_base else 0.0
    except FileNotFoundError as error:
        raise NotMedia(f"{path.name} is not there.", AGAIN) from error
    except (av.FFmpegError, OSError) as error:
        told = why_unreadable(path) or NotMedia(f"{path.name} cannot be decoded: {error.strerror}.", AGAIN)
        raise told from error
    parts += [chunk.samples_N for chunk in resampler.flush()]
    samples_N: Float32 = np.concatenate([np.zeros(0, np.float32), *parts])
    if not len(samples_N):
        raise NotMedia(f"{path.name} has no sound.", AGAIN)
    if told_s - at_s > max(TAIL_S, TAIL_SHARE * told_s):
        raise NotMedia(f"{path.name} ends after {at_s:.1f} s; its header says {told_s:.1f} s.", AGAIN)
    return samples_N


def longest_speech(samples_N: Float32) -> SpeechSegment:
    """The longest speech segment that the live segmenter cuts from a recording; all of it if it cuts none."""
    cutter = SpeechCutter(SpeechSettings())
    silence = np.zeros(SAMPLE_RATE_HZ, np.float32)
    heard = list(cutter.push(AudioChunk(0.0, np.concatenate([samples_N, silence]))))
    segments = [part for part in heard if isinstance(part, SpeechSegment)]
    whole = SpeechSegment(0.0, len(samples_N) / SAMPLE_RATE_HZ, samples_N)
    return max(segments, key=lambda part: part.end_s - part.start_s, default=whole)


def write(path: Path, samples_N: Float32) -> None:
    """Write (N,) float32 at 16 kHz as FLAC or Opus, by the ending of `path`.

    Raises OSError where the disk takes no more. An interrupted write leaves no file of that name.
    """
    temporary = path.with_suffix(f".tmp{path.suffix}")
    try:
        with av.open(str(temporary), "w") as container:
            stream = container.add_stream(CODECS[path.suffix], rate=SAMPLE_RATE_HZ, layout="mono")
            assert isinstance(stream, AudioStream)
            if path.suffix == ".opus":
                stream.bit_rate = OPUS_BIT_RATE
            pcm_1N = np.round(samples_N * 32768.0).clip(-32768, 32767).astype(np.int16)[None]
            frame = av.AudioFrame.from_ndarray(pcm_1N, format="s16", layout="mono")
            frame.sample_rate = SAMPLE_RATE_HZ
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def seconds(path: Path) -> float:
    """The length that the header of a FLAC or Opus file tells. Raises NotMedia."""
    try:
        with av.open(file_url(str(path))) as container:
            if container.duration is not None:
                return container.duration / av.time_base
    except (av.FFmpegError, OSError) as error:
        raise NotMedia(f"{path.name} cannot be read: {error.strerror}.", AGAIN) from error
    raise NotMedia(f"{path.name} does not say how long it is.", AGAIN)
