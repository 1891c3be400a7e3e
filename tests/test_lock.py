"""`requirements.lock` is what pyproject.toml and constraints.txt want now. No network is asked."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
CONSTRAINTS = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()


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
    for line in CONSTRAINTS:
        if not line or line.startswith("#"):
            continue
        wanted = Requirement(line)
        versions = {str(entry.specifier) for entry in entries.get(canonicalize_name(wanted.name), [])}
        if versions:
            assert str(wanted.specifier) in versions, f"{line} is constrained, {versions} locked: make lock"
            assert wanted.marker is not None or len(versions) == 1


# What pip asks a machine for (PEP 508), and whether MediaPipe 0.10.21 has a wheel for it.
MACHINES = [
    ("linux", "x86_64", "3.11", True),
    ("linux", "x86_64", "3.12", True),
    ("linux", "x86_64", "3.13", False),
    # Raspberry Pi OS, Jetson, DGX Spark.
    ("linux", "aarch64", "3.11", False),
    ("linux", "aarch64", "3.12", False),
    ("darwin", "arm64", "3.12", True),
    ("darwin", "arm64", "3.13", False),
    ("win32", "AMD64", "3.12", True),
    ("win32", "ARM64", "3.12", False),
]


@pytest.mark.parametrize(("system", "machine", "python", "there"), MACHINES)
def test_mediapipe_is_asked_for_where_it_has_a_wheel(system: str, machine: str, python: str, there: bool) -> None:
    """`make serve` ended in ResolutionImpossible on ARM: the pin has no wheel there."""
    here = {"sys_platform": system, "platform_machine": machine, "python_version": python}
    here["python_full_version"] = f"{python}.0"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pins = [Requirement(line) for line in CONSTRAINTS if line.startswith("mediapipe")]
    for wanted in (Requirement(project["optional-dependencies"]["mediapipe"][0]), *pins, *locked()["mediapipe"]):
        assert wanted.marker is not None
        assert wanted.marker.evaluate(here) == there, wanted


def test_every_extra_is_resolved_with_the_others() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    script = (ROOT / "tests" / "deploy" / "resolve.sh").read_text(encoding="utf-8")
    every = re.search(r'^every="(.*)"$', script, re.M)
    assert every is not None
    # On one platform alone: its libraries are on an index of NVIDIA's.
    assert {*every[1].split(), "trt"} == set(project["optional-dependencies"])


def test_every_version_has_its_hashes_and_no_index_is_named() -> None:
    for block in re.split(r"^(?=[A-Za-z0-9])", LOCK, flags=re.M)[1:]:
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", block), block
    assert "://" not in LOCK
