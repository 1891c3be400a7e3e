"""Both engines for faces see the same: MediaPipe's own graphs, and its models on ONNX Runtime."""

from __future__ import annotations

import json
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
from realtime.evidence.face_engines.warp import Cutter, Square
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
    cut_3SS = Cutter(160).cut(rgb, square, repeat_edge=False)
    rows, columns = np.nonzero(cut_3SS[0] > 128)
    assert (columns.mean() / 160, rows.mean() / 160) == pytest.approx((0.25, 0.75), abs=0.01)


def test_beyond_a_picture_is_black_or_its_edge() -> None:
    rgb = np.full((40, 40, 3), 200, np.uint8)
    square = Square(20.0, 20.0, 80.0)
    assert Cutter(80).cut(rgb, square, repeat_edge=True).min() == 200
    black = Cutter(80).cut(rgb, square, repeat_edge=False)
    assert black[:, 5, 5].tolist() == [0, 0, 0]
    assert black[:, 40, 40].tolist() == [200, 200, 200]


def interpolated(rgb_HW3: UInt8, square: Square, side_px: int, *, repeat_edge: bool) -> UInt8:
    """What a Cutter cuts, pixel by pixel, in whole numbers."""
    height, width = rgb_HW3.shape[:2]
    beyond = np.zeros(3, np.uint8)

    def pixel(y: int, x: int) -> UInt8:
        if not repeat_edge and not (0 <= y < height and 0 <= x < width):
            return beyond
        return np.asarray(rgb_HW3[min(max(y, 0), height - 1), min(max(x, 0), width - 1)])

    grid = np.stack(np.meshgrid(np.arange(side_px), np.arange(side_px)), axis=-1).reshape(-1, 2) / np.float32(side_px)
    places = square.place(grid.astype(np.float32)).reshape(side_px, side_px, 2)
    steps = np.rint(places * 32).astype(int)
    result = np.zeros((3, side_px, side_px), np.uint8)
    for row, column in np.ndindex(side_px, side_px):
        (x, along), (y, down) = (divmod(int(step), 32) for step in steps[row, column])
        total = np.full(3, 512)
        for below, weight in ((0, 32 - down), (1, down)):
            for right, other in ((0, 32 - along), (1, along)):
                total += pixel(y + below, x + right).astype(int) * weight * other
        result[:, row, column] = total >> 10
    return result


@pytest.mark.parametrize("repeat_edge", [False, True])
@pytest.mark.parametrize(
    "square",
    [
        Square(32.0, 24.0, 64.0),  # the whole picture, pixel by pixel, with bars above and below
        Square(32.0, 24.0, 75.0),
        Square(30.0, 25.0, 20.0),
        Square(60.0, 2.0, 17.3),  # over a corner
        Square(-200.0, -90.0, 30.0),  # beside the picture
        Square(30.0, 25.0, 22.0, 0.3),
        Square(5.0, 40.0, 30.0, -0.8),
    ],
)
def test_pixels_are_interpolated_between_their_four_neighbours(square: Square, repeat_edge: bool) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    wanted = interpolated(rgb, square, 32, repeat_edge=repeat_edge)
    cutter = Cutter(32)
    cutter.cut(
        np.asarray(255 - rgb, np.uint8), Square(30.0, 25.0, 22.0, 0.2), repeat_edge=True
    )  # nothing of it is left
    apart = np.abs(cutter.cut(rgb, square, repeat_edge=repeat_edge) - wanted)
    # A place on the border of two steps may go to either.
    assert (apart > 0).mean() < 0.005
    assert apart.max() <= 8


@mediapipe_only
@pytest.mark.slow
@pytest.mark.parametrize("name", ["near", "far", "mesh"])
def test_the_models_are_what_the_export_makes(name: str) -> None:
    from export.faces import convert

    assert convert(name).SerializeToString(deterministic=True) == (MODELS / f"{name}.onnx").read_bytes()


@mediapipe_only
@pytest.mark.slow
def test_single_calls_are_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert face_parity.main(["--calls", "2", str(clip("NEU"))]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["call"] for line in lines] == ["near", "far", "meshes"]
    assert all(line[engine]["cpu_least_ms"] > 0 for line in lines for engine in ("mediapipe", "onnx"))


@pytest.mark.parametrize(("name", "most"), [("near", 4), ("far", 4), ("mesh", 12)])
def test_models_keep_the_fast_layout(name: str, most: int, tmp_path: Path) -> None:
    """Each change between ONNX Runtime's blocks of channels and planes takes time; the models once had 33, 4 and 56."""
    import onnxruntime

    onnx = pytest.importorskip("onnx", reason="needs the extra export")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    onnxruntime.InferenceSession(MODELS / f"{name}.onnx", options, providers=["CPUExecutionProvider"])
    nodes = onnx.load(tmp_path / "optimised.onnx").graph.node
    if all(node.domain != "com.microsoft.nchwc" for node in nodes):
        pytest.skip("ONNX Runtime has no such layout for this processor")
    assert sum(node.op_type in ("ReorderInput", "ReorderOutput") for node in nodes) <= most


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
