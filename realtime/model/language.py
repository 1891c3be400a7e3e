"""The language model of Qwen2.5-Omni's Thinker, restated with explicit positions, masks and KV-cache slots.

Without biases and with one axis of positions it is Llama's, too (`TextConfig`).

transformers' own forward keeps positions in the model's state and grows its cache. Here the caller passes each token's
position (TMRoPE, three axes), its mask, and the slots for its keys and values. That allows evidence to be kept in a
ring and shared by branches. Source: `modeling_qwen2_5_omni.py`, `Qwen2_5OmniThinkerTextModel`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from realtime.model.config import TextConfig
from realtime.model.products import Quantised
from realtime.model.vision import GatedMLP, RMSNorm, rotate_half


class BatchKVCache:
    """KV cache of fixed size for a batch: `n_slots` per layer and row, written in any order, read through a mask."""

    def __init__(
        self, config: TextConfig, n_slots: int, *, dtype: torch.dtype, device: torch.device, n_rows: int = 1
    ) -> None:
        shape = (config.num_hidden_layers, n_rows, config.num_key_value_heads, n_slots, config.head_dim)
        self.keys_LBHSD = torch.zeros(shape, dtype=dtype, device=device)
        self.values_LBHSD = torch.zeros(shape, dtype=dtype, device=device)

    @property
    def n_slots(self) -> int:
        return self.keys_LBHSD.shape[3]

    def write(self, layer: int, slots_T: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Write (B, H, T, D) keys and values at `slots_T`; returns all (B, H, S, D) keys and values of the layer."""
        self.keys_LBHSD[layer].index_copy_(2, slots_T, keys)
        self.values_LBHSD[layer].index_copy_(2, slots_T, values)
        return self.keys_LBHSD[layer], self.values_LBHSD[layer]


class Attention(nn.Module):
    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        dim, head = config.hidden_size, config.head_dim
        self.head_dim = head
        self.n_groups = config.num_attention_heads // config.num_key_value_heads
        self.q_proj = nn.Linear(dim, config.num_attention_heads * head, bias=config.qkv_bias)
        self.k_proj = nn.Linear(dim, config.num_key_value_heads * head, bias=config.qkv_bias)
        self.v_proj = nn.Linear(dim, config.num_key_value_heads * head, bias=config.qkv_bias)
        self.o_proj = nn.Linear(config.num_attention_heads * head, dim, bias=False)

    def forward(
        self,
        x: Tensor,
        cos: Tensor,
        sin: Tensor,
        mask: Tensor,
        cache: BatchKVCache | None,
        slots_T: Tensor | None,
        layer: int,
    ) -> Tensor:
        q, k, v = (
            project(x).unflatten(-1, (-1, self.head_dim)).transpose(1, 2)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        q = q * cos + rotate_half(q) * sin
        k = k * cos + rotate_half(k) * sin
        if cache is not None:
            assert slots_T is not None
            k, v = cache.write(layer, slots_T, k, v)
        if x.shape[1] == 1:
            # One token per row: the queries of a group are rows over its one key head, so no key is repeated.
            out = F.scaled_dot_product_attention(q.unflatten(1, (-1, self.n_groups)).squeeze(3), k, v, attn_mask=mask)
            return self.o_proj(out.flatten(1)[:, None])  # type: ignore[no-any-return]
        k = k.repeat_interleave(self.n_groups, dim=1)
        v = v.repeat_interleave(self.n_groups, dim=1)
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.o_proj(out.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


class Layer(nn.Module):
    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.self_attn = Attention(config)
        self.mlp = GatedMLP(config.hidden_size, config.intermediate_size, bias=False)
        self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)

    def forward(
        self,
        x: Tensor,
        cos: Tensor,
        sin: Tensor,
        mask: Tensor,
        cache: BatchKVCache | None,
        slots_T: Tensor | None,
        layer: int,
    ) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), cos, sin, mask, cache, slots_T, layer)
        return x + self.mlp(self.post_attention_layernorm(x))  # type: ignore[no-any-return]


class LanguageModel(nn.Module):
    """Embeddings in, hidden states out. The head (`lm_head`) belongs to `thinker.OmniThinker`."""

    inv_freq: Tensor
    axis: Tensor

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList([Layer(config) for _ in range(config.num_hidden_layers)])
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.quantised: dict[str, Quantised] = {}
        """Products that are kept in few bits alone, by the name of their first layer (`layout.JOINED`, `HEAD`). The
        layers themselves have no weights then, and only the fused language model runs."""
        self.fill_tables()

    def fill_tables(self) -> None:
        """Compute the tables that checkpoints do not store, on the CPU. Called again where a module was given a type.

        Never on the meta device: its arithmetic would import torch's compiler, a fifth of what starting imports.
        """
        half = self.config.head_dim // 2
        sections = self.config.mrope_section or (half,)
        with torch.device("cpu"):
            axis = torch.tensor([index % 3 for index, width in enumerate(sections) for _ in range(width)])
            inv_freq = 1.0 / (self.config.rope_theta ** (torch.arange(0, half).float() / half))
        self.register_buffer("inv_freq", inv_freq, persistent=False)
        self.register_buffer("axis", axis, persistent=False)

    def rotary(self, positions_3BT: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """cos and sin (B, 1, T, head_dim). Each frequency uses the axis (time, row, column) that it belongs to."""
        chosen_HBT = positions_3BT[self.axis].float()
        angles = (chosen_HBT * self.inv_freq[:, None, None]).permute(1, 2, 0)  # (B, T, head_dim/2)
        angles = torch.cat([angles, angles], -1)[:, None]
        return angles.cos().to(dtype), angles.sin().to(dtype)

    def forward(
        self,
        x_BTD: Tensor,
        positions_3BT: Tensor,
        mask: Tensor,
        cache: BatchKVCache | None = None,
        slots_T: Tensor | None = None,
    ) -> Tensor:
        """`mask` broadcasts to (B, heads, T, S) and is True (or 0) where token T may attend to S.

        With `cache` (of as many rows) S counts its slots, and `slots_T` (T,) are the slots for the new keys and values.
        A token that may attend to itself needs its own slot in the mask. Returns hidden states (B, T, D).
        """
        cos, sin = self.rotary(positions_3BT, x_BTD.dtype)
        for index, layer in enumerate(self.layers):
            x_BTD = layer(x_BTD, cos, sin, mask, cache, slots_T, index)
        return self.norm(x_BTD)  # type: ignore[no-any-return]


def chunk_mask(chunks: Sequence[int], *, n_prefix: int, n_branch: int, device: torch.device | None = None) -> Tensor:
    """(T, T) bool mask of `[prefix | chunks … | branch]`, True where a row may attend.

    The prompt prefix is causal. A chunk attends to the prefix and to itself, causally, so that appending a token never
    changes an earlier one. The branch is causal over everything. Nano is trained with this mask and served with it from
    the ring: chunks do not attend to each other, so their keys are the same in any slots.
    """
    n = n_prefix + sum(chunks) + n_branch
    mask = torch.ones(n, n, dtype=torch.bool, device=device).tril()
    start = n_prefix
    for size in chunks:
        mask[start : start + size, n_prefix:start] = False
        start += size
    return mask
