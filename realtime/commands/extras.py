"""Which optional extra a program of `train` or `export` lacks, in one sentence instead of a traceback."""

from __future__ import annotations

import importlib.metadata
import re
import sys
from types import TracebackType

PACKAGE_OF_MODULE = {"PIL": "pillow", "sklearn": "scikit-learn"}
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
    extra = extra_of(module) if module else None
    if extra is None:
        sys.__excepthook__(kind, error, trace)
        return
    spec = sys.modules["__main__"].__spec__
    program = f"python -m {spec.name}" if spec else "this program"
    sys.stderr.write(f"{program} needs {module}, which is not installed: pip install 'emothinker[{extra}]'\n")
