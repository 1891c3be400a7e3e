"""How fast one chain is decoded, and what share of the memory's rate that is, as JSON lines.

    python -m realtime.bench.decode [--model nano] [--weights full int8 int4] [--narrow auto none int8 int4 fp8]
        [--device auto] [--tokens 48] [--json FILE]

A step reads the weights of each product, and the keys and values of the tokens before it, once. So a chain alone is
bound by the memory, whose rate is measured with passes over 1 GB (`of_memory`). A model that fits into a cache can be
faster than that; `of_same_size` is its share of the rate of passes over as many bytes as a step reads. The median step
is told, since other programs take a core now and then; `cpu_ms` is its processor time.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any, Literal, get_args

import torch

from realtime.bench.floors import LARGEST_PASS, TOKENS_SEEN, bytes_read_per_s
from realtime.commands.program_parser import ProgramParser
from realtime.engine.loading import Device, LoadedModel, load
from realtime.errors import RealtimeError
from realtime.model.fused import KVCache
from realtime.model.products import Narrow, Weights
from realtime.outputs import refuse_input

WARM = 4
"Steps that are not counted: the first ones capture graphs and fill caches."


@torch.inference_mode()
def decoded(model: LoadedModel, n_tokens: int) -> dict[str, Any]:
    """Steps of one chain after `TOKENS_SEEN` slots, through the decoder that serves."""
    language, device, dtype = model.thinker.language, model.weights.device, model.weights.dtype
    n_slots = TOKENS_SEEN + WARM + n_tokens + 1
    cache = KVCache(language.config, n_slots, dtype=dtype, device=device)
    for kept in (cache.keys_LHSD, cache.values_LHSD):
        kept.normal_()
    cache.n_used = TOKENS_SEEN
    slot = model.thinker.decoder.open_slot(cache, next_position=TOKENS_SEEN, next_token=1, n_more=WARM + n_tokens)
    steps_ms, cpu_ms = [], []
    for _ in range(WARM + n_tokens):
        began_s, began_cpu_s = time.perf_counter(), time.process_time()
        slot.append(slot.next_token() or 0)
        slot.next_token()
        steps_ms.append((time.perf_counter() - began_s) * 1000)
        cpu_ms.append((time.process_time() - began_cpu_s) * 1000)
    slot.close()
    step_ms = statistics.median(steps_ms[WARM:])
    n_bytes = language.step_bytes + TOKENS_SEEN * cache.keys_LHSD[:, :, 0].nbytes * 2
    memory = bytes_read_per_s(LARGEST_PASS, device)
    same_size = memory if n_bytes >= LARGEST_PASS else bytes_read_per_s(n_bytes, device)
    return {
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        "dtype": str(dtype).removeprefix("torch."),
        "threads": torch.get_num_threads(),
        "step_ms": round(step_ms, 3),
        "cpu_ms": round(statistics.median(cpu_ms[WARM:]), 3),
        "tokens_per_s": round(1000 / step_ms, 2),
        "gbyte_a_step": round(n_bytes / 1e9, 4),
        "gbyte_per_s": round(n_bytes / step_ms / 1e6, 2),
        "memory_gbyte_per_s": round(memory / 1e9, 2),
        "of_memory": round(n_bytes / step_ms * 1000 / memory, 3),
        "same_size_gbyte_per_s": round(same_size / 1e9, 2),
        "of_same_size": round(n_bytes / step_ms * 1000 / same_size, 3),
    }


def main() -> int:
    parser = ProgramParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="nano")
    parser.add_argument("--weights", nargs="+", choices=get_args(Weights), default=["full"])
    parser.add_argument("--narrow", nargs="+", choices=("auto", "none", *get_args(Narrow)), default=["auto"])
    parser.add_argument("--device", choices=get_args(Device), default="auto")
    parser.add_argument("--tokens", type=int, default=48, help="steps that are timed (default: 48)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the lines there, too")
    options = parser.parse_args()
    try:
        return run(options)
    except RealtimeError as error:
        print(f"{error.message} {error.hint}", file=sys.stderr)
        return 1


def run(options: argparse.Namespace) -> int:
    """Measure each format, and tell it as soon as it is there."""
    refuse_input(options.json, Path(options.model))
    lines: list[str] = []
    for weights in options.weights:
        formats: list[Narrow | Literal["auto", "none"]] = options.narrow if weights == "full" else ["none"]
        for narrow in formats:
            model = load(
                options.model,
                engine="torch",
                weights=weights,
                narrow=None if narrow == "none" else narrow,
                threads=0,
                device=options.device,
            )
            figures = {"model": options.model, "weights": weights, "narrow": narrow, **decoded(model, options.tokens)}
            lines.append(json.dumps(figures))
            print(lines[-1], flush=True)
            if options.json:
                options.json.write_text("\n".join(lines) + "\n", encoding="utf-8")
            del model
            gc.collect()
            torch.cuda.empty_cache()
    return 0


if __name__ == "__main__":
    sys.exit(main())
