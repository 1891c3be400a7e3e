"""Milliseconds per frame and per 2-s chunk, engine by engine, with the physical floor of this machine beside them.

    python -m export.bench [--model nano] [--engines DIR] [--batch 1 4 16] [--threads 1] [--json FILE]

The floor is the larger of two times: the tower's weights at the memory's rate, its multiply-adds at the processor's.
Both rates are measured here, once, with a large copy and a large matrix product in the precision of the weights.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from export.parity import given
from export.source import TOWERS, load_graph
from realtime.errors import RealtimeError
from realtime.evidence.engines import artifact
from realtime.evidence.engines.batch import FrameInput, drop_noise, text_inputs, vision_inputs
from realtime.evidence.engines.in_onnxruntime import OnnxGraph
from realtime.model import checkpoint

WARM_UP, TIMES = 2, 9
WORDS = 16
Run = Callable[[Mapping[str, Tensor]], object]


def inputs_of(tower: str, batch: int, frame_px: int, dim: int) -> dict[str, Tensor]:
    text = torch.randn(WORDS, dim)
    if tower == "audio":
        lengths = torch.full((batch,), 200, dtype=torch.int32)
        return {"mel": torch.randn(batch, 128, 200), "n_frames": lengths, **text_inputs(text, batch)}
    n_tokens = (frame_px // 28) ** 2
    focal = torch.arange(n_tokens) < n_tokens // 4
    frame = FrameInput(torch.rand(3, frame_px, frame_px), focal, drop_noise(focal, seed=0), 0.2)
    return vision_inputs([frame] * batch, text)


@dataclass(frozen=True)
class Timing:
    """Of one engine, paired with the first of its kind run by run."""

    wall_ms: float
    times_first: float
    "How many times as fast as the first engine: median of the pairs."
    quartiles: tuple[float, float]


def interleaved(
    runs: Mapping[str, Run], inputs: Mapping[str, Mapping[str, Tensor]], device: torch.device
) -> list[Timing]:
    """Every engine once, then all again: what else the machine does meets all of them alike.

    On a card what is still under way is waited for. On a CPU the pairs compare processor time, which a neighbour
    changes least; with more than one thread that is the time of all of them.
    """
    wall: dict[str, list[float]] = {name: [] for name in runs}
    spent: dict[str, list[float]] = {name: [] for name in runs}
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    for index in range(WARM_UP + TIMES):
        for name, run in runs.items():
            began_s, began_clock_s = time.perf_counter(), clock()
            run(inputs[name])
            if device.type == "cuda":
                torch.cuda.synchronize()
            if index >= WARM_UP:
                wall[name].append(time.perf_counter() - began_s)
                spent[name].append(clock() - began_clock_s)
    first = np.array(next(iter(spent.values())))
    timings = []
    for name in runs:
        low, middle, high = np.percentile(first / np.array(spent[name]), (25, 50, 75))
        timings.append(Timing(float(np.median(wall[name])) * 1000, float(middle), (float(low), float(high))))
    return timings


def milliseconds(run: Run, device: torch.device) -> float:
    return interleaved({"": run}, {"": {}}, device)[0].wall_ms


def rates(device: torch.device, dtype: torch.dtype) -> tuple[float, float]:
    """Bytes per second read by a large copy, and floating-point operations per second of a large product."""
    side = 8192 if device.type == "cuda" else 1536
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    product_ms = milliseconds(lambda _: a @ b, device)
    source = torch.empty((1 << 30) if device.type == "cuda" else (1 << 28), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    copy_ms = milliseconds(lambda _: target.copy_(source), device)
    return 2 * source.nbytes / copy_ms * 1000, 2 * side**3 / product_ms * 1000


def floor_ms(graph: nn.Module, inputs: Mapping[str, Tensor], bytes_per_s: float, flop_per_s: float) -> float:
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        graph(*inputs.values())
    n_bytes = sum(tensor.nbytes for tensor in graph.state_dict().values())
    return max(n_bytes / bytes_per_s, counter.get_total_flops() / flop_per_s) * 1000


def torch_runs(graph: nn.Module, device: torch.device) -> dict[str, Run]:
    def eager(inputs: Mapping[str, Tensor]) -> object:
        with torch.inference_mode():
            return graph(*(value.to(device) for value in inputs.values()))

    compiled = torch.compile(graph, dynamic=False, mode="reduce-overhead" if device.type == "cuda" else "default")

    def faster(inputs: Mapping[str, Tensor]) -> object:
        with torch.inference_mode():
            return compiled(*(value.to(device) for value in inputs.values()))

    return {"torch eager": eager, "torch compiled": faster}


def exported_runs(root: Path | None, source: str, tower: str) -> dict[str, Run]:
    """Every ONNX export and every engine of these weights that starts here."""
    runs: dict[str, Run] = {}
    for path in artifact.candidates([root] if root is not None else [artifact.default_root(source)]):
        made = artifact.read(path)
        if made.source_sha256 != source:
            continue
        entry = made.towers[tower]
        try:
            if made.kind == "onnx":
                runs[f"onnxruntime {made.described}"] = OnnxGraph(made.folder / entry["file"])
            else:
                from realtime.evidence.engines.in_tensorrt import Engine, fits_here

                fits_here([made], build="python -m export.trt")
                runs[f"{made.kind} {made.described}"] = Engine(
                    made.folder / entry["file"], made.kind, entry["profiles"]
                )
        except RealtimeError as error:
            print(f"not measured: {error.message}", file=sys.stderr)
    return runs


def measure(folder: Path, root: Path | None, batches: list[int], *, compiled: bool) -> dict[str, Any]:
    config = checkpoint.read_config(folder)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    bytes_per_s, flop_per_s = rates(device, dtype)
    rows = []
    for tower in TOWERS:
        graph = load_graph(folder, tower, dtype).to(device)
        runs = torch_runs(graph, device)
        if not compiled:
            runs.pop("torch compiled")
        runs |= exported_runs(root, artifact.source_sha256(folder), tower)
        for batch in batches:
            inputs = inputs_of(tower, batch, config.emotion.frame_px, config.text.hidden_size)
            inputs = given(inputs, config.emotion.selector_dim > 0)
            cast = {
                name: value.to(dtype) if name in ("patches", "mel", "text") else value for name, value in inputs.items()
            }
            moved = {name: value.to(device) for name, value in cast.items()}
            floor = floor_ms(graph, moved, bytes_per_s, flop_per_s)
            fed = {name: cast if name.startswith("torch") else inputs for name in runs}
            for name, timing in zip(runs, interleaved(runs, fed, device), strict=True):
                rows.append(
                    {
                        "tower": tower, "engine": name, "batch": batch, "ms_each": timing.wall_ms / batch,
                        "times_torch": timing.times_first, "quartiles": timing.quartiles, "floor_ms": floor / batch,
                    }
                )  # fmt: skip
    machine = torch.cuda.get_device_name() if device.type == "cuda" else platform.processor() or platform.machine()
    return {
        "machine": machine, "threads": torch.get_num_threads(), "frame_px": config.emotion.frame_px,
        "gbyte_per_s": bytes_per_s / 1e9, "gflop_per_s": flop_per_s / 1e9, "rows": rows,
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m export.bench", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="nano")
    parser.add_argument("--engines", type=Path, metavar="DIR", help="exports to measure (default: the user's cache)")
    parser.add_argument("--batch", nargs="+", type=int, default=[1, 4, 16])
    parser.add_argument("--threads", type=int, help="of the CPU, for every engine (default: what torch takes)")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out (it needs a C++ compiler)")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    try:
        folder = checkpoint.locate(options.model)
        result = measure(folder, options.engines, options.batch, compiled=not options.no_compile)
    except RealtimeError as error:
        print(f"export.bench: {error}", file=sys.stderr)
        return error.exit_code
    print("| tower | batch | engine | ms each | of the floor's speed | times torch eager (quartiles) |")
    print("| --- | ---: | --- | ---: | ---: | ---: |")
    for row in result["rows"]:
        share = row["floor_ms"] / row["ms_each"]
        times = "{:.2f} ({:.2f} to {:.2f})".format(row["times_torch"], *row["quartiles"])
        print(f"| {row['tower']} | {row['batch']} | {row['engine']} | {row['ms_each']:.2f} | {share:.0%} | {times} |")
    print(json.dumps(result))
    if options.json is not None:
        options.json.write_text(json.dumps(result) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
