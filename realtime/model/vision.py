"""Qwen2.5-Omni's vision tower restated with static shapes: same weights, same numbers, exportable.

Every 112×112-px window is a group of 64 patches, padded and key-masked, so nothing in the graph depends on the data.
Window layers attend inside a group, the full layers across all groups of a frame. Source:
`transformers/models/qwen2_5_omni/modeling_qwen2_5_omni.py`, `Qwen2_5OmniVisionEncoder`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from realtime.model.config import VisionConfig

MASKED = -30000.0
"Added to masked scores. Finite, so that half precision can hold it and a fully masked row is not NaN."
MAX_GRID = 256
"Patches along one side for which rotary tables are kept."


class RMSNorm(nn.Module):
    def __init__(self, dim: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float()
        wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.eps)
        return self.weight * wide.to(x.dtype)


def rotate_half(x: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    return torch.cat((-second, first), dim=-1)


class GatedMLP(nn.Module):
    def __init__(self, dim: int, inner: int, *, bias: bool) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(dim, inner, bias=bias)
        self.up_proj = nn.Linear(dim, inner, bias=bias)
        self.down_proj = nn.Linear(inner, dim, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))  # type: ignore[no-any-return]


class VisionAttention(nn.Module):
    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        dim = config.hidden_size
        self.n_heads = config.num_heads
        self.q = nn.Linear(dim, dim)
        self.k = nn.Linear(dim, dim)
        self.v = nn.Linear(dim, dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor, rows: int) -> Tensor:
        """(B, N, D) → (B, N, D). Attention runs over groups of N / `rows` tokens.

        `mask` broadcasts to (B·rows, heads, N / rows, N / rows) and is added to the scores.
        """
        batch, n, dim = x.shape
        q, k, v = (layer(x).unflatten(-1, (self.n_heads, -1)) for layer in (self.q, self.k, self.v))
        wide_q, wide_k = q.float(), k.float()
        q = (wide_q * cos + rotate_half(wide_q) * sin).to(x.dtype)
        k = (wide_k * cos + rotate_half(wide_k) * sin).to(x.dtype)
        q, k, v = (t.reshape(batch * rows, n // rows, self.n_heads, -1).transpose(1, 2) for t in (q, k, v))
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.proj(out.transpose(1, 2).reshape(batch, n, dim))  # type: ignore[no-any-return]


class VisionBlock(nn.Module):
    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.norm1 = RMSNorm(config.hidden_size)
        self.norm2 = RMSNorm(config.hidden_size)
        self.attn = VisionAttention(config)
        self.mlp = GatedMLP(config.hidden_size, config.intermediate_size, bias=True)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor, rows: int) -> Tensor:
        x = x + self.attn(self.norm1(x), cos, sin, mask, rows)
        return x + self.mlp(self.norm2(x))  # type: ignore[no-any-return]


class PatchEmbed(nn.Module):
    """The published Conv3d. Its kernel equals its stride, so it is computed as a matrix product."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        kernel = (config.temporal_patch_size, config.patch_size, config.patch_size)
        self.proj = nn.Conv3d(config.in_channels, config.hidden_size, kernel, stride=kernel, bias=False)

    def forward(self, patches: Tensor) -> Tensor:
        return F.linear(patches, self.proj.weight.flatten(1))


class PatchMerger(nn.Module):
    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        merged = config.hidden_size * config.spatial_merge_size**2
        self.ln_q = RMSNorm(config.hidden_size)
        self.mlp = nn.Sequential(nn.Linear(merged, merged), nn.GELU(), nn.Linear(merged, config.out_hidden_size))

    def forward(self, x: Tensor) -> Tensor:
        x = self.ln_q(x)
        return self.mlp(x.reshape(x.shape[0], x.shape[1] // 4, -1))  # type: ignore[no-any-return]


class VisionTower(nn.Module):
    """(B, N, 1176) patches in window order → (B, N/4, out) tokens in window order."""

    cos_table: Tensor
    sin_table: Tensor

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.config = config
        self.patch_embed = PatchEmbed(config)
        self.blocks = nn.ModuleList([VisionBlock(config) for _ in range(config.depth)])
        self.merger = PatchMerger(config)
        self.window = (config.window_size // config.patch_size) ** 2
        self.fill_tables()

    def fill_tables(self) -> None:
        """Compute the tables that checkpoints do not store, on the CPU. Called again where a module was given a type.

        Never on the meta device: its arithmetic would import torch's compiler, a fifth of what starting imports.
        """
        half = self.config.hidden_size // self.config.num_heads // 2
        with torch.device("cpu"):
            inv_freq = 1.0 / (10000.0 ** (torch.arange(0, half, 2, dtype=torch.float) / half))
            angles = torch.arange(MAX_GRID).float()[:, None] * inv_freq[None]
        self.register_buffer("cos_table", angles.cos(), persistent=False)
        self.register_buffer("sin_table", angles.sin(), persistent=False)

    def rotary(self, table: Tensor, positions: Tensor) -> Tensor:
        # Gather (F.embedding), not table[positions]: GatherND takes no int32 in onnxruntime.
        rows = torch.cat([F.embedding(positions[..., 0], table), F.embedding(positions[..., 1], table)], -1)
        return torch.cat([rows, rows], -1)[:, :, None]  # (B, N, 1, head_dim)

    def forward(self, patches_BNP: Tensor, positions_BN2: Tensor, valid_BN: Tensor) -> Tensor:
        """`positions_BN2` int32 is the (row, column) of each patch. `valid_BN` is 1 for real patches, 0 for padding."""
        return self.merger(self.before_merger(patches_BNP, positions_BN2, valid_BN))  # type: ignore[no-any-return]

    def before_merger(self, patches_BNP: Tensor, positions_BN2: Tensor, valid_BN: Tensor) -> Tensor:
        """(B, N, hidden_size), what the merger reads."""
        x = self.patch_embed(patches_BNP)
        cos, sin = self.rotary(self.cos_table, positions_BN2), self.rotary(self.sin_table, positions_BN2)
        bias = (1.0 - valid_BN.to(x.dtype)) * MASKED
        rows = patches_BNP.shape[1] // self.window
        # One row per query, as a view: onnxruntime's Attention (opset 23) does not repeat a single row itself.
        window_mask = bias.reshape(-1, 1, 1, self.window).expand(-1, -1, self.window, -1)
        full_mask = bias[:, None, None, :].expand(-1, -1, bias.shape[1], -1)
        for index, block in enumerate(self.blocks):
            if index in self.config.fullatt_block_indexes:
                x = block(x, cos, sin, full_mask, 1)
            else:
                x = block(x, cos, sin, window_mask, rows)
        return x  # type: ignore[no-any-return]


@dataclass(frozen=True)
class WindowOrder:
    """The order of the patches of an h × w grid in the tower's input. Computed once per size, on the host."""

    gather_N: Tensor
    "Index into the image processor's patch order (2×2 groups, row by row), in padded window order."
    positions_N2: Tensor
    valid_N: Tensor
    token_M: Tensor
    "Row of the tower's output that holds each merged token, tokens counted row by row over the frame."


@lru_cache(maxsize=64)
def window_plan(rows: int, columns: int, merge: int = 2, window_tokens: int = 4) -> WindowOrder:
    """The order for `rows` × `columns` patches (both even), `window_tokens` merged tokens along one window side."""
    token_rows, token_columns = rows // merge, columns // merge
    unit = merge * merge
    slots: list[list[int]] = []
    for top in range(0, token_rows, window_tokens):
        for left in range(0, token_columns, window_tokens):
            ys = range(top, min(top + window_tokens, token_rows))
            xs = range(left, min(left + window_tokens, token_columns))
            slots.append([y * token_columns + x for y in ys for x in xs])
    size = window_tokens**2
    gather = torch.zeros(len(slots) * size, dtype=torch.long)
    valid = torch.zeros(len(slots) * size, dtype=torch.bool)
    token = torch.zeros(token_rows * token_columns, dtype=torch.long)
    for index, slot in enumerate(slots):
        start = index * size
        gather[start : start + len(slot)] = torch.tensor(slot)
        valid[start : start + len(slot)] = True
        token[torch.tensor(slot)] = torch.arange(start, start + len(slot))
    patch_gather = (gather[:, None] * unit + torch.arange(unit)).flatten()
    patch_valid = valid.repeat_interleave(unit)
    y = (gather // token_columns)[:, None] * merge + torch.arange(unit) // merge
    x = (gather % token_columns)[:, None] * merge + torch.arange(unit) % merge
    positions = torch.stack([y.flatten(), x.flatten()], -1) * patch_valid[:, None]
    return WindowOrder(patch_gather, positions.to(torch.int32), patch_valid, token)
