"""`requirements.lock` is what pyproject.toml and constraints.txt want now. No network is asked."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

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
