"""Lower bounds of this machine: the arithmetic and the memory traffic that any program needs, at measured speeds."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch

from realtime.engine.loading import LoadedModel

TOKENS_SEEN = 700
"KV-cache slots that a token of a chain attends to: eight seconds with nano."
LABEL_TOKENS = 60
"Tokens of three label branches."
LARGEST_PASS = 1 << 30
"Bytes that are read to measure the memory's rate. More are no faster, and may have no room beside the weights."
CPU = torch.device("cpu")


def floors(model: LoadedModel, figures: dict[str, Any]) -> dict[str, Any]:
    """Measure the speeds of this machine; return the bound of each figure and how close the figure comes to it."""
    text = model.weights.config.text
    layer = text.hidden_size * (
        2 * text.num_attention_heads * text.head_dim
        + 2 * text.num_key_value_heads * text.head_dim
        + 3 * text.intermediate_size
    )
    n_weights = text.num_hidden_layers * layer + text.hidden_size * text.vocab_size
    kept = 2 * text.num_hidden_layers * text.num_key_value_heads * text.head_dim * TOKENS_SEEN
    device, dtype = model.weights.device, model.weights.dtype
    n_bytes = model.thinker.language.step_bytes + kept * dtype.itemsize
    flops_per_s, bytes_per_s = arithmetic_per_s(device, dtype), bytes_read_per_s(min(n_bytes, LARGEST_PASS), device)
    tokens_per_s = bytes_per_s / n_bytes
    label_ms = LABEL_TOKENS * 2 * n_weights / flops_per_s * 1000
    return {
        "threads": torch.get_num_threads(),
        "gflop_per_s": round(flops_per_s / 1e9, 1),
        "gbyte_per_s": round(bytes_per_s / 1e9, 1),
        "tokens_per_s": round(tokens_per_s),
        "label_ms": round(label_ms, 1),
        "tokens_per_s_reached": share(figures.get("tokens_per_s"), tokens_per_s),
        "label_reached": share(label_ms, (figures.get("ours_label_ms") or {}).get("p50")),
    }


def share(part: float | None, of: float | None) -> float | None:
    """`part / of`, or None where either is missing."""
    return round(part / of, 3) if part and of else None


def arithmetic_per_s(device: torch.device = CPU, dtype: torch.dtype = torch.float32) -> float:
    """Floating-point operations per second: the best of five products of large matrices."""
    n = 768 if device.type == "cpu" else 8192
    a, b = (torch.randn(n, n, device=device, dtype=dtype) for _ in range(2))
    return max(2 * n**3 / _seconds(lambda: torch.mm(a, b), device) for _ in range(5))


def bytes_read_per_s(n_bytes: int, device: torch.device) -> float:
    """Bytes per second: the best of nine passes over so much memory.

    Caches help here as they help a decode step that reads as much.
    """
    block = torch.ones(n_bytes // 4, device=device)
    return max(n_bytes / _seconds(lambda: block.sum(), device) for _ in range(9))


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    """Wall time of `work`. On a GPU it includes the kernels that `work` launched."""
    began_s = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began_s
