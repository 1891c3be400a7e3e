"""`realtime bench`: what this machine does, beside what it could do and beside plain transformers.

Four measurements, one table, one JSON line:

    live      recordings at the pace of life through real sessions: latencies, tokens/s, CPU, memory   (`live.py`)
    paired    the same windows answered by us and by plain transformers, in turns                      (`paired.py`)
    together  chains of several sessions read in one pass against one after the other                  (`together.py`)
    growth    what a second costs in minute 1, 10 and 60, and for longer windows                       (`growth.py`)

`docs/bench.md` says what was tried, what helped and what did not.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TextIO

from realtime.bench.live import measure_live
from realtime.errors import NotMedia
from realtime.ingest.media import check
from realtime.roles import Model
from realtime.settings import Settings

CLIPS = ("*.mp4", "*.webm", "*.mkv", "*.avi", "*.flv", "*.mov")


def bench(
    media: Sequence[str],
    load: Callable[[], Model],
    settings: Settings,
    *,
    seconds: float,
    sessions: int = 1,
    repeats: int = 5,
    minutes: int = 1,
    out: TextIO | None = None,
) -> int:
    """`repeats`: windows compared with plain transformers, 0 for none; `minutes`: how far growth is followed."""
    files = list(media) or _clips()
    for file in files:
        check(file, settings.ingest)
    figures = asyncio.run(measure_live(files, load, settings, seconds=seconds, n_sessions=sessions))
    if repeats:
        figures |= _compared(files, load(), settings, repeats=repeats, minutes=minutes, figures=figures)
    for name, value in figures.items():
        print(f"{name:<24} {value}", file=sys.stderr)
    line = json.dumps(figures)
    print(line)
    if out is not None:
        out.write(line + "\n")
    return 0


def _compared(
    files: Sequence[str], model: Model, settings: Settings, *, repeats: int, minutes: int, figures: dict[str, Any]
) -> dict[str, Any]:
    """What needs the real model; a scripted one has neither weights nor floors."""
    from realtime.engine.loading import LoadedModel

    if not isinstance(model, LoadedModel):
        return {}
    from realtime.bench.floors import floors
    from realtime.bench.growth import growth
    from realtime.bench.paired import paired
    from realtime.bench.together import together

    more = paired(files, model, settings, repeats=repeats)
    more["together"] = together(files, model, settings)
    more["growth"] = growth(files, model, settings, minutes=minutes)
    more["floors"] = floors(model, figures | more)
    return more


def _clips() -> list[str]:
    """Clips with sound and picture of the data folder, if it is here. Raises NotMedia."""
    folder = Path(os.environ.get("EMOTHINKER_DATA", "../shared/data"))
    files = sorted(str(file) for pattern in CLIPS for file in folder.rglob(pattern))
    if not files:
        raise NotMedia(
            f"There are no recordings in {folder}.", "Name one: realtime bench FILE, a person speaking to the camera."
        )
    return files
