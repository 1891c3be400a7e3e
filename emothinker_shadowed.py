"""Says so where a `train.py` or `export.py` of a user hides our package of that name from `python -m train.…`.

`-m` takes the current folder first. So Python runs that file, and then ends with "No module named train.warmup", before
anything of ours is imported. Hence `emothinker_shadowed.pth`, which lies beside the installed packages: Python runs its
one line at every start. The line looks at the command alone. For `-m train.NAME` and `-m export.NAME` it imports this
module, and nothing that is raised here leaves it.

It speaks only where Python could not find our program anyway. A package `train` of the user's own, a name that is no
program of ours, and -I, -P or PYTHONSAFEPATH, with which Python does not look there, are left alone.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import PathFinder
from pathlib import Path

PACKAGES = ("train", "export")


def main() -> None:
    """Called while Python starts: ends it with code 2, and one sentence, where the program of `-m` is hidden.

    Raises OSError where the current folder or the file in it cannot be read.
    """
    # So early argv[0] is "-m", and its other words are the program's own. Before those stands the program.
    name = sys.orig_argv[-len(sys.argv)].removeprefix("-m")
    folder = Path.cwd()
    # The current folder is not on the path yet. With -I, -P or PYTHONSAFEPATH it will never be.
    hiding = hidden_by(name, sys.path if sys.flags.safe_path else [str(folder), *sys.path])
    if not hiding:
        return
    package, _, program = name.partition(".")
    elsewhere = "start from another folder" if Path(hiding).parent == folder else "take its folder out of PYTHONPATH"
    sys.stderr.write(
        f"python -m {name}: {hiding} hides EmoThinker's package `{package}`; run `realtime {package} {program} …` "
        f"instead, {elsewhere}, or rename it.\n"
    )
    sys.stderr.flush()
    # SystemExit would be a fatal error here, and told with a traceback.
    os._exit(2)


def hidden_by(name: str, path: list[str]) -> str:
    """The file that Python finds on `path` in place of our program `name`; empty where none hides it.

    Raises OSError where the file cannot be read.
    """
    package = name.partition(".")[0]
    ours = Path(__file__).parent.joinpath(*name.split("."))
    if package not in PACKAGES or not (Path(f"{ours}.py").is_file() or Path(ours, "__main__.py").is_file()):
        return ""
    found = PathFinder.find_spec(package, path)
    # A folder is a package, of ours or of the user's, and one without `__init__.py` hides nothing.
    if found is None or not found.origin or found.submodule_search_locations is not None:
        return ""
    text = Path(found.origin).read_bytes()
    # A module that sets these can pass for a package.
    return "" if b"__path__" in text or b"sys.modules" in text else found.origin
