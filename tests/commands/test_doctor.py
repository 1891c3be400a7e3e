"""What `realtime doctor` says of packages that may or may not be there."""

from __future__ import annotations

import re
import shutil
from importlib.metadata import PackageNotFoundError

import pytest
import torch

from realtime.commands import doctor


@pytest.mark.parametrize("gpu", [False, True])
@pytest.mark.parametrize(
    ("installed", "said"),
    [
        ({"tensorrt-cu13": "11.0"}, "TensorRT 11.0"),
        ({"tensorrt-rtx-cu13": "1.7"}, "TensorRT-RTX 1.7"),
        ({"tensorrt": "10.9", "tensorrt-rtx-cu13": "1.7"}, "TensorRT 10.9, TensorRT-RTX 1.7"),
        ({}, "neither TensorRT nor TensorRT-RTX is installed"),
    ],
)
def test_each_tensorrt_is_named(
    installed: dict[str, str], said: str, gpu: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def version(package: str) -> str:
        if package not in installed:
            raise PackageNotFoundError(package)
        return installed[package]

    monkeypatch.setattr(doctor, "version", version)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    finding = doctor._tensorrt()
    assert finding.detail.startswith(said)
    assert finding.fine == (bool(installed) or not gpu)
    assert ("TensorRT is not installed" in finding.detail) == (gpu and said == "TensorRT-RTX 1.7")


def test_no_provider_that_calls_a_cloud_is_named() -> None:
    """ONNX Runtime's package lists one, and a reader took it for a use of it."""
    assert re.fullmatch(r"onnxruntime [\d.]+ on CPU", doctor._onnx().detail)


@pytest.mark.parametrize(
    ("driver", "built"), [("/usr/bin/nvidia-smi", None), (None, None), ("/usr/bin/nvidia-smi", "13.0")]
)
def test_a_build_of_torch_that_cannot_use_the_gpu_is_told(
    driver: str | None, built: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`make serve` may have run before the driver was there; "no NVIDIA GPU" sent people looking for the card."""
    monkeypatch.setattr(shutil, "which", lambda name: driver)
    monkeypatch.setattr(torch.version, "cuda", built)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    finding = doctor._gpu()
    assert not finding.fine
    assert not finding.needed
    assert ("TORCH=cuda" in finding.fix) == (driver is not None and built is None)
