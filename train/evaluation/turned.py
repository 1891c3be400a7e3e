"""Answers that the chain turned: right where the fast label was wrong, and the other way round."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from train import metrics

Row = Mapping[str, Any]
N_SHOWN = 5
"Examples of each direction in a report."


def turned(rows: Sequence[Row]) -> dict[str, Any]:
    """How many answers were turned, and the difference in accuracy with its 95 % interval.

    The interval is a paired bootstrap: a draw takes a sample with both its answers. Examples hold the argument alone,
    and nothing that describes a face. Empty for answers without a fast label.
    """
    own = [row for row in rows if row.get("fast")]
    if not own:
        return {}
    fast = np.array([row["fast"] == row["truth"] for row in own])
    final = np.array([row["answer"] == row["truth"] for row in own])
    difference = final.astype(np.float64) - fast
    interval = metrics.bootstrap(difference)
    return {
        "difference": round(float(difference.mean()), 4),
        "low": round(interval.low, 4),
        "high": round(interval.high, 4),
        "right": _direction([row for row, is_turned in zip(own, final & ~fast, strict=True) if is_turned]),
        "wrong": _direction([row for row, is_turned in zip(own, ~final & fast, strict=True) if is_turned]),
    }


def _direction(rows: Sequence[Row]) -> dict[str, Any]:
    between = Counter(f"{row['fast']} → {row['answer'] or 'nothing'}" for row in rows)
    examples = [
        {
            "truth": row["truth"],
            "fast": row["fast"],
            "answer": row["answer"],
            "argument": " ".join(row.get("sections", {}).get(name, "") for name in ("coarse", "fine")).strip(),
        }
        for row in rows[:: max(1, len(rows) // N_SHOWN)][:N_SHOWN]
    ]
    return {"n": len(rows), "between": dict(between.most_common(8)), "examples": examples}


def as_table(found: Mapping[str, Any]) -> list[str]:
    """The lines of a report's table."""
    lines = [
        f"The answer is right more often than the fast label by {found['difference']:+.4f} "
        f"({found['low']:+.4f} to {found['high']:+.4f}).",
        "",
        "| turned | n | truth | fast label | answer | argument |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name in ("right", "wrong"):
        part = found[name]
        lines.append(f"| {name} | {part['n']} | | | | |")
        lines += [f"| | | {e['truth']} | {e['fast']} | {e['answer']} | {e['argument']} |" for e in part["examples"]]
    return lines
