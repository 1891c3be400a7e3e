"""Every way in: `realtime`, `python -m realtime`, programs of training and export, and packages of the same names."""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import os
import re
import subprocess
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

import emothinker_start
from realtime import cli, errors
from realtime.commands import extras, programs
from tests.architecture import modules

ROOT = Path(__file__).parents[2]


def test_help_names_every_program_and_every_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    told = capsys.readouterr().out
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    codes = re.split(r"[\s,]+", told.partition("Exit codes:")[2])
    assert {str(kind.exit_code) for kind in kinds if issubclass(kind, errors.RealtimeError)} <= set(codes)
    for package, names in programs.PROGRAMS.items():
        for name in names:
            assert name in told
            assert (ROOT / package / f"{name}.py").is_file() or (ROOT / package / name / "__main__.py").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("package", programs.PROGRAMS)
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_the_help_of_a_package_lists_its_programs(package: str, flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    """argparse called `realtime train --help` an unrecognized argument."""
    assert cli.main([package, flag]) == 0
    assert f"usage: realtime {package} NAME …" in capsys.readouterr().out


def test_a_train_py_in_the_folder_is_not_run_in_place_of_ours(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("raise SystemExit('the wrong one')\n")
    done = subprocess.run(
        [sys.executable, "-m", "realtime", "train", "metrics", "wheel", "--help"],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: realtime train metrics wheel ")
    assert "the wrong one" not in done.stderr


@pytest.mark.parametrize(
    ("typed", "named"),
    [
        (("realtime", "train", "metrics", "wheel", "--help"), "realtime train metrics wheel "),
        (("train.metrics", "--help"), "python -m train.metrics "),
    ],
)
def test_a_program_is_named_as_it_was_typed(typed: tuple[str, ...], named: str) -> None:
    """`realtime train metrics --help` called itself `__main__.py`."""
    environ = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-m", *typed], env=environ, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"usage: {named}")


def test_every_program_has_a_parser_that_knows_its_name() -> None:
    paths = [path for folder in ("train", "export") for path in (ROOT / folder).rglob("*.py")]
    assert len(paths) > 100
    assert [path for path in paths if "argparse.ArgumentParser(" in path.read_text("utf-8")] == []


def test_a_program_that_does_not_exist_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", "nothing"]) == 2
    assert "train has no program `nothing`" in capsys.readouterr().err


def test_help_without_the_extra_is_the_programs_own_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "onnx.py"
    program.write_text('"""Exports towers.\n\n    python -m export.onnx\n"""\nimport onnx\n')
    monkeypatch.setattr(extras, "extra_of", lambda module: "export")
    assert extras.told_missing("realtime export onnx", "onnx", program, wants_help=True) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("Exports towers.")
    assert "pip install 'emothinker[export]'" in captured.out
    assert extras.told_missing("realtime export onnx", "onnx", program, wants_help=False) == 5
    assert capsys.readouterr().err == (
        "realtime export onnx needs onnx, which is not installed: pip install 'emothinker[export]'\n"
    )


def test_every_package_that_a_program_imports_is_installed_with_us_or_named_by_an_extra() -> None:
    """`realtime export sample --help` ended in a traceback: scikit-image's module has another name."""
    lines = importlib.metadata.requires("emothinker") or []
    ours = {re.split(r"[^\w-]", line)[0].replace("_", "-") for line in lines if "extra ==" not in line}
    # ONNX Runtime brings it along.
    ours.add("flatbuffers")
    found = importlib.metadata.packages_distributions()
    known = {*sys.stdlib_module_names, "emothinker", "export", "realtime", "train"}
    for name, tree in modules().items():
        for node in ast.walk(tree) if name.startswith(("export", "train")) else ():
            named = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                named = [node.module]
            for module in {each.partition(".")[0] for each in named} - known:
                brought = {package.replace("_", "-") for package in found.get(module, [])} & ours
                assert brought or extras.extra_of(module), f"{name} imports {module}"


def test_our_own_package_is_ours() -> None:
    assert emothinker_start.foreign() == ""


@pytest.mark.parametrize(
    ("owners", "told"),
    [
        ({"realtime": ["emothinker", "realtime"]}, "pip uninstall realtime && pip install --force-reinstall"),
        ({"realtime": ["emothinker"]}, "Rename it, start from another folder, or take it out of PYTHONPATH."),
    ],
)
def test_another_package_named_realtime_is_said_before_it_is_imported(
    owners: dict[str, list[str]],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    other = tmp_path / "realtime.py"
    other.write_text("raise AssertionError('imported')\n")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: ModuleSpec(name, None, origin=str(other)))
    monkeypatch.setattr(emothinker_start, "packages_distributions", lambda: owners)
    assert emothinker_start.main() == 1
    said = capsys.readouterr().err
    assert told in said
    assert str(other) in said


def test_files_that_another_package_took_along_are_said_to_be_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`pip uninstall realtime` of Supabase's package removed our `realtime/__init__.py`, which it had overwritten."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: ModuleSpec(name, None, is_package=True))
    assert emothinker_start.main() == 1
    assert "pip install --force-reinstall --no-deps emothinker" in capsys.readouterr().err
