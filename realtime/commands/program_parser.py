"""The parser of a program of training, of the exports, or of the bench."""

from __future__ import annotations

import argparse
import sys
from typing import Any

BY_COMMAND = frozenset({"train", "export"})
"Packages whose programs `realtime PACKAGE NAME` runs."


class ProgramParser(argparse.ArgumentParser):
    """Calls its program as it was typed: `realtime train merge`, or `python -m train.merge`.

    Before Python 3.14, argparse names the file: `merge.py`, and `__main__.py` for each program that is a folder.
    """

    def __init__(self, **given: Any) -> None:
        # A subcommand is named by its parent.
        given.setdefault("prog", _as_typed())
        super().__init__(**given)


def _as_typed() -> str | None:
    """None where no program of ours runs."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    module = "" if spec is None else spec.name.removesuffix(".__main__")
    package, _, name = module.partition(".")
    if package not in BY_COMMAND | {"realtime"} or not name:
        return None
    by_module = package not in BY_COMMAND or module in sys.orig_argv
    return f"python -m {module}" if by_module else f"realtime {package} {name}"
