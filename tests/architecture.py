"""What imports what, read from the source without running it."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("realtime", "train", "export", "emothinker")


def name_of(path: Path) -> str:
    """`realtime/ingest/__init__.py` is the module `realtime.ingest`."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def modules() -> dict[str, ast.Module]:
    """Each module of the packages by its name."""
    return {
        name_of(path): ast.parse(path.read_text())
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        if "node_modules" not in path.parts
    }


def statements(tree: ast.AST) -> Iterator[ast.stmt]:
    """Every statement, however deep it is nested. What they compute holds none, and is ten times as many nodes."""
    for blocks in ("body", "orelse", "finalbody", "handlers", "cases"):
        for node in getattr(tree, blocks, ()):
            if isinstance(node, ast.stmt):
                yield node
            yield from statements(node)


@cache
def imports() -> dict[str, set[str]]:
    """The modules of ours that each module names, wherever in the file the import stands."""
    found: dict[str, set[str]] = {}
    for module, tree in modules().items():
        named = set()
        for node in statements(tree):
            if isinstance(node, ast.Import):
                named |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                named |= {
                    inner if (inner := f"{node.module}.{alias.name}") in modules() else node.module
                    for alias in node.names
                }
        found[module] = (named & modules().keys()) - {module}
    return found


def cycle() -> list[str]:
    """One cycle of imports, or nothing."""
    try:
        TopologicalSorter(imports()).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def room(module: str) -> str:
    """`realtime.ingest.sdp` lies in `ingest`; modules directly in `realtime` are rooms of their own."""
    return module.split(".")[1] if "." in module else module


def repeated_classes() -> dict[str, list[str]]:
    """Class names defined in more than one place, with the modules."""
    places: dict[str, list[str]] = defaultdict(list)
    for module, tree in modules().items():
        for node in statements(tree):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(module)
    return {name: where for name, where in places.items() if len(where) > 1}
