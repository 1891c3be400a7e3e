"""Recordings that people met in the field and that went wrong once: each test is named after what was seen."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest

from realtime.errors import NotMedia
from realtime.ingest.mono import MonoResampler
from realtime.records import SAMPLE_RATE_HZ
from tests.ingest.media_files import Received, open_media, room, voice, write_clip

Sound = npt.NDArray[np.float32]
SPOKEN = np.concatenate([room(0.8), voice(1.4), room(1.1)])


@pytest.mark.parametrize("hole_s", [61.0, 300.0])
async def test_a_hole_in_one_track_leaves_face_and_voice_together(
    hole_s: float, tmp_path: Path, received: Received
) -> None:
    """Field report 5: after a hole of 61 s and more in the sound, face and voice stood 65 s apart."""
    path = tmp_path / "hole.mkv"
    with av.open(str(path), "w") as out:
        video = out.add_stream("mpeg4", rate=1)
        video.width, video.height, video.pix_fmt = 32, 32, "yuv420p"
        sound = out.add_stream("pcm_s16le", rate=SAMPLE_RATE_HZ, layout="mono")
        spoken = (SPOKEN * 32767).astype(np.int16)
        for second in range(round(hole_s) + 12):
            picture = av.VideoFrame.from_ndarray(np.full((32, 32, 3), second % 200, np.uint8), format="rgb24")
            picture.pts, picture.time_base = second, Fraction(1)
            out.mux(video.encode(picture))
            if second in (0, 3, round(hole_s) + 6):
                frame = av.AudioFrame.from_ndarray(spoken[None], format="s16", layout="mono")
                frame.sample_rate, frame.pts = SAMPLE_RATE_HZ, second * SAMPLE_RATE_HZ
                frame.time_base = Fraction(1, SAMPLE_RATE_HZ)
                out.mux(sound.encode(frame))
        out.mux(video.encode())
    await received.all_of(open_media(path))
    spoken_s = [round(segment.start_s - 0.7, 0) for segment in received.segments]
    assert spoken_s == [0.0, 3.0, round(hole_s) + 6]
    assert received.frames[-1].at_s == pytest.approx(hole_s + 11, abs=1)


@pytest.mark.parametrize("hole_s", [61, 300])
async def test_a_hole_of_a_recording_without_sound_is_a_hole(hole_s: int, tmp_path: Path, received: Received) -> None:
    """Field report 5: screen recordings have no picture where nothing moves, and their later times were too early."""
    stamps_s = [0.0, 1.0, hole_s + 1.0, hole_s + 2.0]
    await received.all_of(open_media(write_clip(tmp_path / "screen.mkv", pictures_s=stamps_s)))
    assert [frame.at_s for frame in received.frames] == pytest.approx(stamps_s, abs=0.1)


@pytest.mark.parametrize("stamps_s", [(36_000, 36_001, 36_002), (0, 1, 7_200, 7_201)], ids=["late", "leaps"])
async def test_a_clock_that_begins_late_or_leaps_is_no_missing_end(
    stamps_s: Sequence[int], tmp_path: Path, received: Received
) -> None:
    """Field report 5: Matroska tells its last stamp as its length, and so "36000.0 s sooner than its header says"."""
    path = tmp_path / "late.mkv"
    with av.open(str(path), "w") as out:
        video = out.add_stream("mpeg4", rate=1)
        video.width, video.height, video.pix_fmt = 32, 32, "yuv420p"
        for at_s in stamps_s:
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), at_s % 200, np.uint8), format="rgb24")
            frame.pts, frame.time_base = at_s, Fraction(1)
            out.mux(video.encode(frame))
        out.mux(video.encode())
    await received.all_of(open_media(path))
    assert received.reasons == ["end of file"]


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_none_are_silent(broken: float) -> None:
    """Field report 22: infinity in a float file became clicks at full scale, which were heard as speech throughout."""
    sound_N = room(1.0)
    sound_N[::1000] = broken
    frame = av.AudioFrame.from_ndarray(sound_N[None], format="fltp", layout="mono")
    frame.sample_rate = SAMPLE_RATE_HZ
    resampler = MonoResampler(live=False)
    chunks = [*resampler.push(frame, start_s=0.0), *resampler.flush()]
    assert np.abs(np.concatenate([chunk.samples_N for chunk in chunks])).max() < 2e-3


@pytest.mark.parametrize(
    "name",
    ["2024-05-01T12:30:00.mp4", "interview: take 2.mp4", "a|b.mp4", "50%.mp4", "img%d.mp4", "-dash.mp4", "[x]*?.mp4"],
)
async def test_a_path_is_a_path(name: str, tmp_path: Path, received: Received, monkeypatch: pytest.MonkeyPatch) -> None:
    """Field report 7: a time in a file's name was read as a protocol ("Protocol not found")."""
    plain = write_clip(tmp_path / "plain.mp4", pictures_s=[0.0, 0.1])
    plain.rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    await received.all_of(open_media(name))
    assert len(received.frames) == 1


def sounding(path: Path, tracks: Sequence[Sound], *, default: int | None = None) -> Path:
    """A recording with several tracks of sound."""
    with av.open(str(path), "w") as out:
        streams = [out.add_stream("pcm_s16le", rate=SAMPLE_RATE_HZ, layout="mono") for _ in tracks]
        for index, stream in enumerate(streams):
            stream.disposition = av.stream.Disposition.default if index == default else av.stream.Disposition(0)
        for start in range(0, tracks[0].size, 1600):
            for stream, track_N in zip(streams, tracks, strict=True):
                pcm = (track_N[start : start + 1600] * 32767).astype(np.int16)
                frame = av.AudioFrame.from_ndarray(pcm[None], format="s16", layout="mono")
                frame.sample_rate, frame.pts = SAMPLE_RATE_HZ, start
                frame.time_base = Fraction(1, SAMPLE_RATE_HZ)
                out.mux(stream.encode(frame))
    return path


@pytest.mark.parametrize(
    ("spoken", "default", "taken"),
    [((1,), None, 2), ((1,), 0, 2), ((0, 1), 1, 2), ((0, 1), None, 1), ((0,), 1, 1)],
    ids=["first silent", "default silent", "default second", "both", "default second silent"],
)
async def test_of_several_tracks_the_one_with_the_voice_is_heard(
    spoken: Sequence[int], default: int | None, taken: int, tmp_path: Path, received: Received
) -> None:
    """Field report 11: OBS's first track was silent, and the person was told to unmute the microphone."""
    tracks = [SPOKEN if index in spoken else np.zeros_like(SPOKEN) for index in range(2)]
    await received.all_of(open_media(sounding(tmp_path / "obs.mkv", tracks, default=default)))
    assert len(received.segments) == 1
    (state,) = received.states
    assert state.code == "several_audio_tracks"
    assert state.message == f"The recording has 2 audio tracks; number {taken} is heard."


def test_an_empty_audio_track_is_no_sound(tmp_path: Path) -> None:
    """Field report 22: it was waited for, and the microphone was said to be muted."""
    path = tmp_path / "empty.mkv"
    with av.open(str(path), "w") as out:
        video = out.add_stream("mpeg4", rate=10)
        video.width, video.height, video.pix_fmt = 32, 32, "yuv420p"
        out.add_stream("pcm_s16le", rate=SAMPLE_RATE_HZ, layout="mono")
        for index in range(20):
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), index, np.uint8), format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 10)
            out.mux(video.encode(frame))
        out.mux(video.encode())
    source = open_media(path)
    assert (source.has_video, source.has_audio) == (True, False)


def test_a_git_lfs_pointer_is_said_to_be_one(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n")
    with pytest.raises(NotMedia, match="git-LFS pointer") as refused:
        open_media(path)
    assert refused.value.hint == "Run: git lfs pull"


def test_a_recording_that_was_never_finished_is_said_to_be_one(tmp_path: Path) -> None:
    whole = write_clip(tmp_path / "whole.mp4", pictures_s=[0.0, 0.1], sound_N=SPOKEN).read_bytes()
    at, boxes = 0, b""
    while at < len(whole):
        size = struct.unpack(">I", whole[at : at + 4])[0]
        boxes += b"" if whole[at + 4 : at + 8] == b"moov" else whole[at : at + size]
        at += size
    path = tmp_path / "crashed.mp4"
    path.write_bytes(boxes)
    with pytest.raises(NotMedia, match="never finished"):
        open_media(path)
