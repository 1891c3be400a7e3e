"""What the command `realtime` starts: a check that the package `realtime` is ours, and then the command line.

Other distributions install a package of the same name (Supabase's, for one), and pip lets the later one overwrite
files of the earlier. So this module lies outside of it and imports nothing of it before the check.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

OURS = "EmoThinker live"
"Stands in the first line of our `realtime/__init__.py`."


def main() -> int:
    # onnxruntime 1.31 reports its use to its makers unless told before it is loaded. So does `realtime`.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    told = foreign()
    if told:
        sys.stderr.write(f"{told}\n")
        return 1
    from realtime.cli import main as run

    return run()


def foreign() -> str:
    """What is wrong if Python would import another package as `realtime`, and how to mend it; empty if it is ours."""
    spec = importlib.util.find_spec("realtime")
    origin = Path(spec.origin) if spec is not None and spec.origin else None
    if origin is not None and OURS in origin.read_text(encoding="utf-8", errors="replace"):
        return ""
    if origin is None:
        # Seen after `pip uninstall realtime`, which takes the file that both had.
        return (
            "realtime: files of EmoThinker are missing; another package may have taken them along.\n"
            "          pip install --force-reinstall --no-deps emothinker"
        )
    others = sorted({name for name in packages_distributions().get("realtime", []) if name != "emothinker"})
    if others:
        return (
            f"realtime: {origin} is of the package {', '.join(others)}, not EmoThinker's.\n"
            f"          pip uninstall {' '.join(others)} && pip install --force-reinstall --no-deps emothinker"
        )
    return (
        f"realtime: Python finds another `realtime` ({origin}) before EmoThinker's.\n"
        "          Rename it, start from another folder, or take it out of PYTHONPATH."
    )


if __name__ == "__main__":
    sys.exit(main())
