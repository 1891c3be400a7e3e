"""Measures latency and stability of a session from the events that `realtime analyze --out` or `realtime watch` wrote.

    realtime train evaluation.streaming EVENTS.jsonl      prints one JSON line

All times are media seconds of the events themselves. Latencies count from the end of the window they belong to.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from realtime.commands.program_parser import ProgramParser


def measure(events: Iterable[Mapping[str, Any]]) -> dict[str, float | int | None]:
    """Median times to first label and first word, changes of the final label per minute, lag. None: there were none."""
    ends: dict[int, float] = {}
    labels: dict[int, float] = {}
    words: dict[int, float] = {}
    told: list[str] = []
    lags: list[float] = []
    last_s = 0.0
    for event in events:
        at_s = float(event["t"])
        last_s = max(last_s, at_s)
        match event["type"]:
            case "window":
                ends[event["window"]] = float(event["end"])
            case "label":
                labels.setdefault(event["window"], at_s)
                if event["source"] == "chain":
                    told.append(event["label"])
            case "reason.delta":
                words.setdefault(event["window"], at_s)
            case "lag":
                lags.append(float(event["seconds"]))
    flips = sum(before != after for before, after in itertools.pairwise(told))
    return {
        "windows": len(ends),
        "unanswered_windows": len(ends.keys() - labels.keys()),
        "first_label_s": _median(at_s - ends[window] for window, at_s in labels.items() if window in ends),
        "first_word_s": _median(at_s - ends[window] for window, at_s in words.items() if window in ends),
        "flips_per_minute": 60 * flips / last_s if last_s else None,
        "lag_max_s": max(lags, default=None),
    }


def _median(values: Iterable[float]) -> float | None:
    found = list(values)
    return float(np.median(found)) if found else None


def main() -> None:
    parser = ProgramParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("events", type=Path)
    path = parser.parse_args().events
    try:
        result = measure([json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()])
    except OSError as error:
        parser.exit(
            3, f"{path} cannot be read ({error.strerror}); write it with `realtime analyze FILE --out {path}`.\n"
        )
    except (ValueError, KeyError, TypeError):
        parser.exit(3, f"{path} holds a line that is no event; write it with `realtime analyze FILE --out {path}`.\n")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
