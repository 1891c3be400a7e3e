"""LoRA adapters with random weights, written as the files that a checkpoint is served with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file

from realtime.model import checkpoint
from realtime.model.config import ADAPTER_CONFIG
from realtime.model.thinker import EmoThinker

RANK = 4


def write(folder: Path, names: list[str], shapes: Mapping[str, tuple[int, ...]], seed: int) -> Path:
    noise = torch.Generator().manual_seed(seed)
    tensors = {}
    for name in names:
        n_out, n_in = shapes[f"{name}.weight"]
        tensors[f"base_model.model.{name}.lora_A.weight"] = 0.1 * torch.randn(RANK, n_in, generator=noise)
        tensors[f"base_model.model.{name}.lora_B.weight"] = 0.1 * torch.randn(n_out, RANK, generator=noise)
    folder.mkdir()
    save_file(tensors, folder / checkpoint.ADAPTER_WEIGHTS)
    settings = {"peft_type": "LORA", "r": RANK, "lora_alpha": 2 * RANK}
    (folder / ADAPTER_CONFIG).write_text(json.dumps(settings))
    return folder


def of_language_model(plain: EmoThinker, folder: Path, *, seed: int = 0) -> Path:
    """An adapter of what `train.lora` tunes with `--merger-lr 0`, drawn and strong."""
    shapes = {key: tuple(value.shape) for key, value in plain.state_dict().items()}
    names = [
        key.removesuffix(".weight")
        for key in shapes
        if key.startswith("thinker.model.layers.") and "_proj.weight" in key and "k_proj" not in key
    ]
    return write(folder, names, shapes, seed)
