"""`realtime train NAME …` and `realtime export NAME …`: the programs of both packages, whatever lies in the folder.

`python -m train.evaluate` takes the package `train` from the current folder first, so a `train.py` there hides ours:
`emothinker_shadowed.py` says so. Here the package beside this one is taken.
"""

from __future__ import annotations

import importlib.util
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

from realtime.commands.extras import extra_of, told_missing
from realtime.errors import BadSettings, RealtimeError

PROGRAMS = {
    "train": ("annotate", "compose", "convert", "dpo", "evaluate", "lora", "merge", "metrics", "push", "rl", "warmup"),
    "export": ("bench", "face_parity", "faces", "onnx", "parity", "sample", "trt"),
}
"The programs that the help names. Others of the same packages, such as `nano.prepare`, run too."
ROOT = Path(__file__).parents[2]
"The folder that holds `realtime`, `train` and `export`."


class OtherPackage(RealtimeError):
    """Another distribution put a package of the same name there. Install ours again."""

    code = "other_package"


def run(package: str, words: Sequence[str]) -> int:
    """Run a program with the words after its name. Returns its exit code.

    Raises BadSettings for a program that does not exist, OtherPackage where the package is not ours, and RealtimeError
    with the install line where an extra is missing.
    """
    name, *rest = words or ["--help"]
    if name in ("-h", "--help"):
        print(f"usage: realtime {package} NAME …\n\nEach NAME has its own --help: {', '.join(PROGRAMS[package])}.")
        return 0
    sys.path.insert(0, str(ROOT))
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None or Path(spec.origin).parent.parent != ROOT:
        where = "nowhere" if spec is None else spec.origin
        raise OtherPackage(
            f"The package `{package}` ({where}) is not EmoThinker's.",
            "pip install --force-reinstall --no-deps emothinker",
        )
    module = f"{package}.{name}"
    folder = ROOT / package / Path(*name.split("."))
    source = folder.with_suffix(".py") if folder.with_suffix(".py").is_file() else folder / "__main__.py"
    if not source.is_file():
        raise BadSettings(f"{package} has no program `{name}`.", f"There are {', '.join(PROGRAMS[package])}.")
    sys.argv = [str(source), *rest]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if extra_of(missing) is None:
            raise
        return told_missing(
            f"realtime {package} {name}", missing, source, wants_help={"-h", "--help"} & set(rest) != set()
        )
    return 0
