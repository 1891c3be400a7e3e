"""Exports are made once, and again where what they come from changed: an old one would hide what broke."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from export import onnx
from tests.export import kept
from tests.export.shapes import write_checkpoint

FORMATS = [("fp32", 20)]


@pytest.fixture
def made(pytestconfig: pytest.Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of what was exported. The code behind is one file, `tmp_path/export/code.py`."""
    names: list[str] = []

    def export(_: Path, root: Path, *, name: str, precision: str, opset: int) -> None:
        names.append(f"{name} {precision} {opset}")
        (root / f"onnx-{precision}-opset{opset}").mkdir()

    def folder_of_cache(name: str) -> Path:
        path = tmp_path / "cache" / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    (tmp_path / "export").mkdir()
    (tmp_path / "export" / "code.py").write_text("one")
    monkeypatch.setattr(kept, "ROOT", tmp_path)
    monkeypatch.setattr(onnx, "export", export)
    monkeypatch.setattr(pytestconfig.cache, "mkdir", folder_of_cache)
    return names


def test_an_export_is_made_again_for_other_code_another_checkpoint_and_a_format_that_is_missing(
    made: list[str],
    pytestconfig: pytest.Config,
    folder: Path,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    def exported(of: Path, formats: Sequence[tuple[str, int]] = FORMATS) -> int:
        """How many exports were ever made, after this."""
        into = tmp_path_factory.mktemp("into")
        kept.exported(pytestconfig, of, into, name="small", formats=formats)
        assert len(list(into.iterdir())) == len(formats)
        return len(made)

    assert exported(folder) == exported(folder) == 1
    assert exported(folder, [*FORMATS, ("fp16", 23)]) == 2
    assert made == ["small fp32 20", "small fp16 23"]
    (tmp_path / "export" / "code.py").write_text("two")
    assert exported(folder) == exported(folder) == 3
    (other := tmp_path / "other").mkdir()
    write_checkpoint(other, seed=1)
    assert exported(other) == 4
