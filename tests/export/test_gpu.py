"""On a GPU: torch's CUDA graphs and TensorRT's plans are compared as everything else is (`pytest -m gpu`)."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from export import parity, trt
from export.towers import GraphTowers, towers_of
from realtime.model import checkpoint
from realtime.towers.torch_runtime import TorchTowers

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU, and none is here"),
]


def test_cuda_graphs_equal_torch_on_the_cpu(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every size is captured once and replayed afterwards; the oldest goes when there are too many."""
    # Convolutions in TF32 keep ten bits: right for serving, and not what is compared here.
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    reference = GraphTowers(folder, torch.float32, None)
    towers = TorchTowers(checkpoint.load(folder).to("cuda"))
    text_QD = torch.randn(7, 64, generator=torch.Generator().manual_seed(2))
    for _ in range(2):
        figures = parity.compare(towers, reference, text_QD, has_text=True, n_bins=128)
        assert figures["selections_different"] == 0
        assert max(figures[tower]["relative"] for tower in ("vision", "audio")) <= parity.LIMITS["fp32"]


@pytest.mark.parametrize("flavor", ["trt", "rtx"])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_engines_equal_torch(folder: Path, root: Path, flavor: str, precision: str) -> None:
    pytest.importorskip({"trt": "tensorrt", "rtx": "tensorrt_rtx"}[flavor])
    made, _ = trt.export(folder, root, name="small", precision=precision, flavor=flavor, batches=(1, 4), windows=4)
    _, through = towers_of(made, str(folder), None)
    figures, fine = parity.check(made, str(folder))
    assert fine, (through, figures)
