"""`requirements.lock` is what pyproject.toml and constraints.txt want now. No network is asked."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")


def locked() -> dict[str, list[Requirement]]:
    """By name: one entry for each version, with the platforms and Pythons that get it."""
    found: dict[str, list[Requirement]] = {}
    for line in re.findall(r"^[A-Za-z0-9].*", LOCK, re.M):
        entry = Requirement(line.removesuffix("\\").strip())
        found.setdefault(canonicalize_name(entry.name), []).append(entry)
    return found


def test_everything_that_is_declared_is_locked_to_a_version_that_fits() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    entries = locked()
    for text in [*project["dependencies"], *project["optional-dependencies"]["mediapipe"]]:
        wanted = Requirement(text)
        assert canonicalize_name(wanted.name) in entries, f"{wanted.name} is not locked: make lock"
        for entry in entries[canonicalize_name(wanted.name)]:
            (pin,) = entry.specifier
            assert pin.operator == "=="
            assert wanted.specifier.contains(pin.version), f"{entry} does not fit {wanted}: make lock"


def test_what_is_constrained_is_locked_to_that_version() -> None:
    entries = locked()
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        wanted = Requirement(line)
        versions = {str(entry.specifier) for entry in entries.get(canonicalize_name(wanted.name), [])}
        if versions:
            assert str(wanted.specifier) in versions, f"{line} is constrained, {versions} locked: make lock"
            assert wanted.marker is not None or len(versions) == 1


def test_every_version_has_its_hashes_and_no_index_is_named() -> None:
    for block in re.split(r"^(?=[A-Za-z0-9])", LOCK, flags=re.M)[1:]:
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", block), block
    assert "://" not in LOCK


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_another_build_of_torch_than_there_is_is_told(tmp_path: Path) -> None:
    (tmp_path / "done" / ".done").mkdir(parents=True)
    (tmp_path / "done" / ".done" / "venv").touch()
    ran = subprocess.run(
        ["make", "serve", f"VENV={tmp_path / 'done'}", "TORCH=rocm"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 2
    assert "TORCH is rocm. It can be cpu, cuda or auto" in ran.stderr


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_an_installation_that_breaks_off_says_how_to_go_on(tmp_path: Path) -> None:
    """pip ended in "ResolutionImpossible" where only the network was missing. The path has an umlaut."""
    venv = tmp_path / "umgebung_ä"
    ran = subprocess.run(
        ["make", f"VENV={venv}", f"PYTHON={sys.executable}", "UV=", f"{venv}/.done/torch"],
        cwd=ROOT,
        env={
            **os.environ,
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(tmp_path / "nothing"),
            "PIP_CONFIG_FILE": os.devnull,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 2
    assert "The installation broke off. Run the same command again" in ran.stderr
    assert not (venv / ".done" / "torch").exists()


def fake_uv(folder: Path, *, ends_with: int) -> Path:
    """A `uv` that writes down what it is told to do."""
    program = folder / "uv"
    program.write_text(f'#!/bin/sh\nprintf "%s " "$@" >> "{folder}/told"\necho >> "{folder}/told"\nexit {ends_with}\n')
    program.chmod(0o755)
    return program


def made(target: str, *given: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", *given, target], cwd=ROOT, env={**os.environ, **env}, capture_output=True, text=True, check=False
    )


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_uv_installs_where_it_is_there(tmp_path: Path) -> None:
    uv, venv = fake_uv(tmp_path, ends_with=0), tmp_path / "venv"
    (venv / ".done").mkdir(parents=True)
    (venv / ".done" / "venv").touch()
    ran = made(f"{venv}/.done/serve", f"VENV={venv}", f"UV={uv}", "TORCH=cpu")
    assert ran.returncode == 0, ran.stderr
    torch, packages = (tmp_path / "told").read_text().splitlines()
    assert "--torch-backend cpu" in torch
    assert f"--python {venv}/bin/python --constraint constraints.txt --editable .[mediapipe]" in packages
    for told in (torch, packages):
        assert told.startswith("pip install --quiet --compile-bytecode "), "or each start would compile what it imports"


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_pip_tries_what_uv_could_not_do(tmp_path: Path) -> None:
    uv, venv = fake_uv(tmp_path, ends_with=1), tmp_path / "venv"
    (venv / ".done").mkdir(parents=True)
    for name in ("venv", "torch"):
        (venv / ".done" / name).touch()
    (venv / "bin").mkdir()
    pip = venv / "bin" / "python"
    pip.write_text(f'#!/bin/sh\nprintf "%s " "$@" >> "{tmp_path}/pip"\n')
    pip.chmod(0o755)
    ran = made(f"{venv}/.done/serve", f"VENV={venv}", f"UV={uv}")
    assert ran.returncode == 0, ran.stderr
    assert "uv did not get it. Trying pip …" in ran.stderr
    assert "-m pip install" in (tmp_path / "pip").read_text()


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
@pytest.mark.parametrize("there", [True, False], ids=["uv", "no uv"])
def test_without_a_python_uv_fetches_one(tmp_path: Path, there: bool) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("bash", "sh", "make", "mkdir", "touch", "find"):
        found = shutil.which(name)
        assert found is not None
        (tools / name).symlink_to(found)
    uv, venv = fake_uv(tmp_path, ends_with=0), tmp_path / "venv"
    ran = made(f"{venv}/.done/venv", f"VENV={venv}", f"UV={uv if there else ''}", PATH=str(tools))
    if there:
        assert ran.returncode == 0, ran.stderr
        assert "uv fetches one" in ran.stdout
        assert (tmp_path / "told").read_text().split() == ["venv", "--quiet", "--seed", "--python", "3.12", str(venv)]
    else:
        assert ran.returncode == 2
        assert "No Python 3.11 or later found. Install one and run again, or name it" in ran.stderr
