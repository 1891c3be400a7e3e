"""How long each piece of work takes on one replica, read from the JSON of `realtime bench --json`.

Times that the bench does not measure have a default on the safe side, and can be set in the JSON's `cluster` object.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from realtime.errors import BadSettings

CHAIN_TOKENS = 120.0
"Tokens of a chain, where the bench timed none."
MAKE_IT = "Make it: realtime bench --json FILE."
TOKENS_PER_STEP = 4
"Tokens between two steps of `reason/decode.py`; a label may run in between."


@dataclass(frozen=True)
class ServiceTimes:
    """Seconds of one replica that has its share of the machine to itself."""

    model: str
    ingest_s: float
    "Session's node: CPU time per live second for decoding media, faces, cues and events."
    frame_s: float
    "Encoder: one frame."
    hear_s: float
    "Encoder: one utterance, of which nothing was heard ahead."
    append_s: float
    "Thinker: prefilling a second of evidence into its ring."
    label_s: float
    "Thinker: the fast label."
    token_s: float
    "Thinker: one token of a chain."
    chain_tokens: float
    batch_share: float = 1.0
    "Cost of each further request of a batch relative to the first; 1 means that batching gains nothing."
    call_s: float = 0.01
    "A call to a replica and back without its work: Ray, pickling, the network."
    prefill_s: float = 0.0
    "Thinker: prefilling a whole window after its replica was lost. 0 means 8 times `append_s`."

    @property
    def prefill(self) -> float:
        return self.prefill_s or 8 * self.append_s

    @property
    def step_s(self) -> float:
        return TOKENS_PER_STEP * self.token_s


def read(path: Path) -> ServiceTimes:
    """Read the bench's JSON. A `cluster` object in it overrides any field. Raises BadSettings."""
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
    """Service times from the bench's figures. Raises BadSettings where a figure that is needed was not measured."""

    def seconds(key: str) -> float:
        value = figures.get(key)
        value = value.get("p50") if isinstance(value, dict) else value
        return float(value) / 1000 if value is not None else 0.0

    def ms(name: str) -> float:
        return seconds(f"stage_{name}_ms")

    given = dict(figures.get("cluster") or {})
    if unknown := set(given) - {name for name in ServiceTimes.__dataclass_fields__ if name != "model"}:
        raise BadSettings(
            f"cluster.{min(unknown)} is not a service time.", "See realtime/cluster/sizing/service_times.py."
        )
    if "token_s" not in given and figures.get("tokens_per_s"):
        given["token_s"] = 1 / float(figures["tokens_per_s"])
    measured = {
        "ingest_s": float(figures.get("cpu_s_per_live_s") or 0.0),
        "frame_s": ms("vision"),
        # Hearing ahead moves this work before the end of speech but does not make it less.
        "hear_s": max(ms("hear"), seconds("ours_unprepared_label_ms") - seconds("ours_label_ms")),
        # In the local engine this is part of `see`; the bench's growth table has it alone.
        "append_s": ms("append") or _growth_append_s(figures),
        "label_s": ms("fast"),
        "chain_tokens": _chain_tokens(figures),
    }
    # The local engine's CPU time has everything in it, also the work that replicas do in a cluster.
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
    """Tokens of a typical chain: the bench's time per chain, times its speed."""
    value = figures.get("stage_chain_ms")
    value = value.get("p50") if isinstance(value, dict) else value
    per_s = figures.get("tokens_per_s")
    return float(value) / 1000 * float(per_s) if value and per_s else CHAIN_TOKENS
