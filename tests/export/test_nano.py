"""The embedded checkpoint itself: exported, equal to torch, compiled by TensorRT-RTX, and served."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from export import onnx, parity, trt
from realtime.evidence.engines import artifact
from realtime.loading import load
from realtime.model import checkpoint
from realtime.records import VideoFrame
from tests.export.test_trt import NEEDS_RTX

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("nano")
    onnx.export(checkpoint.NANO, root, name="nano", precision="fp32", opset=20)
    return root


def test_nano_through_onnxruntime_equals_torch_and_transformers(exports: Path) -> None:
    figures, fine = parity.check(artifact.read(exports / "onnx-fp32-opset20"), "nano")
    assert fine, figures


def test_nano_compiles_in_tensorrt_rtx(exports: Path) -> None:
    pytest.importorskip("tensorrt_rtx", reason=NEEDS_RTX)
    made, new = trt.export(checkpoint.NANO, exports, name="nano", precision="fp32", flavor="rtx", target="SM86")
    assert new
    assert set(made.files) == {"vision.engine", "audio.engine"}


def test_nano_sees_the_same_through_both_engines(exports: Path) -> None:
    frame = VideoFrame(0.0, np.random.default_rng(0).integers(0, 255, (240, 320, 3), dtype=np.uint8))
    seen = []
    for engine in ("torch", "onnx"):
        perception = load("nano", engine=engine, engine_dir=exports).perceiver(seed=3)
        seen.append(perception.see(frame))
        perception.close()
    assert seen[0].counts == seen[1].counts
    np.testing.assert_array_equal(seen[0].positions_3N, seen[1].positions_3N)
    np.testing.assert_allclose(seen[0].tokens_ND, seen[1].tokens_ND, atol=1e-4)
