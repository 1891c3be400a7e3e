"""TensorRT plans that are built before a model is loaded."""

from __future__ import annotations

import logging
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from realtime.engine import loading
from realtime.errors import EngineMissing
from realtime.model import filling
from realtime.towers import artifact, plans

ROOT = Path(__file__).parents[2]


@pytest.fixture
def builder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Puts a program in the place of Python that notes what it is asked for and does something else."""

    def put(does: str) -> Path:
        asked, stand_in = tmp_path / "asked", tmp_path / "python"
        stand_in.write_text(f'#!/bin/sh\necho "$@" > {shlex.quote(str(asked))}\n{does}\n')
        stand_in.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(stand_in))
        return asked

    monkeypatch.setattr(artifact, "find", lambda *_, **__: ([], ""))
    return put


def test_plans_are_built_where_none_fits(
    builder: Callable[[str], Path], tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plans, "TOLD_EVERY_S", 0.2)
    asked = builder("sleep 0.5; echo plans/trt-fp16")
    with caplog.at_level(logging.INFO):
        plans.build_where_missing("nano", Path("nano"), adapter=Path("mine"), engine_dir=tmp_path / "plans")
    assert asked.read_text().split() == [
        "-m", "emothinker_start", "export", "trt",
        "--model", "nano", "--adapter", "mine", "--out", str(tmp_path / "plans"),
    ]  # fmt: skip
    told = [record.getMessage() for record in caplog.records]
    assert "it takes minutes" in told[0]
    assert any("building TensorRT plans of nano: " in line for line in told[1:-1])
    assert told[-1].endswith("plans/trt-fp16")


def test_plans_that_fit_are_not_built_again(builder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    asked = builder("exit 1")
    monkeypatch.setattr(plans, "all_that_fit", lambda made, *, build: ["one"])
    plans.build_where_missing("nano", Path("nano"), adapter=None, engine_dir=None)
    assert not asked.exists()


@pytest.mark.slow
def test_an_export_py_in_the_folder_does_not_build_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "export.py").write_text("print('the wrong one')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr(artifact, "find", lambda *_, **__: ([], ""))
    with pytest.raises(EngineMissing) as raised:
        plans.build_where_missing("missing", tmp_path / "missing", adapter=None, engine_dir=None)
    assert "the wrong one" not in raised.value.message
    assert raised.value.hint == "Try it by itself: `realtime export trt --model missing`."


@pytest.mark.parametrize("engine", ["trt", "auto"])
def test_a_build_that_fails_is_told(
    builder: Callable[[str], Path], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    builder('echo "tensorrt is not installed." >&2; exit 1')
    monkeypatch.setattr(loading, "wants_gpu", lambda device, *, large: True)
    monkeypatch.setattr(loading, "gpu_dtype", lambda: torch.float16)

    class Filled(Exception):
        """The build is over, and the model would be read."""

    def fill(*_: object, **__: object) -> None:
        raise Filled

    monkeypatch.setattr(filling, "fill", fill)
    with pytest.raises(EngineMissing if engine == "trt" else Filled) as raised:
        loading.load("nano", device="cuda", engine=engine, build_plans=True)
    said = str(getattr(raised.value, "message", "")) + caplog.text
    assert "could not be built: tensorrt is not installed." in said
    assert "realtime export trt --model nano" in str(getattr(raised.value, "hint", "")) + caplog.text
