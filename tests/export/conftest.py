"""One small checkpoint and its exports, made once for all tests here."""

from __future__ import annotations

from pathlib import Path

import onnx as onnx_package
import pytest

from realtime.towers.graph import VISION_OUTPUTS
from tests.export.kept import exported
from tests.export.shapes import write_checkpoint


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint")
    write_checkpoint(path)
    return path


@pytest.fixture(scope="session")
def root(pytestconfig: pytest.Config, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """fp32 at both opsets and fp16 at the one that keeps attention fused."""
    formats = [("fp32", 20), ("fp32", 23), ("fp16", 23)]
    return exported(pytestconfig, folder, tmp_path_factory.mktemp("exports"), name="small", formats=formats)


class Traced:
    """What torch's exporter returns, of a graph that was traced before."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def save(self, path: Path, *, external_data: bool) -> None:
        graph, beside = onnx_package.load(self._path), f"{path.name}.data"
        onnx_package.save_model(graph, str(path), save_as_external_data=external_data, location=beside)


@pytest.fixture
def traced(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tracing the checkpoint of `folder` takes seconds and its result is at hand; all else of an export still runs."""

    def again(*_: object, output_names: list[str], opset_version: int, **__: object) -> Traced:
        tower = "vision" if output_names == list(VISION_OUTPUTS[:4]) else "audio"
        return Traced(root / f"onnx-fp32-opset{opset_version}" / f"{tower}.onnx")

    monkeypatch.setattr("torch.onnx.export", again)
