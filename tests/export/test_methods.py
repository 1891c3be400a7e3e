"""A model of another method is exported like any other: here a hybrid whose share of background follows the content."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from export import onnx, parity
from realtime.engine.loading import load
from realtime.model import checkpoint
from realtime.records import UInt8, VideoFrame
from realtime.towers import artifact
from realtime.towers.artifact import EngineMismatch
from tests.model.hybrids import trained
from train.tuning.initial_model import save_additions, with_additions


@pytest.mark.slow
def test_an_export_equals_torch_tells_the_spread_and_is_of_this_adapter_alone(portrait: UInt8, tmp_path: Path) -> None:
    adapter, exports = tmp_path / "adapter", tmp_path / "exports"
    model, emotion = with_additions(
        checkpoint.NANO,
        selector_dim=64,
        cues=True,
        ring=None,
        method="hybrid",
        selection="adaptive",
        dtype=torch.float32,
    )
    save_additions(trained(model), emotion, adapter)
    made = onnx.export(checkpoint.NANO, exports, name="nano", precision="fp32", opset=20, adapter=adapter)
    assert made.source_sha256 != artifact.source_sha256(checkpoint.NANO)
    figures, fine = parity.check(made, "nano", adapter=adapter)
    assert fine, figures
    assert figures["spread"]["cases"] > 0
    with pytest.raises(EngineMismatch):
        parity.check(made, "nano")
    counts = []
    for engine in ("torch", "onnx"):
        served = load("nano", adapter=adapter, engine=engine, engine_dir=exports)
        assert served.runtime_reason.startswith(engine)
        perception = served.perceiver(seed=3)
        counts.append([perception.see(VideoFrame(float(at), portrait ^ np.uint8(32 * at))).counts for at in range(4)])
        perception.close()
    assert counts[0] == counts[1]
    assert len({one.dropped for one in counts[0]}) > 1
