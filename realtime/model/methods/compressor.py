"""The hybrid compressor: a general and an emotion merger read the vision tower's output, and a gate mixes them.

This is our reading of Emotion-Qwen (arXiv 2505.06685), where both always run and a small network weights them. The
general merger is the checkpoint's own. It stays frozen, so that the model keeps what it learnt about pictures. The
emotion merger begins as a copy of it, so an untrained hybrid gives the same tokens, bit for bit.

The gate gives one number per frame. Emotion-Qwen's gives one per clip; but a session has no whole clip, and a frame's
tokens must not depend on later frames.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from realtime.model.config import VisionConfig
from realtime.model.vision import PatchMerger

FIRST_SHARE = 0.1
"The emotion merger's weight before training."


class MergerGate(nn.Module):
    """(B, N, D) patches after the tower → (B,) weights of the emotion merger, in 0–1."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        half, quarter = dim // 2, dim // 4
        self.layers = nn.Sequential(
            nn.Linear(dim, half), nn.ReLU(), nn.LayerNorm(half),
            nn.Linear(half, quarter), nn.ReLU(), nn.LayerNorm(quarter),
            nn.Linear(quarter, 2),
        )  # fmt: skip

    def forward(self, x_BND: Tensor, valid_BN: Tensor) -> Tensor:
        """`valid_BN` is 0 for padding, which does not count."""
        valid_BN1 = valid_BN.to(x_BND.dtype)[..., None]
        mean_BD = (x_BND * valid_BN1).sum(1) / valid_BN1.sum(1).clamp(min=1)
        return torch.softmax(self.layers(mean_BD), dim=-1)[:, 1]


class HybridMerger(nn.Module):
    """The emotion merger and the gate; the general merger stays in the tower, under its published name."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.merger = PatchMerger(config)
        self.gate = MergerGate(config.hidden_size)

    @torch.no_grad()
    def begin_as(self, general: PatchMerger) -> None:
        """Copy the general merger, and set the gate to `FIRST_SHARE` for every frame."""
        self.merger.load_state_dict(general.state_dict())
        last = self.gate.layers[-1]
        assert isinstance(last, nn.Linear)
        last.weight.zero_()
        last.bias.copy_(torch.tensor([0.0, math.log(FIRST_SHARE / (1 - FIRST_SHARE))]))

    def forward(self, general_BMD: Tensor, x_BND: Tensor, valid_BN: Tensor) -> Tensor:
        """(B, M, D) tokens of the general merger and the patches that it read → the weighted sum of both mergers'."""
        share_B11 = self.gate(x_BND, valid_BN)[:, None, None]
        # As a difference, so that equal mergers give exactly the general one's tokens.
        return general_BMD + share_B11 * (self.merger(x_BND) - general_BMD)  # type: ignore[no-any-return]
