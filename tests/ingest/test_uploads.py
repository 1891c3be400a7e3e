"""Pictures and sounds that a program sends whole: what is read of them, and what is refused before it costs much."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from realtime.errors import NotMedia, RealtimeError, TooLarge, TooLong
from realtime.ingest.uploads import MAX_S, MAX_SIDE_PX, read_upload
from realtime.observe.metrics import rss_mb
from realtime.records import SAMPLE_RATE_HZ, UInt8
from tests.ingest.media_files import room, voice
from tests.ingest.uploads import black_png, png, wav


def test_a_picture_is_read_as_it_is(portrait: UInt8) -> None:
    upload = read_upload(png(portrait))
    (picture,) = upload.pictures
    np.testing.assert_array_equal(picture.rgb_HW3, portrait)
    assert (picture.number, picture.at_s, picture.width, picture.height) == (0, 0.0, 512, 512)
    assert upload.samples_N is None


def test_a_large_picture_is_scaled_down_and_keeps_its_size_for_boxes() -> None:
    (picture,) = read_upload(black_png(2_000)).pictures
    assert picture.rgb_HW3.shape == (1280, 1280, 3)
    assert (picture.width, picture.height) == (2_000, 2_000)


def test_a_sound_is_read_at_16_khz() -> None:
    sound_N = np.concatenate([room(0.5), voice(1.0)])
    upload = read_upload(wav(sound_N))
    assert upload.pictures == ()
    assert upload.samples_N is not None
    np.testing.assert_allclose(upload.samples_N, sound_N, atol=1e-4)


def test_a_video_gives_a_picture_a_second_and_its_sound(a_recording: Path) -> None:
    upload = read_upload(a_recording.read_bytes())
    assert [round(picture.at_s) for picture in upload.pictures] == [0, 1, 2, 3, 4]
    assert [picture.number for picture in upload.pictures] == [0, 10, 20, 30, 40]
    assert upload.samples_N is not None
    assert upload.samples_N.size / SAMPLE_RATE_HZ == pytest.approx(5.0, abs=0.1)
    slower = read_upload(a_recording.read_bytes(), period_s=2.0)
    assert [round(picture.at_s) for picture in slower.pictures] == [0, 2, 4]


@pytest.mark.slow
def test_a_picture_of_half_a_gigabyte_is_refused_before_it_is_decoded() -> None:
    bomb = black_png(12_000)
    assert len(bomb) < 1_000_000
    before_mb = rss_mb()
    with pytest.raises(TooLarge, match=f"{MAX_SIDE_PX} × {MAX_SIDE_PX}"):
        read_upload(bomb)
    assert rss_mb() - before_mb < 50


def test_sound_that_is_too_long_is_refused() -> None:
    with pytest.raises(TooLong, match=f"longer than {MAX_S:g} s"):
        read_upload(wav(np.zeros(round((MAX_S + 1) * SAMPLE_RATE_HZ), np.float32)))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n",
        b"ffconcat version 1.0\nfile /etc/hostname\n",
        b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/hostname'/></svg>",
        black_png(16)[:40],
        wav(np.zeros(0, np.float32)),
    ],
    ids=["nothing", "text", "playlist", "list of files", "svg", "cut off", "no samples"],
)
def test_what_is_no_media_is_refused_and_nothing_that_it_names_is_opened(data: bytes) -> None:
    with pytest.raises(NotMedia) as refused:
        read_upload(data)
    assert refused.value.hint


def test_damaged_pictures_end_in_a_refusal_or_a_picture(portrait: UInt8) -> None:
    whole = bytearray(png(portrait[:64, :64]))
    random = np.random.default_rng(0)
    for _ in range(50):
        damaged = bytearray(whole)
        for place in random.integers(8, len(damaged), 6):
            damaged[place] = random.integers(256)
        # Whatever else is raised fails the test.
        with suppress(RealtimeError):
            assert len(read_upload(bytes(damaged)).pictures) == 1
