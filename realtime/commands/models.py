"""`realtime models`: the memory that each model needs, computed from its shapes, and whether this machine has it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import get_args

import torch

from realtime.engine.loading import LARGE_FROM
from realtime.model import assembly, checkpoint, filling
from realtime.model.blank import blank_modules
from realtime.model.config import PUBLISHED_SHAPES, ModelConfig, published_config
from realtime.model.memory import free_bytes
from realtime.model.packing import Packing
from realtime.model.products import Weights
from realtime.model.thinker import EmoThinker
from realtime.reason.session_ring import ring_tokens

HOST_BYTES = 600_000_000
"""Python, torch and the face models: what a process with a 3B had beside its weights and its ring, measured on a CPU
(docs/bench.md)."""
CUDA_HOST_BYTES = 2_500_000_000
"A process with the CUDA libraries loaded. Not measured: no machine at hand has a GPU."
CUDA_DEVICE_BYTES = 1_000_000_000
"The driver's context, cuBLAS's workspaces and CUDA graphs. Not measured either."
WINDOW_TOKENS = 2560
"KV-cache slots of a window with its chain."


@dataclass(frozen=True)
class Needs:
    """What a model needs with one session, in bytes."""

    model: str
    kept: str
    weights: int
    session: int
    "Its ring and a window, for each session."
    mapped: int = 0
    "Of the weights, what stays in its file on a CPU."

    @property
    def on_cpu(self) -> int:
        return self.weights - self.mapped + self.session + HOST_BYTES

    @property
    def on_gpu(self) -> tuple[int, int]:
        """Memory of the GPU, and of the machine beside it."""
        return self.weights + self.session + CUDA_DEVICE_BYTES, CUDA_HOST_BYTES

    @property
    def unified(self) -> int:
        """Memory where CPU and GPU share it, as on a Jetson."""
        return sum(self.on_gpu)


def needs(name: str, config: ModelConfig, packing: Packing | None = None) -> Iterator[Needs]:
    """A row for each form that the weights are kept in. A small model has one, float32, and stays on the CPU.

    With int4, a folder that is packed in 4 bits keeps its own groups.
    """
    with blank_modules():
        model = EmoThinker(config)
    if sum(parameter.numel() for parameter in model.parameters()) < LARGE_FROM:
        n_bytes = filling.weights_bytes(model, torch.float32)
        yield Needs(name, "float32", n_bytes, session_bytes(config, torch.float32))
        return
    as_stored = filling.expected_groups(config.text, packing) if packing else None
    for kept in get_args(Weights):
        n_bytes = filling.weights_bytes(model, torch.bfloat16, kept, as_stored)
        mapped = 0 if packing else filling.mapped_bytes(config.text, kept, torch.bfloat16)
        yield Needs(name, "bf16" if kept == "full" else kept, n_bytes, session_bytes(config), mapped)


def packing_of(name: str) -> Packing | None:
    """How the weights of a model are packed, or None for plain ones."""
    folder = checkpoint.locate(name)
    return None if assembly.is_composed(folder) else checkpoint.read_packing(folder)


def session_bytes(config: ModelConfig, dtype: torch.dtype = torch.bfloat16) -> int:
    """The KV caches of one session."""
    text = config.text
    per_token = 2 * text.num_hidden_layers * text.num_key_value_heads * text.head_dim * dtype.itemsize
    # The ring keeps its tokens, and has as many slots to prefill the next ones in.
    return (2 * ring_tokens(config.emotion) + WINDOW_TOKENS) * per_token


def show(names: list[str]) -> Iterator[str]:
    """The table, line by line: those that ship, the published ones, and the further models `names`.

    Raises BadModel before the first line where one of these cannot be read.
    """
    shapes = [("nano", checkpoint.read_config(checkpoint.NANO))]
    if assembly.is_composed(checkpoint.SMALL):
        shapes.append(("small", assembly.read_config("small")))
    shapes += [(f"Qwen2.5-Omni-{size}", ModelConfig.parse(published_config(size))) for size in PUBLISHED_SHAPES]
    shapes += [(name, assembly.read_config(name)) for name in names if name not in dict(shapes)]
    packings = {name: packing_of(name) for name in names}
    cpu = free_bytes(torch.device("cpu"))
    gpu = free_bytes(torch.device("cuda")) if torch.cuda.is_available() else None
    places = ((cpu, "here"), (gpu, "on the GPU"))
    free = [f"{n_bytes / 1e9:.1f} GB free {where}" for n_bytes, where in places if n_bytes]
    yield f"GB of memory with one session; {', '.join(free) or 'free memory unknown'}."
    yield "What a GPU needs is computed and has not been measured."
    yield ""
    amounts = f"{'session':>8} {'on a CPU':>10} {'on a GPU':>10} {'beside it':>10} {'unified':>9}"
    yield f"{'model':<24} {'kept in':>8} {'weights':>8} {amounts}  fits here"
    for name, config in shapes:
        for row in needs(name, config, packings.get(name)):
            yield line(row, cpu, gpu)
    yield ""
    yield "What fits may still be slow: on two CPU cores, a 3B takes a minute for one window. nano keeps up."


def line(row: Needs, cpu: int | None, gpu: int | None) -> str:
    on_gpu, beside = row.on_gpu
    places = (("CPU", row.on_cpu, cpu), ("GPU", on_gpu, gpu))
    fits = [where for where, n_bytes, free in places if free and n_bytes < free]
    cells = (row.on_cpu, on_gpu, beside, row.unified)
    amounts = " ".join(f"{n_bytes / 1e9:>{width}.1f}" for n_bytes, width in zip(cells, (10, 10, 10, 9), strict=True))
    return (
        f"{row.model:<24} {row.kept:>8} {row.weights / 1e9:>8.1f} {row.session / 1e9:>8.2f} {amounts}  "
        f"{', '.join(fits) or 'no'}"
    )
