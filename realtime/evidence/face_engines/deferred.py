"""Defers imports of packages that another package imports at its start and that we never use."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from types import ModuleType
from typing import Any


class Deferred(ModuleType):
    """Stands for a module, and imports it when an attribute is asked for."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        _make_way()
        return getattr(importlib.import_module(self.__name__), name)


@contextmanager
def imported_on_use(*names: str) -> Iterator[None]:
    """What is imported inside the block gets a `Deferred` for each of these modules.

    A submodule needs its package among the names. Modules that are imported already, or not installed, are left as they
    are. After the block an `import` of one of the names, by whomever, gives the module itself.
    """
    placed = {name: Deferred(name) for name in names if name not in sys.modules and _is_installed(name)}
    for name, module in placed.items():
        sys.modules[name] = module
        package, _, last = name.rpartition(".")
        if package in placed:
            setattr(placed[package], last, module)
    try:
        yield
    finally:
        _make_way()


def _make_way() -> None:
    """Let `import` find the modules themselves."""
    for name, module in list(sys.modules.items()):
        if isinstance(module, Deferred):
            del sys.modules[name]


def _is_installed(name: str) -> bool:
    # A submodule is looked for in its package only where that is imported; its package's answer is enough.
    return find_spec(name.partition(".")[0]) is not None
