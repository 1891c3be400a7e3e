"""Which optional extra a program of `train` or `export` lacks, in one sentence instead of a traceback."""

from __future__ import annotations

import ast
import importlib.metadata
import os
import re
import sys
from pathlib import Path
from types import TracebackType

from realtime.errors import ExtraMissing

PACKAGE_OF_MODULE = {"PIL": "pillow", "skimage": "scikit-image", "sklearn": "scikit-learn"}
"Packages whose modules have another name."


def extra_of(module: str) -> str | None:
    """The extra that installs `module`, from this package's own metadata; None where no extra does."""
    package = PACKAGE_OF_MODULE.get(module, module)
    try:
        requirements = importlib.metadata.requires("emothinker") or []
    except importlib.metadata.PackageNotFoundError:  # run from a checkout that is not installed
        return None
    for requirement in requirements:
        named = re.match(r"([\w-]+).*extra == ['\"](\w+)['\"]", requirement)
        if named and named[1] == package:
            return named[2]
    return None


def explain_missing() -> None:
    """Call it from a package's `__init__`. It changes something only where `python -m` is starting a program there.

    Programs import what their extra installs at the top of the file, so nothing in the file itself could catch it.
    """
    # While `python -m` looks for its module and imports the packages above it, argv[0] is "-m".
    if sys.argv[0] == "-m":
        sys.excepthook = _tell


def _tell(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    module = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    if not module or extra_of(module) is None:
        sys.__excepthook__(kind, error, trace)
        return
    spec = sys.modules["__main__"].__spec__
    program = f"python -m {spec.name}" if spec else "this program"
    source = Path(spec.origin) if spec and spec.origin else None
    code = told_missing(program, module, source, wants_help="-h" in sys.argv or "--help" in sys.argv)
    sys.stdout.flush()
    sys.stderr.flush()
    # After an excepthook Python always ends with 1, and help that was given is no failure.
    os._exit(code)


def told_missing(program: str, module: str, source: Path | None, *, wants_help: bool) -> int:
    """Say which extra a program lacks; returns the exit code. Help is the text at the top of the program's file."""
    line = f"{program} needs {module}, which is not installed: pip install 'emothinker[{extra_of(module)}]'"
    if not wants_help or source is None:
        sys.stderr.write(f"{line}\n")
        return ExtraMissing.exit_code
    text = ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))) or ""
    sys.stdout.write(f"{text}\n\n{line}\nIts options are shown once that is there.\n")
    return 0
