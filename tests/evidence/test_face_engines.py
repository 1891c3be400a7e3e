"""Both engines for faces see the same: MediaPipe's own graphs, and its models on ONNX Runtime."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from export import face_parity
from export.face_parity import compare
from realtime.errors import EngineMissing
from realtime.evidence.face_engines import choice
from realtime.evidence.face_engines.choice import has_mediapipe, start
from realtime.evidence.face_engines.onnx_engine import MODELS, OnnxFaces
from realtime.evidence.face_engines.warp import Square, cut
from realtime.evidence.faces import FaceFinder
from realtime.evidence.resize import enlarge, shrink
from realtime.records import UInt8, VideoFrame
from tests.recorded import DATA, clip, frames_of

mediapipe_only = pytest.mark.skipif(not has_mediapipe(), reason="mediapipe 0.10.21 is not installed")


def turned(rgb_HW3: UInt8, degrees: float) -> UInt8:
    """The picture turned around its middle, on grey."""
    from PIL import Image

    return np.asarray(Image.fromarray(rgb_HW3).rotate(degrees, Image.Resampling.BICUBIC, fillcolor=(120, 120, 120)))


def far_away(rgb_HW3: UInt8, side_px: int) -> UInt8:
    """A 720p frame with the picture small in its right half."""
    from PIL import Image

    frame = np.full((720, 1280, 3), (150, 140, 125), np.uint8)
    small = np.asarray(Image.fromarray(rgb_HW3).resize((side_px, side_px), Image.Resampling.BOX))
    frame[150 : 150 + side_px, 700 : 700 + side_px] = small
    return frame


@mediapipe_only
@pytest.mark.slow
def test_both_engines_see_the_same_in_pictures(portrait: UInt8, portrait_face: UInt8) -> None:
    pictures = [
        portrait,
        np.ascontiguousarray(portrait[:, 175:]),
        portrait_face,
        np.concatenate([portrait_face] * 5, axis=1),
        *(turned(portrait, degrees) for degrees in (-35, 12, 60)),
        *(far_away(portrait, side_px) for side_px in (500, 256, 180)),
        np.random.default_rng(0).integers(0, 255, (480, 640, 3), dtype=np.uint8),
    ]
    found = compare([[VideoFrame(0.0, picture)] for picture in pictures])
    assert found.fine, found.report()
    assert found.n_faces >= 12


@mediapipe_only
@pytest.mark.slow
@pytest.mark.parametrize("emotion", ["ANG", "HAP", "NEU"])
def test_both_engines_see_the_same_through_a_clip(emotion: str) -> None:
    frames = frames_of(clip(emotion), every_s=0.2)
    found = compare([frames])
    assert found.fine, found.report()
    assert found.n_faces >= len(frames)


@mediapipe_only
@pytest.mark.slow
def test_both_engines_see_the_same_faces_of_ferplus() -> None:
    from train.nano import ferplus

    if DATA is None or not (DATA / "ferplus").is_dir():
        pytest.skip(f"no faces at {DATA}; set EMOTHINKER_DATA to the data folder")
    faces = ferplus.load(DATA)
    pictures = [ferplus.as_camera_frame(image_HW) for image_HW in faces.images_NHW[:: len(faces.images_NHW) // 60]]
    found = compare([[VideoFrame(0.0, picture)] for picture in pictures])
    assert found.fine, found.report()
    assert found.n_faces > 50


@mediapipe_only
def test_a_difference_is_noticed(portrait: UInt8, monkeypatch: pytest.MonkeyPatch) -> None:
    near = OnnxFaces.near
    monkeypatch.setattr(
        OnnxFaces, "near", lambda self, rgb: [((x, y, w * 1.1, h), s) for (x, y, w, h), s in near(self, rgb)]
    )
    found = compare([[VideoFrame(0.0, portrait)]])
    assert found.box_px > face_parity.MAX_BOX_PX
    assert not found.fine


def test_the_onnx_engine_finds_a_face_and_its_mesh_by_itself(portrait: UInt8) -> None:
    (face,) = FaceFinder("onnx").find(portrait, 0.0)
    x, y, w, h = face.box
    assert 0.3 < x < x + w < 0.6
    assert 0.1 < y < y + h < 0.5
    assert face.mesh_N3 is not None
    assert face.mesh_N3.shape == (478, 3)
    # The irises lie between the corners of their eyes.
    for iris, corners in ((468, (33, 133)), (473, (362, 263))):
        assert face.mesh_N3[corners[0], 0] < face.mesh_N3[iris, 0] < face.mesh_N3[corners[1], 0]


def test_the_models_are_small_and_their_licence_lies_beside_them() -> None:
    assert sum(path.stat().st_size for path in MODELS.glob("*.onnx")) < 4e6
    assert "Apache" in (MODELS / "NOTICE").read_text(encoding="utf-8")


@pytest.mark.parametrize("there", [True, False])
def test_auto_takes_mediapipe_where_it_is(there: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if there and not has_mediapipe():
        pytest.skip("mediapipe 0.10.21 is not installed")
    monkeypatch.setattr(choice, "has_mediapipe", lambda: there)
    assert type(start("auto")).__name__ == ("MediaPipeFaces" if there else "OnnxFaces")


def test_mediapipe_that_is_asked_for_and_missing_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "has_mediapipe", lambda: False)
    with pytest.raises(EngineMissing, match=r"pip install 'emothinker\[mediapipe\]'"):
        start("mediapipe")


def test_mediapipe_that_cannot_be_loaded_is_replaced_and_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    (tmp_path / "mediapipe.py").write_text("raise ImportError('libGL.so.1: cannot open shared object file')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in sys.modules if name.split(".")[0] == "mediapipe"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(choice, "has_mediapipe", lambda: True)
    assert type(start("auto")).__name__ == "OnnxFaces"
    assert "libGL" in caplog.text
    with pytest.raises(EngineMissing, match="libGL"):
        start("mediapipe")


@pytest.mark.parametrize("angle", [0.0, 0.4])
def test_a_square_that_is_cut_out_lies_where_its_points_are_placed(angle: float) -> None:
    rgb = np.zeros((200, 300, 3), np.uint8)
    square = Square(140.0, 90.0, 80.0, angle)
    x, y = square.place(np.array([[0.25, 0.75]], np.float32))[0].round().astype(int)
    rgb[y - 2 : y + 3, x - 2 : x + 3] = 255
    cut_3SS = cut(rgb, square, 160, repeat_edge=False)
    rows, columns = np.nonzero(cut_3SS[0] > 128)
    assert (columns.mean() / 160, rows.mean() / 160) == pytest.approx((0.25, 0.75), abs=0.01)


def test_beyond_a_picture_is_black_or_its_edge() -> None:
    rgb = np.full((40, 40, 3), 200, np.uint8)
    square = Square(20.0, 20.0, 80.0)
    assert cut(rgb, square, 80, repeat_edge=True).min() == 200
    black = cut(rgb, square, 80, repeat_edge=False)
    assert black[:, 5, 5].tolist() == [0, 0, 0]
    assert black[:, 40, 40].tolist() == [200, 200, 200]


def test_pictures_are_enlarged_like_torch_does(portrait: UInt8) -> None:
    import torch

    part = np.ascontiguousarray(portrait[60:173, 180:293])
    wide = torch.nn.functional.interpolate(
        torch.from_numpy(part).permute(2, 0, 1)[None].float(), size=(288, 288), mode="bicubic", align_corners=False
    )
    expected = wide[0].permute(1, 2, 0).round().clamp(0, 255).numpy()
    assert np.abs(enlarge(part, 288) - expected).max() <= 1


def test_pictures_are_shrunk_to_means() -> None:
    rgb = np.zeros((128, 192, 3), np.uint8)
    rgb[:64] = (10, 20, 30)
    small = shrink(rgb, 64)
    assert small.shape == (64, 64, 3)
    assert small[0, 0].tolist() == [10, 20, 30]
    assert small[-1, -1].tolist() == [0, 0, 0]
    assert shrink(rgb[:30, :20], 64).shape == (30, 20, 3)
