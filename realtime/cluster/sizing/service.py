"""How long each piece of work takes on one replica: read from what `realtime bench --json` measured, nothing assumed.

What the bench does not measure has a name here, a default on the safe side, and a place in the JSON where a measured
or computed figure goes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from realtime.errors import BadSettings

CHAIN_TOKENS = 120.0
"Of a chain, where the bench timed none."
MAKE_IT = "Make it: realtime bench --json FILE."
TOKENS_PER_STEP = 4
"As `reason/decode.py` yields: between two steps a label may go first."


@dataclass(frozen=True)
class ServiceTimes:
    """Seconds of one replica, alone on its share of the machine."""

    model: str
    ingest_s: float
    "CPU of a session's node per live second: decoding, faces, cues, events."
    frame_s: float
    "Encoder, one frame."
    hear_s: float
    "Encoder, the sound of one stretch of speech, as if none of it were heard ahead."
    append_s: float
    "Thinker, reading a second of evidence into its ring."
    label_s: float
    "Thinker, the fast label."
    token_s: float
    "Thinker, one token of a chain."
    chain_tokens: float
    batch_share: float = 1.0
    "What each further request of a batch costs, against the first alone; 1 is no gain from batching."
    call_s: float = 0.01
    "To a replica and back without its work: Ray, pickling, the network."
    prefill_s: float = 0.0
    "Reading a whole window again, after its replica was lost; 0: 8 seconds of evidence one by one."

    @property
    def prefill(self) -> float:
        return self.prefill_s or 8 * self.append_s

    @property
    def step_s(self) -> float:
        return TOKENS_PER_STEP * self.token_s


def read(path: Path) -> ServiceTimes:
    """From the bench's JSON; a `cluster` object in it overrides any field. Raises BadSettings."""
    try:
        figures = json.loads(path.read_text(encoding="utf-8").strip().splitlines()[-1])
    except OSError as error:
        raise BadSettings(f"{path} cannot be read: {error.strerror}.", MAKE_IT) from error
    except (ValueError, IndexError) as error:
        raise BadSettings(f"{path} is not the bench's JSON: {error}.", MAKE_IT) from error
    if not isinstance(figures, dict):
        raise BadSettings(f"{path} is not the bench's JSON.", MAKE_IT)
    return from_figures(figures)


def from_figures(figures: Mapping[str, Any]) -> ServiceTimes:
    """Raises BadSettings when a figure that is needed was not measured."""

    def seconds(key: str) -> float:
        value = figures.get(key)
        value = value.get("p50") if isinstance(value, dict) else value
        return float(value) / 1000 if value is not None else 0.0

    def ms(name: str) -> float:
        return seconds(f"stage_{name}_ms")

    given = dict(figures.get("cluster") or {})
    if unknown := set(given) - {name for name in ServiceTimes.__dataclass_fields__ if name != "model"}:
        raise BadSettings(f"cluster.{min(unknown)} is no service time.", "See realtime/cluster/sizing/service.py.")
    if "token_s" not in given and figures.get("tokens_per_s"):
        given["token_s"] = 1 / float(figures["tokens_per_s"])
    measured = {
        "ingest_s": float(figures.get("cpu_s_per_live_s") or 0.0),
        "frame_s": ms("vision"),
        # What was heard ahead costs next to nothing at the end, and as much as ever before it.
        "hear_s": max(ms("hear"), seconds("ours_unprepared_label_ms") - seconds("ours_label_ms")),
        # A second's reading is part of `see` in the local engine; the bench's growth table has it alone.
        "append_s": ms("append") or _growth_append_s(figures),
        "label_s": ms("fast"),
        "chain_tokens": _chain_tokens(figures),
    }
    # The local engine's CPU holds everything; what replicas do is not the ingest node's.
    measured["ingest_s"] = max(measured["ingest_s"] - measured["frame_s"] - measured["append_s"], ms("faces"))
    values = measured | {name: float(value) for name, value in given.items()}
    for name in ("frame_s", "label_s", "token_s"):
        if not values.get(name, 0.0) > 0:
            raise BadSettings(f"The bench's JSON has no {name}.", "Run it longer, on clips in which someone speaks.")
    return ServiceTimes(str(figures.get("model", "?")), **values)


def _growth_append_s(figures: Mapping[str, Any]) -> float:
    minutes = figures.get("growth")
    first = minutes.get("minute_1") if isinstance(minutes, dict) else None
    return float(first["append_ms"]) / 1000 if isinstance(first, dict) else 0.002


def _chain_tokens(figures: Mapping[str, Any]) -> float:
    """Of a typical chain: for how long the bench wrote one, and how fast."""
    value = figures.get("stage_chain_ms")
    value = value.get("p50") if isinstance(value, dict) else value
    per_s = figures.get("tokens_per_s")
    return float(value) / 1000 * float(per_s) if value and per_s else CHAIN_TOKENS
