"""Builds TensorRT plans of a model before it is loaded, where the operator asked for it and none fits this GPU.

`export.trt` does it, in a process of its own: the GPU's memory is free then, and is free again before the model comes.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from realtime.errors import EngineMissing
from realtime.model.progress import progress
from realtime.towers import artifact
from realtime.towers.tensorrt_runtime import all_that_fit

TOLD_EVERY_S = 15.0
"Seconds between two lines of progress."


def build_where_missing(
    name: str,
    folder: Path,
    *,
    adapter: Path | None,
    engine_dir: Path | None,
    now_s: Callable[[], float] = time.monotonic,
) -> None:
    """Return at once where plans of these weights fit here, else build them. It takes minutes, and is told.

    Raises EngineMissing with what the builder said.
    """
    found, _ = artifact.find(folder, adapter=adapter, engine_dir=engine_dir)
    try:
        all_that_fit([made for made in found if made.runs_in("trt")], build="")
        return
    except EngineMissing:
        pass  # None is there, or it is for another GPU or version.
    arguments = ["export", "trt", "--model", name]
    arguments += ["--adapter", str(adapter)] if adapter is not None else []
    arguments += ["--out", str(engine_dir)] if engine_dir is not None else []
    began_s = now_s()
    progress.info("building TensorRT plans of %s for this GPU, once; it takes minutes", name)
    with subprocess.Popen(
        # With `-m export.trt`, an `export.py` in this folder would be run in its place.
        [sys.executable, "-m", "emothinker_start", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as builder:
        try:
            while True:
                try:
                    said, _ = builder.communicate(timeout=TOLD_EVERY_S)
                    break
                except subprocess.TimeoutExpired:
                    progress.info("building TensorRT plans of %s: %.0f s", name, now_s() - began_s)
        except BaseException:
            builder.kill()
            raise
    lines = said.strip().splitlines() or ["it said nothing"]
    if builder.returncode != 0:
        raise EngineMissing(
            f"TensorRT plans of {name} could not be built: {lines[-1].rstrip('.')}.",
            hint=f"Try it by itself: `realtime {' '.join(arguments)}`.",
        )
    progress.info("built TensorRT plans of %s in %.0f s: %s", name, now_s() - began_s, lines[-1])
