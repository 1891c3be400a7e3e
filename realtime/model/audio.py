"""Qwen2.5-Omni's audio tower restated with static shapes: every 2-s chunk of 200 mel frames is one batch row.

Chunks do not attend to each other and their positions restart, so a complete chunk is encoded once. Source:
`transformers/models/qwen2_5_omni/modeling_qwen2_5_omni.py`, `Qwen2_5OmniAudioEncoder`.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from realtime.model.config import AudioConfig
from realtime.model.vision import MASKED


class AudioAttention(nn.Module):
    def __init__(self, dim: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.k_proj = nn.Linear(dim, dim, bias=False)
        self.v_proj = nn.Linear(dim, dim)
        self.q_proj = nn.Linear(dim, dim)
        self.out_proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        q, k, v = (
            layer(x).unflatten(-1, (self.n_heads, -1)).transpose(1, 2)
            for layer in (self.q_proj, self.k_proj, self.v_proj)
        )
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.out_proj(out.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


class AudioLayer(nn.Module):
    def __init__(self, config: AudioConfig) -> None:
        super().__init__()
        dim = config.d_model
        self.self_attn = AudioAttention(dim, config.encoder_attention_heads)
        self.self_attn_layer_norm = nn.LayerNorm(dim)
        self.fc1 = nn.Linear(dim, config.encoder_ffn_dim)
        self.fc2 = nn.Linear(config.encoder_ffn_dim, dim)
        self.final_layer_norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        x = x + self.self_attn(self.self_attn_layer_norm(x), mask)
        return x + self.fc2(F.gelu(self.fc1(self.final_layer_norm(x))))  # type: ignore[no-any-return]


def sinusoids(length: int, channels: int) -> Tensor:
    """(length, channels) Whisper's position table."""
    step = math.log(10000) / (channels // 2 - 1)
    scaled = torch.arange(length)[:, None] * torch.exp(-step * torch.arange(channels // 2).float())[None]
    return torch.cat([scaled.sin(), scaled.cos()], dim=1)


class AudioTower(nn.Module):
    """(C, F, 200) log-mel chunks → (C, 50, out) tokens. The first `n_tokens(n)` rows of a chunk are real."""

    positions: Tensor

    def __init__(self, config: AudioConfig) -> None:
        super().__init__()
        self.config = config
        dim = config.d_model
        self.conv1 = nn.Conv1d(config.num_mel_bins, dim, 3, padding=1)
        self.conv2 = nn.Conv1d(dim, dim, 3, stride=2, padding=1)
        self.layers = nn.ModuleList([AudioLayer(config) for _ in range(config.encoder_layers)])
        self.ln_post = nn.LayerNorm(dim)
        self.proj = nn.Linear(dim, config.output_dim)
        self.fill_tables()

    def fill_tables(self) -> None:
        """Compute the tables that checkpoints do not store, on the CPU. Called again where a module was given a type.

        Never on the meta device: its arithmetic would import torch's compiler, a fifth of what starting imports.
        """
        with torch.device("cpu"):
            table = sinusoids(self.config.max_source_positions, self.config.d_model)
        self.register_buffer("positions", table, persistent=False)

    def forward(self, mel_CFT: Tensor, n_frames_C: Tensor) -> Tensor:
        """`n_frames_C` int32 is the number of real mel frames of each chunk (1 … 200)."""
        return self.with_moments(mel_CFT, n_frames_C)[0]

    def with_moments(self, mel_CFT: Tensor, n_frames_C: Tensor) -> tuple[Tensor, Tensor]:
        """The tokens, and (C, layers, 2·D) what the voice expert reads: moments over time of each layer's output.

        They are the mean and the mean square over a chunk's real positions, so those of several chunks can be joined
        (`experts.join_moments`).
        """
        x_CTD, moments_CLD = self.before_projection(mel_CFT, n_frames_C)
        return self.proj(x_CTD), moments_CLD

    def before_projection(self, mel_CFT: Tensor, n_frames_C: Tensor) -> tuple[Tensor, Tensor]:
        """(C, 50, d_model) what the last layer reads, and the moments of `with_moments`."""
        n_slots = mel_CFT.shape[2]
        real = torch.arange(n_slots, device=mel_CFT.device)[None] < n_frames_C[:, None]
        mel = mel_CFT * real.to(mel_CFT.dtype)[:, None]
        x = F.gelu(self.conv1(mel)) * real.to(mel_CFT.dtype)[:, None]
        x = F.gelu(self.conv2(x)).transpose(1, 2)  # (C, 100, D)
        x = x + self.positions[: x.shape[1]].to(x.dtype)
        n_after = (n_frames_C - 1) // 2 + 1
        padded = torch.arange(x.shape[1], device=mel_CFT.device)[None] >= n_after[:, None]
        # One row per query, as in `vision.py`.
        mask = (padded.to(x.dtype) * MASKED)[:, None, None].expand(-1, -1, x.shape[1], -1)
        share = (~padded).to(x.dtype) / n_after[:, None].to(x.dtype)  # (C, 100)
        moments = []
        for layer in self.layers:
            x = layer(x, mask)
            moments.append(torch.cat([torch.einsum("ct,ctd->cd", share, part) for part in (x, x * x)], dim=1))
        x = (x[:, 0::2] + x[:, 1::2]) / 2  # (C, 50, D)
        return self.ln_post(x), torch.stack(moments, dim=1)


def n_tokens(n_frames: int) -> int:
    """Tokens of one chunk of `n_frames` mel frames: a stride-2 convolution, then pairs averaged."""
    return ((n_frames - 1) // 2 + 1 - 2) // 2 + 1


def split_chunks(mel_FT: Tensor, n_window: int = 100) -> tuple[Tensor, Tensor]:
    """(F, T) → ((C, F, 2·n_window) zero-padded, (C,) int32 real frames). T ≥ 3, or no token comes out."""
    size = 2 * n_window
    n_chunks = max(1, math.ceil(mel_FT.shape[1] / size))
    padded = F.pad(mel_FT, (0, n_chunks * size - mel_FT.shape[1]))
    chunks = padded.reshape(mel_FT.shape[0], n_chunks, size).transpose(0, 1)
    lengths = torch.full((n_chunks,), size, dtype=torch.int32)
    lengths[-1] = mel_FT.shape[1] - (n_chunks - 1) * size
    return chunks, lengths
