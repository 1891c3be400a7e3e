"""One small checkpoint and its exports, made once for all tests here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from export import onnx
from realtime.records import UInt8
from tests.export.shapes import write_checkpoint


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint")
    write_checkpoint(path)
    return path


@pytest.fixture(scope="session")
def root(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """fp32 at both opsets and fp16 at the one that keeps attention fused."""
    path = tmp_path_factory.mktemp("exports")
    for precision, opset in (("fp32", 20), ("fp32", 23), ("fp16", 23)):
        onnx.export(folder, path, name="small", precision=precision, opset=opset)
    return path


@pytest.fixture(scope="session")
def portrait() -> UInt8:
    """A NASA portrait (public domain) that scikit-image ships: one smiling face in 512×512."""
    from skimage import data

    return np.asarray(data.astronaut())
