"""The same graphs compile in TensorRT-RTX ahead of time, on a machine with no GPU."""

from __future__ import annotations

import importlib.util
import shutil
from functools import partial
from pathlib import Path

import pytest
import torch

from export import trt
from realtime.errors import EngineMissing
from realtime.towers import artifact, tensorrt_runtime
from realtime.towers.artifact import EngineMismatch
from realtime.towers.tensorrt_runtime import fits_here
from tests.export.rtx import needs_rtx


@needs_rtx
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_both_towers_compile_for_a_card_that_is_not_here(folder: Path, root: Path, precision: str) -> None:
    compiled = partial(
        trt.export, folder, root, name="small", precision=precision, flavor="rtx", target="SM86", windows=4
    )
    made, new = compiled(batches=(1, 4))
    assert new
    assert made.compute_capability == "8.6"
    assert [profile["patches"][0] for profile in made.towers["vision"]["profiles"]] == [1, 4, 1]
    assert all(facts["bytes"] > 10_000 for facts in made.files.values())
    again, new = compiled(batches=(1, 4))
    assert not new
    assert again == made
    _, new = compiled(batches=(1,))
    assert new


@needs_rtx
@pytest.mark.parametrize("target", ["SM90", "current", "NONE"])
def test_an_unknown_card_is_refused(folder: Path, root: Path, target: str) -> None:
    with pytest.raises(EngineMissing, match=r"It builds for: SM120, .*SM86, SM89\.$"):
        trt.export(folder, root, name="small", precision="fp16", flavor="rtx", target=target)


@needs_rtx
@pytest.mark.slow
def test_both_towers_compile_for_every_card_that_is_known(folder: Path, root: Path, tmp_path: Path) -> None:
    shutil.copytree(root / "onnx-fp16-opset23", tmp_path / "onnx-fp16-opset23")
    targets = trt.targets_of(tensorrt_runtime.load_runtime("rtx"))
    assert {"SM75", "SM80", "SM86", "SM89", "SM120"} <= set(targets)
    for target in targets:
        made, _ = trt.export(
            folder, tmp_path, name="small", precision="fp16", flavor="rtx", target=target, batches=(1,), windows=4
        )
        assert made.compute_capability.replace(".", "") == target.removeprefix("SM")
        assert all(facts["bytes"] > 10_000 for facts in made.files.values())


def test_a_tensorrt_that_is_not_there_is_named(folder: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "tensorrt", None)
    with pytest.raises(EngineMissing, match="pip install tensorrt"):
        trt.export(folder, root, name="small", precision="fp16", flavor="trt")


@pytest.mark.parametrize("there", [True, False])
def test_the_other_tensorrt_is_named_where_it_is_installed(there: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "tensorrt", None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object() if there else None)
    with pytest.raises(EngineMissing) as told:
        tensorrt_runtime.load_runtime("trt")
    assert ("tensorrt_rtx is installed: build with --flavor rtx" in told.value.hint) == there


def engine(**changes: str) -> artifact.Artifact:
    values = {"compute_capability": "9.0", "version": "11.0"} | changes
    return artifact.Artifact(
        folder=Path("trt-fp16"), kind="trt", model="small", source_sha256="", precision="fp16", opset=23,
        has_text=False,
        versions={"tensorrt": values["version"]}, files={}, towers={}, compute_capability=values["compute_capability"],
    )  # fmt: skip


def test_an_engine_of_another_card_or_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    if not torch.cuda.is_available():
        with pytest.raises(EngineMissing, match="none is here"):
            fits_here([engine()], build="realtime export trt")
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda: (9, 0))
    monkeypatch.setattr("realtime.towers.tensorrt_runtime.runtime_version", lambda _: "11.0")
    assert fits_here([engine()], build="") == engine()
    with pytest.raises(EngineMismatch, match=r"built for SM 8\.9, here is SM 9\.0"):
        fits_here([engine(compute_capability="8.9")], build="realtime export trt")
    with pytest.raises(EngineMismatch, match=r"built with tensorrt 10\.9, here is 11\.0"):
        fits_here([engine(version="10.9")], build="realtime export trt")
