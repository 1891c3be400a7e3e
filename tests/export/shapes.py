"""Small checkpoints in the published layout, random weights, with and without what EmoThinker adds."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from realtime.model import checkpoint
from realtime.model.config import ModelConfig, published_config
from realtime.model.thinker import EmoThinker
from train.nano.config import config as nano_config

SMALL = {"hidden_size": 32, "intermediate_size": 48, "num_heads": 2, "depth": 2, "fullatt_block_indexes": [1]}
SMALL_AUDIO = {
    "d_model": 32, "encoder_layers": 2, "encoder_attention_heads": 2, "encoder_ffn_dim": 64, "num_mel_bins": 128,
}  # fmt: skip


def small_config(*, hidden: int = 64) -> dict[str, object]:
    config = nano_config(vocabulary=64)
    config["text_config"] |= {"hidden_size": hidden, "intermediate_size": 64, "num_hidden_layers": 1}
    config["vision_config"] |= SMALL | {"out_hidden_size": hidden}
    config["audio_config"] |= SMALL_AUDIO | {"output_dim": hidden}
    return config


def full_width_config() -> dict[str, object]:
    """The towers of a 3B in their published widths, two layers deep: one of windows, one that sees the whole frame."""
    config = published_config("3B")["thinker_config"] | {"model_type": "qwen2_5_omni_thinker"}
    config["vision_config"] |= {"depth": 2, "fullatt_block_indexes": [1]}
    config["audio_config"] |= {"encoder_layers": 2}
    config["text_config"] |= {"vocab_size": 64, "intermediate_size": 64, "num_hidden_layers": 1}
    return dict(config)


def write_checkpoint(
    folder: Path,
    *,
    selectors: bool = True,
    seed: int = 0,
    config: dict[str, object] | None = None,
    scale: float = 2.0,
    **more: object,
) -> EmoThinker:
    """Weights are scaled up and gates opened: as initialised, outputs barely see their inputs, and bugs hide.

    `more` goes into emothinker.json.
    """
    config = config or small_config()
    emotion: dict[str, object] = {"selector_dim": 16, "drop": 0.2} if selectors else {}
    emotion |= more
    torch.manual_seed(seed)
    model = EmoThinker(ModelConfig.parse(config, emotion)).eval().requires_grad_(False)
    for name, parameter in model.named_parameters():
        if "gate" in name.rsplit(".", 1)[-1]:
            parameter.fill_(0.7)
        elif parameter.dim() > 1:
            parameter.mul_(scale)
    checkpoint.save(model, folder, config, emotion)
    (folder / "tokenizer.json").write_text(json.dumps({}))
    return model
