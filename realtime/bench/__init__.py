"""`realtime bench`: measures this machine, and compares it with its limits and with plain transformers.

    live.py       recordings in real time through real sessions: latencies, tokens/s, CPU, memory
    paired.py     the same windows answered by us and by plain transformers (plain.py), in alternation
    batching.py   chains of several sessions decoded as a batch, and one after the other
    growth.py     what a second costs in minute 1, 10 and 60, for longer windows, and for more faces
    decode.py     one chain alone, and its share of the memory's rate (a program of its own)
    floors.py     the speeds of the machine, and what they allow at best

The figures are printed as a table on stderr and as one JSON line on stdout.

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
from realtime.sample import SAMPLE
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
    """Measure, print the figures, and write them to `out`. Raises NotMedia.

    `repeats` is the number of windows compared with plain transformers, 0 for none. `minutes` is how far growth is
    followed.
    """
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
    """Figures that need a real model; a scripted one has no weights."""
    from realtime.engine.loading import LoadedModel

    if not isinstance(model, LoadedModel):
        return {}
    from realtime.bench.batching import batching
    from realtime.bench.floors import floors
    from realtime.bench.growth import growth
    from realtime.bench.paired import paired

    more = paired(files, model, settings, repeats=repeats)
    more["together"] = batching(files, model, settings)
    more["growth"] = growth(files, model, settings, minutes=minutes)
    more["floors"] = floors(model, figures | more)
    return more


def _clips() -> list[str]:
    """The recordings in the data folder that `EMOTHINKER_DATA` names, or else the sample that ships.

    Raises NotMedia where the folder is named and has none.
    """
    folder = os.environ.get("EMOTHINKER_DATA")
    if not folder:
        return [str(SAMPLE)]
    files = sorted(str(file) for pattern in CLIPS for file in Path(folder).rglob(pattern))
    if not files:
        raise NotMedia(f"There are no recordings in {folder}.", "Name one: realtime bench FILE, or `sample` for ours.")
    return files
