"""The embedded checkpoint itself: exported, equal to torch, compiled by TensorRT-RTX, and served."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from export import agreement, parity, trt
from realtime.engine.loading import load
from realtime.model import checkpoint
from realtime.records import UInt8, VideoFrame
from realtime.towers import artifact
from tests.export.rtx import needs_rtx
from train.evaluation.samples import Sample

pytestmark = pytest.mark.slow


def test_nano_through_onnxruntime_equals_torch_and_transformers(nano_exports: Path) -> None:
    figures, fine = parity.check(artifact.read(nano_exports / "onnx-fp32-opset20"), "nano")
    assert fine, figures


@needs_rtx
def test_nano_compiles_in_tensorrt_rtx(nano_exports: Path) -> None:
    made, new = trt.export(checkpoint.NANO, nano_exports, name="nano", precision="fp32", flavor="rtx", target="SM86")
    assert new
    assert set(made.files) == {"vision.engine", "audio.engine"}


def test_nano_sees_and_says_the_same_through_both_engines(nano_exports: Path, portrait: UInt8) -> None:
    """Tokens and their places are those of torch, and so is all that is told about a face."""
    frame = VideoFrame(0.0, portrait)
    given = [Sample("a", "happiness", "a", {}, frame=frame), Sample("b", "happiness", "b", {}, frame=frame)]
    seen, told = [], []
    for engine in ("torch", "onnx"):
        model = load("nano", engine=engine, engine_dir=nano_exports)
        perception = model.perceiver(seed=3)
        seen.append(perception.see(frame))
        perception.close()
        told.append(agreement.answers(model, given))
    assert seen[0].counts == seen[1].counts
    np.testing.assert_array_equal(seen[0].positions_3N, seen[1].positions_3N)
    np.testing.assert_allclose(seen[0].tokens_ND, seen[1].tokens_ND, atol=1e-4)
    assert told[0][0].answer is not None
    result = agreement.agree(told[1], told[0])
    assert result["same_label"] == 1.0
    assert result["windows"] == 2
