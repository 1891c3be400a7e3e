"""A GPU that cannot be used is named with the reason: before a model is loaded, and by `realtime doctor`."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from realtime.commands import doctor
from realtime.engine import gpu, loading, start
from realtime.errors import EngineMissing
from realtime.settings import ModelSettings
from realtime.towers import tensorrt_runtime
from realtime.towers.artifact import EngineMismatch
from realtime.towers.tensorrt_runtime import PlanRunner

# What torch itself says.
TOO_OLD = (
    "The NVIDIA driver on your system is too old (found version 11040). Please update your GPU driver by downloading "
    "and installing a new version from the URL: http://www.nvidia.com/Download/index.aspx"
)
NO_DRIVER = "Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU and installed a driver"


@pytest.mark.parametrize(("capability", "built_for", "runs"), [
    ((8, 6), ["sm_75", "sm_80", "sm_90"], True), ((8, 0), ["sm_86"], False), ((6, 1), ["sm_75", "sm_80"], False),
    ((12, 1), ["sm_90", "sm_120"], True), ((10, 3), ["sm_90", "compute_90"], True), ((9, 0), ["sm_90a"], True),
    ((8, 9), ["sm_100", "compute_100"], False), ((9, 0), ["gfx90a"], False),
])  # fmt: skip
def test_machine_code_runs_within_a_major_version(
    capability: tuple[int, int], built_for: list[str], runs: bool
) -> None:
    assert gpu.runs_on(capability, built_for) == runs


def refusing(monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    def init() -> None:
        raise RuntimeError(said)

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "init", init)


def with_gpu(monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int]) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "GTX 1080")
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_75", "sm_80"])


def test_a_driver_that_is_too_old_is_told_and_the_fix(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    refusing(monkeypatch, TOO_OLD)
    with pytest.raises(EngineMissing, match=r"driver on your system is too old \(found version 11040\)") as told:
        loading.wants_gpu("cuda", large=True)
    assert "realtime doctor" in told.value.hint
    with caplog.at_level(logging.WARNING):
        assert not loading.wants_gpu("auto", large=True)
    assert "too old" in caplog.text
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    finding = doctor._gpu()
    assert "too old" in finding.detail
    assert "Update the NVIDIA driver" in finding.fix


def test_a_card_that_torch_was_not_built_for_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with_gpu(monkeypatch, (6, 1))
    with pytest.raises(EngineMissing, match=r"GTX 1080 \(SM 6\.1\) is not one that torch .* \(sm_75, sm_80\)"):
        loading.wants_gpu("cuda", large=True)
    assert not loading.wants_gpu("auto", large=True)
    assert not doctor._gpu().fine
    with_gpu(monkeypatch, (8, 6))
    assert loading.wants_gpu("auto", large=True)
    assert doctor._gpu().fine
    # A small model stays on the CPU, and then nobody looks at the card.
    monkeypatch.setattr(gpu, "fault", lambda: pytest.fail("the card was looked at"))
    assert not loading.wants_gpu("auto", large=False)
    assert not loading.wants_gpu("cpu", large=True)


def test_a_machine_without_a_card_is_not_warned(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    refusing(monkeypatch, NO_DRIVER)
    assert not loading.wants_gpu("auto", large=True)
    assert not caplog.records
    with pytest.raises(EngineMissing, match="There is no CUDA device here"):
        loading.wants_gpu("cuda", large=False)


def test_a_card_that_fails_while_a_model_is_loaded_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*_: object, **__: object) -> None:
        raise torch.AcceleratorError("CUDA error: uncorrectable ECC error encountered\nCompile with TORCH_USE_CUDA_DSA")

    monkeypatch.setattr(loading, "load", load)
    with pytest.raises(EngineMissing, match=r"The GPU fails: CUDA error: uncorrectable ECC error encountered\. "):
        start.load_model(ModelSettings())


def test_a_plan_that_this_driver_cannot_read_says_what_builds_it_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "vision.plan"
    path.write_bytes(b"built yesterday")
    runtime = SimpleNamespace(deserialize_cuda_engine=lambda plan: None)
    module = SimpleNamespace(
        Logger=type("Logger", (), {"WARNING": 1, "__init__": lambda self, level: None}),
        Runtime=lambda logger: runtime,
        __version__="10.9",
    )
    monkeypatch.setattr(tensorrt_runtime, "load_runtime", lambda flavor: module)
    with pytest.raises(EngineMismatch, match=r"vision\.plan cannot be read by tensorrt 10\.9 with this") as told:
        PlanRunner(path, "trt", [])
    assert "realtime export trt" in told.value.hint
