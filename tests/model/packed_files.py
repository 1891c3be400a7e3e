"""Folders as GPTQ and AWQ write them, made plainly: nano's weights rounded to the nearest of 16 levels.

What `realtime/model/packing.py` reads is written here from the description of the formats, with numpy and without any
code of ours.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file, save_file

from realtime.model.checkpoint import INDEX, NANO, WEIGHTS
from realtime.records import Float32

LAYER = re.compile(r"thinker\.model\.layers\.\d+\.(self_attn|mlp)\.[a-z]+_proj\.weight")
AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)
Tensors = dict[str, Any]
Scales = Callable[[Float32], npt.NDArray[Any]]


def halves(steps: Float32) -> npt.NDArray[Any]:
    """Scales in half precision, as published folders have them."""
    return steps.astype(np.float16)


def powers(steps: Float32) -> npt.NDArray[Any]:
    """Scales that are powers of two, which are the same in bf16."""
    scales: npt.NDArray[Any] = np.exp2(np.ceil(np.log2(steps))).astype(np.float16)
    return scales


@dataclass(frozen=True)
class Rounded:
    """A weight (N, D) in 16 levels."""

    levels_DN: npt.NDArray[Any]
    zeros_GN: npt.NDArray[Any]
    scales_GN: npt.NDArray[Any]
    group_D: npt.NDArray[Any]

    @property
    def values_ND(self) -> Float32:
        zeros_DN, scales_DN = self.zeros_GN[self.group_D], self.scales_GN[self.group_D]
        values_DN = (self.levels_DN.astype(np.float32) - zeros_DN) * scales_DN.astype(np.float32)
        return np.ascontiguousarray(values_DN.T, np.float32)


def rounded(
    weight_ND: Float32, group: int, *, symmetric: bool, order: npt.NDArray[Any] | None, scales_as: Scales
) -> Rounded:
    """Round to the nearest. `order` lists the inputs in the order in which they form groups."""
    n_inputs = weight_ND.shape[1]
    group = n_inputs if group == -1 else group
    group_D = np.empty(n_inputs, np.int32)
    group_D[np.arange(n_inputs) if order is None else order] = np.arange(n_inputs) // group
    zeros, scales = [], []
    for g in range(group_D.max() + 1):
        mine = weight_ND[:, group_D == g]
        low, high = np.minimum(mine.min(1), 0), np.maximum(mine.max(1), 0)
        step = np.maximum(-low, high) / 7.5 if symmetric else (high - low) / 15
        scale = scales_as(np.maximum(step, 1e-4))
        zeros.append(np.full(len(mine), 8) if symmetric else np.rint(-low / scale.astype(np.float32)).clip(0, 15))
        scales.append(scale)
    zeros_GN, scales_GN = np.stack(zeros).astype(np.int64), np.stack(scales)
    levels = np.rint(weight_ND.T / scales_GN[group_D].astype(np.float32)) + zeros_GN[group_D]
    return Rounded(levels.clip(0, 15).astype(np.int64), zeros_GN, scales_GN, group_D)


def words(eights: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """(…, 8) values of 4 bits as int32, the first in the lowest bits."""
    whole = np.zeros(eights.shape[:-1], np.int64)
    for place in range(8):
        whole |= eights[..., place] << (4 * place)
    return whole.astype(np.uint32).view(np.int32)


def along_outputs(values: npt.NDArray[Any], order: tuple[int, ...] = tuple(range(8))) -> npt.NDArray[Any]:
    return words(values.reshape(len(values), -1, 8)[..., order])


def as_gptq(layer: str, one: Rounded, *, first_format: bool, with_index: bool) -> Tensors:
    levels_DN = one.levels_DN
    eights = levels_DN.reshape(-1, 8, levels_DN.shape[1]).swapaxes(1, 2)
    zeros = along_outputs(one.zeros_GN)
    if first_format:
        zeros = (zeros.view(np.uint32).astype(np.int64) - 0x11111111).astype(np.uint32).view(np.int32)
    tensors = {f"{layer}.qweight": words(eights), f"{layer}.qzeros": zeros, f"{layer}.scales": one.scales_GN}
    return tensors | ({f"{layer}.g_idx": one.group_D} if with_index else {})


def as_awq(layer: str, one: Rounded) -> Tensors:
    return {
        f"{layer}.qweight": along_outputs(one.levels_DN, AWQ_ORDER),
        f"{layer}.qzeros": along_outputs(one.zeros_GN, AWQ_ORDER),
        f"{layer}.scales": one.scales_GN,
    }


def facts(method: str, group: int, **more: object) -> dict[str, object]:
    """`quantization_config` as the published folders have it."""
    if method == "awq":
        own: dict[str, object] = {"version": "gemm", "zero_point": True, "modules_to_not_convert": ["visual"]}
    else:
        own = {"checkpoint_format": "gptq", "desc_act": False, "sym": True, "lm_head": False, "pack_dtype": "int32"}
    return {"quant_method": method, "bits": 4, "group_size": group} | own | more


def write(
    folder: Path,
    method: str,
    *,
    group: int = 64,
    symmetric: bool = False,
    ordered: bool = False,
    form: str = "gptq",
    scales_as: Scales = halves,
) -> Path:
    """Write `folder`/packed, in two shards, and `folder`/plain with the same weights in float32; return the former."""
    packed, plain = folder / "packed", folder / "plain"
    for each in (packed, plain):
        shutil.copytree(NANO, each, ignore=shutil.ignore_patterns(WEIGHTS))
    whole, rows = load_file(NANO / WEIGHTS), np.random.default_rng(0)
    orders: dict[tuple[str, int], npt.NDArray[Any]] = {}
    tensors: Tensors = {}
    for key, weight in sorted(whole.items()):
        if not LAYER.fullmatch(key):
            tensors[key] = weight
            continue
        # Layers that read the same inputs put them into the same order, as in published folders.
        reads = key.split("_proj")[0].rpartition(".")[0] + ("o" if ".o_proj" in key else "")
        order = orders.setdefault((reads, weight.shape[1]), rows.permutation(weight.shape[1])) if ordered else None
        one = rounded(weight.astype(np.float32), group, symmetric=symmetric, order=order, scales_as=scales_as)
        whole[key] = one.values_ND
        layer = key.removesuffix(".weight")
        if method == "awq":
            tensors |= as_awq(layer, one)
        else:
            tensors |= as_gptq(layer, one, first_format=form == "gptq", with_index=ordered or symmetric)
    save_file(whole, plain / WEIGHTS, metadata={"format": "pt"})
    more: dict[str, object] = {} if method == "awq" else {"checkpoint_format": form, "desc_act": ordered}
    set_config(packed, quantization_config=facts(method, group, **more))
    write_shards(packed, tensors)
    return packed


def set_config(folder: Path, **values: object) -> None:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(config | values), encoding="utf-8")


def read_shards(folder: Path) -> Tensors:
    return {key: value for path in sorted(folder.glob("model-*")) for key, value in load_file(path).items()}


def write_shards(folder: Path, tensors: Tensors) -> None:
    """Two shards with every other tensor, so that the parts of a layer are in both."""
    keys = sorted(tensors)
    placed = {key: f"model-0000{1 + n % 2}-of-00002.safetensors" for n, key in enumerate(keys)}
    for name in set(placed.values()):
        shard = {key: np.ascontiguousarray(tensors[key]) for key in keys if placed[key] == name}
        save_file(shard, folder / name, metadata={"format": "pt"})
    (folder / INDEX).write_text(json.dumps({"weight_map": placed}), encoding="utf-8")
