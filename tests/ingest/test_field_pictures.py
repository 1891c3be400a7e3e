"""Field reports 11, 13 and 20: pictures that were turned, dim, the wrong ones, or no picture at all."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image, ImageOps

from realtime.ingest.convert import to_rgb
from realtime.ingest.hdr import HLG, PQ
from realtime.records import InputState, VideoFrame
from tests.ingest.media_files import open_media, picture, room, voice, write_clip

SPOKEN = np.concatenate([room(0.8), voice(1.4), room(1.1)])
RED, FLIPS = (220, 30, 30), [(0, 0), (1, 0), (0, 1)]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_with_exif_is_read_as_it_was_held(orientation: int, tmp_path: Path) -> None:
    """Field report 13: FFmpeg 8 hands on EXIF as well as the matrix, and every photograph of a phone was a ValueError
    ("31 is not a valid Type")."""
    picture_HW3 = np.full((48, 64, 3), 90, np.uint8)
    picture_HW3[:24, :32] = RED
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "IMG_0001.jpg"
    Image.fromarray(picture_HW3).save(path, quality=95, exif=exif)
    (frame,) = [item for item in open_media(path).read() if isinstance(item, VideoFrame)]
    wanted_HW3 = np.asarray(ImageOps.exif_transpose(Image.open(path)))
    assert frame.rgb_HW3.shape == wanted_HW3.shape
    assert np.abs(frame.rgb_HW3.astype(int) - wanted_HW3).mean() < 6


def test_a_cover_beside_the_picture_is_no_second_camera(tmp_path: Path) -> None:
    """Field report 11: of a download with its thumbnail it was said that there are two video tracks."""
    plain = write_clip(tmp_path / "plain.mp4", pictures_s=[0.0, 0.1], sound_N=SPOKEN)
    cover, path = tmp_path / "cover.jpg", tmp_path / "with_cover.mp4"
    Image.fromarray(picture(0)).save(cover)
    with av.open(str(plain)) as source, av.open(str(cover)) as still, av.open(str(path), "w") as out:
        kept = {stream.index: out.add_stream_from_template(stream) for stream in source.streams}
        art = out.add_stream("mjpeg", rate=1)
        art.width, art.height, art.pix_fmt, art.disposition = 160, 120, "yuvj420p", av.stream.Disposition.attached_pic
        shown = next(still.demux(video=0))
        shown.stream, shown.pts, shown.dts = art, 0, 0
        out.mux(shown)
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = kept[packet.stream.index]
                out.mux(packet)
    items = list(open_media(path).read())
    assert not [item for item in items if isinstance(item, InputState)]
    (frame,) = [item for item in items if isinstance(item, VideoFrame)]
    assert frame.rgb_HW3.shape == (120, 160, 3)


def test_an_animated_avif_is_watched_and_not_its_first_picture(tmp_path: Path) -> None:
    path = tmp_path / "moving.avif"
    Image.fromarray(picture(0)).save(
        path, save_all=True, append_images=[Image.fromarray(picture(20 * n)) for n in range(1, 8)], duration=500
    )
    items = list(open_media(path).read())
    assert len([item for item in items if isinstance(item, VideoFrame)]) == 4
    assert not [item for item in items if isinstance(item, InputState)]


@pytest.mark.parametrize("degrees", [0, 90, -90, 180])
@pytest.mark.parametrize("flips", FLIPS, ids=["as it is", "mirrored", "upside down"])
def test_the_whole_display_matrix_is_followed(degrees: int, flips: tuple[int, int], tmp_path: Path) -> None:
    """Field report 13: mirrored pictures were turned upside down, and flipped ones left as they were.

    The expected place of the red corner follows from the definition: turned counter-clockwise, then mirrored.
    """
    picture_HW3 = np.full((48, 64, 3), 90, np.uint8)
    picture_HW3[:24, :32] = RED
    path = tmp_path / "turned.mp4"
    with av.open(str(path), "w") as out:
        video = out.add_stream("mpeg4", rate=10)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        video.set_display_rotation(degrees, *map(bool, flips))
        frame = av.VideoFrame.from_ndarray(picture_HW3, format="rgb24")
        frame.pts, frame.time_base = 0, Fraction(1, 10)
        out.mux(video.encode(frame))
        out.mux(video.encode())
    expected_HW3 = np.rot90(picture_HW3, k=degrees // 90)
    if flips[0]:
        expected_HW3 = expected_HW3[:, ::-1]
    if flips[1]:
        expected_HW3 = expected_HW3[::-1]
    with av.open(str(path)) as file:
        seen_HW3 = to_rgb(next(file.decode(video=0)), max_side_px=640)
    assert seen_HW3.shape == expected_HW3.shape
    assert np.abs(seen_HW3.astype(int) - expected_HW3).mean() < 12


def coded(nits: float, transfer: int) -> float:
    """The code of a grey of so many cd/m² (ITU-R BT.2100, tables 4 and 5)."""
    if transfer == PQ:
        y = (nits / 10_000) ** (2610 / 16384)
        return float(((3424 / 4096 + 2413 / 128 * y) / (1 + 2392 / 128 * y)) ** (2523 / 32))
    scene = (nits / 1_000) ** (1 / 1.2)
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return float(np.sqrt(3 * scene) if scene <= 1 / 12 else a * np.log(12 * scene - b) + c)


@pytest.mark.parametrize("transfer", [PQ, HLG])
@pytest.mark.parametrize(("nits", "wanted"), [(0.0, 0), (26.0, 108), (100.0, 190), (203.0, 243), (1_000.0, 253)])
def test_hdr_video_is_as_bright_as_it_looks(transfer: int, nits: float, wanted: int) -> None:
    """Field report 20: phones' HLG and PQ video was "dim". 26 cd/m² is grey card, 203 is diffuse white (BT.2408)."""
    grey_HW3 = np.full((16, 16, 3), round(coded(nits, transfer) * 65535), np.uint16)
    frame = av.VideoFrame.from_ndarray(grey_HW3, format="rgb48le")
    frame.color_trc = transfer
    assert to_rgb(frame, max_side_px=16).mean() == pytest.approx(wanted, abs=4)
