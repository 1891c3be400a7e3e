"""A module is imported when it is used, and everybody else gets the module itself."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from realtime.evidence.face_engines.deferred import Deferred, imported_on_use

NAMES = ("drawing_for_tests", "drawing_for_tests.lines")


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module that imports a package at its start, as MediaPipe does."""
    package = tmp_path / "drawing_for_tests"
    package.mkdir()
    (package / "__init__.py").write_text("colour = 'red'\n")
    (package / "lines.py").write_text("width = 3\n")
    (tmp_path / "user_for_tests.py").write_text(
        "import drawing_for_tests\nimport drawing_for_tests.lines as lines\ndef width(): return lines.width\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    for name in (*NAMES, "user_for_tests"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return "user_for_tests"


def test_the_package_is_imported_at_its_first_use(user: str) -> None:
    with imported_on_use(*NAMES):
        module = importlib.import_module(user)
    assert not set(NAMES) & set(sys.modules)
    assert module.width() == 3
    assert set(NAMES) <= set(sys.modules)
    assert not isinstance(sys.modules[NAMES[0]], Deferred)


def test_it_may_be_used_inside_the_block(user: str) -> None:
    with imported_on_use(*NAMES):
        assert importlib.import_module(user).drawing_for_tests.colour == "red"
    assert importlib.import_module(NAMES[1]).width == 3


def test_a_module_that_is_imported_already_stays(user: str) -> None:
    before = importlib.import_module(NAMES[1])
    with imported_on_use(*NAMES):
        assert importlib.import_module(user).lines is before
    assert sys.modules[NAMES[1]] is before


def test_one_that_is_not_installed_is_still_missed() -> None:
    with imported_on_use("not_installed_for_tests"), pytest.raises(ModuleNotFoundError):
        importlib.import_module("not_installed_for_tests")
