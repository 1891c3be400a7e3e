"""LoRA adapters that are not merged into the backbone, so that several share one set of weights.

    y = x W + (x A) (B · alpha / r)

A merged adapter is faster (`checkpoint.load`), and a single adapter is merged. An unmerged one costs two thin
products per layer, and memory for its own size. `tests/model/test_adapters.py` compares the two.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from realtime.errors import BadModel
from realtime.model import checkpoint
from realtime.model.config import ADAPTER_CONFIG, TextConfig
from realtime.model.fused import LayerAdapter
from realtime.model.products import LowRank

KEY = re.compile(r"(?:.*\.)?layers\.(\d+)\.(?:self_attn|mlp)\.([a-z]+)_proj\.lora_A\.weight$")
TOWERS = ("visual.", "audio_tower.")


def beside(folder: Path) -> bool:
    """Whether the adapter changes the language model alone. One that changes the towers too has to be merged."""
    if not (folder / ADAPTER_CONFIG).exists():
        return True
    keys = checkpoint.read_tensors(folder / checkpoint.ADAPTER_WEIGHTS)
    return all(key.endswith(".lora_B.weight") or _place(key) is not None for key in keys)


def _place(key: str) -> re.Match[str] | None:
    return None if any(tower in key for tower in TOWERS) else KEY.fullmatch(key)


def read(folder: Path, config: TextConfig, *, dtype: torch.dtype, device: torch.device) -> list[LayerAdapter]:
    """The unmerged adapter, one `LayerAdapter` for each layer of the language model.

    Raises BadModel for an adapter of another kind or shape, and for one that touches more than the language model.
    """
    if not (folder / ADAPTER_CONFIG).exists():
        # The folder has selectors alone (`train.warmup`), which leave the language model as it is.
        return [LayerAdapter()] * config.num_hidden_layers
    settings = checkpoint.read_json(folder / ADAPTER_CONFIG)
    if settings.get("peft_type") != "LORA" or settings.get("use_dora") or settings.get("use_rslora"):
        raise BadModel(
            f"{folder} holds a {settings.get('peft_type')} adapter; plain LoRA is expected.",
            hint="Train one with `realtime train lora`.",
        )
    scale = float(settings["lora_alpha"]) / float(settings["r"])
    tensors = checkpoint.read_tensors(folder / checkpoint.ADAPTER_WEIGHTS)
    return unmerged(tensors, config, scale=scale, dtype=dtype, device=device, told=str(folder))


def unmerged(
    tensors: Mapping[str, Tensor],
    config: TextConfig,
    *,
    scale: float,
    dtype: torch.dtype,
    device: torch.device,
    told: str,
) -> list[LayerAdapter]:
    """The same from an adapter's tensors, under the names that peft saves them with. `scale` is alpha / rank.

    Raises BadModel as `read` does; `told` names the adapter in its message.
    """
    pairs: dict[tuple[int, str], LowRank] = {}
    for key, a in tensors.items():
        if key.endswith(".lora_B.weight"):
            continue
        match = _place(key)
        if match is None:
            raise BadModel(
                f"{told} adapts {key.removesuffix('.lora_A.weight')}, which is not in the language model.",
                hint="Merge it: `realtime train merge`.",
            )
        b = tensors[key.replace(".lora_A.", ".lora_B.")]
        pair = (a.t().contiguous(), (scale * b.float()).t().contiguous())
        pairs[int(match[1]), match[2]] = (pair[0].to(device, dtype), pair[1].to(device, dtype))
    return [_layer(index, pairs, config, told) for index in range(config.num_hidden_layers)]


def _layer(index: int, pairs: dict[tuple[int, str], LowRank], config: TextConfig, told: str) -> LayerAdapter:
    dim, inner, head = config.hidden_size, config.intermediate_size, config.head_dim
    n_q, n_kv = config.num_attention_heads * head, config.num_key_value_heads * head

    def joined(names: Sequence[str], n_in: int, sizes: Sequence[int]) -> LowRank | None:
        """The low-rank parts of products that are one in the fused model, each with its own columns of outputs."""
        downs: list[Tensor] = []
        ups: list[Tensor] = []
        at = 0
        for name, size in zip(names, sizes, strict=True):
            pair = pairs.get((index, name))
            if pair is not None:
                a, b = pair
                if a.shape[0] != n_in or b.shape[1] != size:
                    raise BadModel(
                        f"{told}: {name}_proj of layer {index} does not fit this backbone.",
                        hint="Use the model that the adapter was trained on.",
                    )
                up = b.new_zeros(b.shape[0], sum(sizes))
                up[:, at : at + size] = b
                downs.append(a)
                ups.append(up)
            at += size
        return (torch.cat(downs, 1), torch.cat(ups)) if downs else None

    return LayerAdapter(
        qkv=joined(("q", "k", "v"), dim, (n_q, n_kv, n_kv)),
        o=joined(("o",), n_q, (dim,)),
        gate_up=joined(("gate", "up"), dim, (inner, inner)),
        down=joined(("down",), inner, (dim,)),
    )
