"""A program whose extra is not installed says so in one sentence, and still prints its help where it can."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from realtime.commands.extras import extra_of

ABSENT = ("onnx", "onnxscript", "httpx", "peft", "transformers")
NEEDS = "python -m {} needs {}, which is not installed: pip install 'emothinker[{}]'\n"


@pytest.fixture
def absent(tmp_path: Path) -> dict[str, str]:
    """An environment in which these modules cannot be imported, as if they were not installed."""
    for name in ABSENT:
        (tmp_path / f"{name}.py").write_text(f"raise ModuleNotFoundError('No module named {name}', name='{name}')\n")
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(Path.cwd())])}


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["export.onnx", "--help"], 0, ""),
        (["export.onnx", "--out", "{out}"], 5, NEEDS.format("export.onnx", "onnx", "export")),
        (["train.annotate", "--help"], 0, ""),
        (["train.annotate", "{out}", "{out}2"], 5, NEEDS.format("train.annotate", "httpx", "train")),
    ],
)  # fmt: skip
@pytest.mark.slow
def test_a_missing_extra_is_one_sentence(
    absent: dict[str, str], tmp_path: Path, words: list[str], code: int, told: str
) -> None:
    command = [sys.executable, "-m", *(word.format(out=tmp_path / "out") for word in words)]
    done = subprocess.run(command, env=absent, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (code, told)


def test_the_extra_of_a_module_comes_from_the_packages_metadata() -> None:
    assert (extra_of("sklearn"), extra_of("onnx"), extra_of("nothing")) == ("train", "export", None)
