"""What `realtime doctor` says of packages that may or may not be there."""

from __future__ import annotations

import os
import re
import shutil
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
import torch

from realtime.commands import doctor
from realtime.settings import Settings


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


def test_other_providers_are_named_as_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    found = ["CUDAExecutionProvider", "AzureExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: found)
    assert doctor._onnx().detail.endswith("on CPU; CUDA would be there, and nothing of ours uses it")


def test_a_cache_that_cannot_be_written_is_told_as_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was "0 GB free" where the home was under /proc. A file in the way stops root as well."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert f"GB free at {tmp_path}" in doctor._disk().detail
    assert not list(tmp_path.iterdir()), "looking leaves nothing"
    (tmp_path / "cache").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache" / "deep"))
    finding = doctor._disk()
    assert (finding.fine, finding.needed) == (False, False)
    assert "emothinker/engines can't be written (Not a directory)" in finding.detail
    assert finding.fix.startswith("export XDG_CACHE_HOME=")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="cameras are looked for on Linux")
def test_cameras_are_named_and_those_that_may_not_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "DEVICES", tmp_path)
    bare = doctor._camera(Settings())
    assert bare.fine, "a server has none, and that is no fault"
    assert bare.detail.startswith("no camera device here, the page uses the browser's; open the page as http://loc")
    for name in ("video0", "video1", "videos"):
        (tmp_path / name).touch()
    assert doctor._camera(Settings()).detail.startswith(f"{tmp_path / 'video0'}, {tmp_path / 'video1'}; open the page")
    # Root may open everything, so the answer of the system is put in its place.
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path / "video1")
    locked = doctor._camera(Settings())
    assert (locked.fine, locked.needed) == (False, False)
    assert f"may not open {tmp_path / 'video1'};" in locked.detail
    assert locked.fix.startswith("sudo usermod -aG video")


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
