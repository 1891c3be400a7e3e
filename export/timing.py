"""Times several runtimes on the same machine in turn, and computes the physical floor under them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

WARM_UP, TIMES = 2, 9
Run = Callable[[Mapping[str, Tensor]], object]


@dataclass(frozen=True)
class Timing:
    """The times of one runtime, and its speed against the first one, compared run by run."""

    wall_ms: float
    spent_ms: float
    "On a CPU, processor time of all threads, which other programs change least. On a GPU, `wall_ms`."
    best_ms: float
    "The lowest `spent_ms`."
    times_first: float
    "How many times as fast as the first runtime: median over pairs of runs."
    quartiles: tuple[float, float]


def interleaved(
    runs: Mapping[str, Run], inputs: Mapping[str, Mapping[str, Tensor]], device: torch.device
) -> list[Timing]:
    """Time every runtime once, then all of them again, so that other load on the machine affects all of them alike.

    On a GPU each run is synchronised. On a CPU the pairs compare processor time, which other programs change least;
    with more than one thread it is the time of all of them.
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
        wall_ms, spent_ms, best_ms = (
            float(value) * 1000 for value in (np.median(wall[name]), np.median(spent[name]), min(spent[name]))
        )
        timings.append(Timing(wall_ms, spent_ms, best_ms, float(middle), (float(low), float(high))))
    return timings


def milliseconds(run: Run, device: torch.device) -> float:
    """The best of several runs: a rate is what the machine can do when nothing disturbs it."""
    return interleaved({"": run}, {"": {}}, device)[0].best_ms


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
    """The least time that the graph can take: for reading its weights, or for its arithmetic, whichever is longer."""
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        graph(*inputs.values())
    n_bytes: int = sum(tensor.nbytes for tensor in graph.state_dict().values())
    flop: int = counter.get_total_flops()
    return max(n_bytes / bytes_per_s, flop / flop_per_s) * 1000
