"""Small language models with random weights, and what they keep of tokens read, for tests of arithmetic."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from realtime.model.config import TextConfig
from realtime.model.fused import FusedLanguageModel, KVCache
from realtime.model.language import LanguageModel

CONFIG = TextConfig(
    vocab_size=50,
    hidden_size=64,
    intermediate_size=96,
    num_hidden_layers=3,
    num_attention_heads=4,
    num_key_value_heads=2,
    rope_theta=10_000.0,
    mrope_section=(2, 3, 3),
)
CPU = torch.device("cpu")
SMALLER = {
    "text_config": {"hidden_size": 256, "intermediate_size": 384, "num_hidden_layers": 2, "num_attention_heads": 2,
                    "num_key_value_heads": 1, "vocab_size": 500},
    "vision_config": {"depth": 2, "hidden_size": 64, "num_heads": 2, "intermediate_size": 96, "out_hidden_size": 256},
    "audio_config": {"encoder_layers": 2, "d_model": 64, "encoder_attention_heads": 2, "encoder_ffn_dim": 96,
                     "output_dim": 256},
}  # fmt: skip
"Shapes that make a 3B of `export.random_weights` small."


def drawn_model(seed: int = 0) -> tuple[LanguageModel, nn.Linear]:
    """With the usual small weights neither positions nor masks would change much, and faults would hide."""
    torch.manual_seed(seed)
    model, head = LanguageModel(CONFIG), nn.Linear(64, 50, bias=False)
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(torch.randn_like(weight) * (0.35 if weight.ndim > 1 else 0.5) + (weight.ndim == 1))
    return model.eval().requires_grad_(False), head.requires_grad_(False)


def cache(n_slots: int) -> KVCache:
    return KVCache(CONFIG, n_slots, dtype=torch.float32, device=CPU)


def close(a: Tensor, b: Tensor) -> bool:
    return float((a - b).norm() / b.norm()) < 1e-5


def prefilled(fused: FusedLanguageModel, n: int, seed: int) -> KVCache:
    kept = KVCache(CONFIG, 64, dtype=torch.float32, device=CPU)
    x = torch.randn(n, 64, generator=torch.Generator().manual_seed(seed))
    fused.extend(x, *fused.text_rotary(0, n), kept)
    return kept
