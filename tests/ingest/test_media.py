"""Recordings of every kind a person has, and things that are none."""

from __future__ import annotations

import asyncio
import sys
import threading
from contextlib import aclosing
from pathlib import Path

import numpy as np
import pytest

from realtime.errors import NotMedia
from realtime.ingest.media import MediaSource
from realtime.ingest.settings import IngestSettings
from realtime.ingest.speech import SpeechSettings
from realtime.records import ClockTick
from tests.ingest.media_files import Received, room, voice, write_clip
from tests.recorded import real_clips
from tests.waiting import eventually

AT_30_FPS = [index / 30 for index in range(100)]
SPOKEN = np.concatenate([room(0.8), voice(1.4), room(1.1)])


def open_media(path: Path | str) -> MediaSource:
    return MediaSource.open(str(path), ingest=IngestSettings(), speech=SpeechSettings())


@pytest.mark.parametrize("clip", real_clips(), ids=lambda clip: clip.stem)
async def test_real_clips_give_a_frame_a_second_and_their_sentence(clip: Path, received: Received) -> None:
    await received.all_of(open_media(clip))
    assert [round(frame.at_s, 1) for frame in received.frames] == [0.0, 1.0, 2.0][: len(received.frames)]
    assert len(received.frames) >= 2
    assert all(frame.rgb_HW3.shape == (360, 480, 3) for frame in received.frames)
    (segment,) = received.segments
    assert 1.0 < segment.end_s - segment.start_s < 2.2
    assert segment.samples_N.size == pytest.approx((segment.end_s - segment.start_s) * 16_000, abs=1)
    assert received.reasons == ["end of file"]


async def test_both_tracks_come_in_media_order_with_four_ticks_a_second(tmp_path: Path, received: Received) -> None:
    await received.all_of(open_media(write_clip(tmp_path / "clip.mp4", pictures_s=AT_30_FPS, sound_N=SPOKEN)))
    assert [round(frame.at_s) for frame in received.frames] == [0, 1, 2, 3]
    assert [kind for kind, _ in received.order] == ["frame", "frame", "start", "frame", "end", "frame"]
    (segment,) = received.segments
    assert segment.start_s == pytest.approx(0.8 - 0.18, abs=0.1)
    assert segment.end_s == pytest.approx(2.2 + 0.15, abs=0.1)
    assert received.started[0].start_s == segment.start_s
    assert received.clock_s == sorted(received.clock_s)
    assert max(np.diff(received.clock_s)) <= 0.25
    assert received.clock_s[-1] == pytest.approx(100 / 30, abs=0.05)


async def test_audio_only(tmp_path: Path, received: Received) -> None:
    source = open_media(write_clip(tmp_path / "voice.wav", sound_N=SPOKEN, audio_codec="pcm_s16le"))
    assert (source.has_video, source.has_audio, source.live) == (False, True, False)
    await received.all_of(source)
    assert len(received.segments) == 1
    assert not received.frames


async def test_video_only(tmp_path: Path, received: Received) -> None:
    source = open_media(write_clip(tmp_path / "clip.mp4", pictures_s=AT_30_FPS))
    assert (source.has_video, source.has_audio) == (True, False)
    await received.all_of(source)
    assert len(received.frames) == 4
    assert not received.started


@pytest.mark.parametrize(("turned_deg", "red"), [(90, (-1, 0)), (-90, (0, -1)), (180, (-1, -1))])
async def test_a_phone_held_sideways(turned_deg: int, red: tuple[int, int], tmp_path: Path, received: Received) -> None:
    """The matrix says by how many degrees, counter-clockwise, the stored picture is to be turned."""
    await received.all_of(open_media(write_clip(tmp_path / "clip.mp4", pictures_s=[0.0, 0.1], turned_deg=turned_deg)))
    rgb_HW3 = received.frames[0].rgb_HW3
    assert rgb_HW3.shape == ((120, 160, 3) if turned_deg == 180 else (160, 120, 3))
    corner_3 = rgb_HW3[red].astype(int)
    assert corner_3[0] > 150
    assert corner_3[1] < 90


async def test_a_variable_frame_rate_and_a_hole(tmp_path: Path, received: Received) -> None:
    await received.all_of(open_media(write_clip(tmp_path / "clip.mkv", pictures_s=[0.0, 0.5, 0.9, 2.6, 2.7, 3.1, 3.2])))
    assert [frame.at_s for frame in received.frames] == pytest.approx([0.0, 2.6, 3.1], abs=0.01)


async def test_an_elementary_stream_without_a_container(tmp_path: Path, received: Received) -> None:
    await received.all_of(open_media(write_clip(tmp_path / "clip.mjpeg", pictures_s=AT_30_FPS[:60], codec="mjpeg")))
    assert len(received.frames) >= 2
    assert all(np.diff([frame.at_s for frame in received.frames]) > 0.9)


async def test_a_damaged_tail_gives_what_decodes(tmp_path: Path, received: Received) -> None:
    path = write_clip(tmp_path / "clip.mkv", pictures_s=AT_30_FPS, sound_N=SPOKEN)
    content = bytearray(path.read_bytes())
    half = len(content) // 2
    content[half:] = np.random.default_rng(0).bytes(len(content) - half)
    path.write_bytes(content)
    await received.all_of(open_media(path))
    assert len(received.frames) >= 2
    assert len(received.reasons) == 1


async def test_a_cut_off_recording_says_how_much_is_missing(tmp_path: Path, received: Received) -> None:
    path = write_clip(tmp_path / "clip.mkv", pictures_s=AT_30_FPS, sound_N=SPOKEN)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    await received.all_of(open_media(path))
    assert len(received.frames) >= 2
    assert "sooner than its header says" in received.reasons[0]


@pytest.mark.parametrize("name", ["notes.txt", "empty.mp4", "noise.mp4", "letter.docx", "folder", "missing.mp4"])
def test_what_is_not_media_is_refused_with_a_hint(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    match name:
        case "notes.txt":
            path.write_text("What I felt today.\n" * 50)
        case "empty.mp4":
            path.touch()
        case "noise.mp4" | "letter.docx":
            path.write_bytes(b"PK\x03\x04" + np.random.default_rng(1).bytes(20_000))
        case "folder":
            path.mkdir()
    with pytest.raises(NotMedia) as refused:
        open_media(path)
    assert refused.value.hint


def test_addresses_other_than_a_camera_are_refused() -> None:
    with pytest.raises(NotMedia, match="http"):
        open_media("http://127.0.0.1/clip.mp4")


def media_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("media")]


def rests(thread: threading.Thread) -> bool:
    """Whether a thread of a pool waits for work."""
    frame = sys._current_frames().get(thread.ident or 0)
    return frame is None or frame.f_code.co_name == "_worker"


async def test_a_slow_consumer_makes_the_reading_wait(tmp_path: Path) -> None:
    ahead: list[float] = []
    source = open_media(write_clip(tmp_path / "clip.mp4", pictures_s=AT_30_FPS))
    async for item in source.items():
        if isinstance(item, ClockTick):
            await eventually(lambda: all(map(rests, media_threads())), "the reader's rest")
            ahead.append(source.n_frames / 30 - item.at_s)
    assert max(ahead) < 0.5


def test_read_gives_the_same_items_without_an_event_loop(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", pictures_s=AT_30_FPS, sound_N=SPOKEN)
    awaited, blocking = Received(), Received()
    asyncio.run(awaited.all_of(open_media(clip)))
    for item in open_media(clip).read():
        blocking.take(item)
    assert (blocking.order, blocking.clock_s, blocking.reasons) == (awaited.order, awaited.clock_s, awaited.reasons)


async def test_cancelling_frees_the_file_and_its_thread(tmp_path: Path) -> None:
    stuck = asyncio.Event()

    async def get_stuck() -> None:
        async with aclosing(open_media(write_clip(tmp_path / "clip.mp4", pictures_s=AT_30_FPS)).items()) as items:
            async for _ in items:
                stuck.set()
                await asyncio.Event().wait()

    running = asyncio.create_task(get_stuck())
    await stuck.wait()
    assert media_threads()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    for thread in media_threads():
        await asyncio.to_thread(thread.join, 2)
        assert not thread.is_alive()
