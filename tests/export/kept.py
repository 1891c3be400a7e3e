"""Exports for tests, each of which takes half a minute: pytest's cache keeps them from one run to the next."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from export import onnx
from realtime.towers import artifact

ROOT = Path(__file__).parents[2]


def behind(folder: Path) -> str:
    """A hash of what an export comes from: the checkpoint, our code behind it, and the packages of the exporter."""
    found = hashlib.sha256(f"{artifact.source_sha256(folder)} {onnx.versions()}".encode())
    for path in sorted(ROOT.glob("export/*.py")) + sorted(ROOT.glob("realtime/[mt]o*/**/*.py")):
        found.update(path.read_bytes())
    return found.hexdigest()[:16]


def exported(config: pytest.Config, folder: Path, into: Path, *, name: str, formats: Sequence[tuple[str, int]]) -> Path:
    """`into` with the checkpoint's towers for onnxruntime, in these precisions and opsets. Tests may write there."""
    assert config.cache is not None
    kept = config.cache.mkdir(f"{name}-exports-{behind(folder)}")
    for precision, opset in formats:
        format_name = f"onnx-{precision}-opset{opset}"
        # A folder of that name is a whole export: it gets its name last.
        if not (kept / format_name).exists():
            onnx.export(folder, kept, name=name, precision=precision, opset=opset)
        shutil.copytree(kept / format_name, into / format_name)
    return into
