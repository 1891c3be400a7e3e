"""The language model as it serves: the weights of `language.py`, laid out so that a step takes as little as it can.

One call reads the new tokens of one sequence into a fixed key/value cache and returns their hidden states. Against the
plain modules: query, key and value are one product, gate and up another; residuals are added inside the products; keys
and values of the two modalities' tokens are written into slices, so that attention reads exactly what there is and
needs no mask while decoding; grouped heads share their keys without repeating them.

Weights are stored with the inputs as rows: a product with one row of activations then walks through cache in order,
three times as fast on a CPU as the layout of `nn.Linear` (`python -m realtime.cli bench`, notes in its README). The
plain modules keep working on the same cache, as views. `tests/model/test_fused.py` binds the two.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from realtime.model.config import TextConfig
from realtime.model.language import LanguageModel, Layer
from realtime.model.products import AdaptedProduct, LowRank, Narrow, Product
from realtime.model.vision import RMSNorm

TEXT_POSITIONS = 4096
"Positions for which the rotation of a text token is kept; beyond them it is computed."


class KVCache:
    """Keys and values (layers, heads, slots, head_dim) of one sequence; `n_used` slots hold something."""

    def __init__(self, config: TextConfig, n_slots: int, *, dtype: torch.dtype, device: torch.device) -> None:
        shape = (config.num_hidden_layers, config.num_key_value_heads, n_slots, config.head_dim)
        self.keys_LHSD = torch.empty(shape, dtype=dtype, device=device)
        self.values_LHSD = torch.empty(shape, dtype=dtype, device=device)
        self.n_used = 0

    @classmethod
    def of(cls, keys_LHSD: Tensor, values_LHSD: Tensor) -> KVCache:
        """Of tensors that somebody else holds."""
        cache = cls.__new__(cls)
        cache.keys_LHSD, cache.values_LHSD, cache.n_used = keys_LHSD, values_LHSD, 0
        return cache

    @property
    def n_slots(self) -> int:
        return self.keys_LHSD.shape[2]


@dataclass(frozen=True)
class LayerAdapter:
    """What an adapter that is not merged adds to each product of a layer (`adapters.py` reads them)."""

    qkv: LowRank | None = None
    o: LowRank | None = None
    gate_up: LowRank | None = None
    down: LowRank | None = None


@dataclass(frozen=True)
class FusedLayer:
    norm_D: Tensor
    qkv: Product
    qkv_bias_N: Tensor
    o: Product
    mlp_norm_D: Tensor
    gate_up: Product
    down: Product


class FusedLanguageModel:
    """Embeddings in, normed hidden states out, as `LanguageModel`. Takes over the model's weights without a copy."""

    def __init__(self, model: LanguageModel, head: nn.Linear, *, narrow: Narrow | None = None) -> None:
        """With `narrow` the layers' weights are 8 bits wide where one token is read at a time, that is, while decoding:
        a step is bound by the weights it reads. Labels, and all that is read in one pass, are as they were."""
        config = model.config
        self.config = config
        self.eps = config.rms_norm_eps
        self._model = model
        self._half = config.head_dim // 2
        self._n_heads, self._n_kv = config.num_attention_heads, config.num_key_value_heads
        self._layers = [fuse(layer) for layer in model.layers]  # type: ignore[arg-type]
        if narrow is not None:
            for fused in self._layers:
                for product in (fused.qkv, fused.o, fused.gate_up, fused.down):
                    product.quantise(narrow)
        self._norm_D = model.norm.weight
        # Weights shared with the embeddings stay as those need them: row by row.
        tied = head.weight.data_ptr() == model.embed_tokens.weight.data_ptr()
        self._head_DV = head.weight.t() if tied else joined([head])
        self._dtype = model.norm.weight.dtype
        steps = torch.arange(TEXT_POSITIONS, device=model.norm.weight.device)
        self._cos_PD, self._sin_PD = self.rotary(steps.expand(3, -1))

    def adapted(self, adapter: Sequence[LayerAdapter]) -> FusedLanguageModel:
        """The same weights, not copied, with one adapter beside them: several share a backbone."""
        other = copy.copy(self)
        other._layers = [with_adapter(layer, mine) for layer, mine in zip(self._layers, adapter, strict=True)]
        return other

    def rotary(self, positions_3T: Tensor) -> tuple[Tensor, Tensor]:
        """cos and signed sin, (T, head_dim): `x·cos + roll(x)·sin` turns x as `rotate_half` does."""
        cos, sin = self._model.rotary(positions_3T[:, None], torch.float32)
        cos, sin = cos[0, 0], sin[0, 0]
        sin = torch.cat([-sin[:, : self._half], sin[:, self._half :]], -1)
        return cos.to(self._dtype), sin.to(self._dtype)

    def text_rotary(self, start: int, n: int) -> tuple[Tensor, Tensor]:
        """The same for `n` text tokens from position `start`: all three axes advance together."""
        if start + n <= TEXT_POSITIONS:
            return self._cos_PD[start : start + n], self._sin_PD[start : start + n]
        return self.rotary(torch.arange(start, start + n, device=self._cos_PD.device).expand(3, -1))

    def text_rotary_at(self, positions: Sequence[int]) -> tuple[Tensor, Tensor]:
        """The same for text tokens anywhere."""
        at_N = torch.tensor(positions, device=self._cos_PD.device)
        if max(positions) < TEXT_POSITIONS:
            return self._cos_PD.index_select(0, at_N), self._sin_PD.index_select(0, at_N)
        return self.rotary(at_N.expand(3, -1))

    @property
    def text_tables(self) -> tuple[Tensor, Tensor]:
        """cos and signed sin of a text token at each position below `TEXT_POSITIONS`."""
        return self._cos_PD, self._sin_PD

    @property
    def embeddings_VD(self) -> Tensor:
        weight: Tensor = self._model.embed_tokens.weight
        return weight

    def embed(self, ids: Sequence[int]) -> Tensor:
        """(N, D)"""
        return F.embedding(torch.tensor(ids, device=self._cos_PD.device), self.embeddings_VD)

    def rotate(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Rotate (…, head_dim) by angles from `rotary`. Keys turned twice are turned by the sum of both."""
        return torch.addcmul(x * cos, x.roll(self._half, -1), sin)

    def extend(
        self,
        x_TD: Tensor,
        cos_TD: Tensor,
        sin_TD: Tensor,
        cache: KVCache,
        mask_TS: Tensor | None = None,
        *,
        keys_only: bool = False,
    ) -> Tensor:
        """Append T tokens to `cache` and return their hidden states (T, D).

        Each sees the whole cache and, of the new tokens, itself and those before it; `mask_TS` (True where T may see
        S, S the cache with the new tokens) says otherwise. With `keys_only` nobody wants the hidden states: the last
        layer ends where its keys and values are written, and what is returned means nothing.
        """
        n, start = x_TD.shape[0], cache.n_used
        end = start + n
        assert end <= cache.n_slots, f"{end} tokens do not fit into {cache.n_slots} slots"
        if mask_TS is None and n > 1:
            mask_TS = causal(n, start, x_TD.device)
        cos, sin = cos_TD[:, None], sin_TD[:, None]
        n_qk, n_groups = self._n_heads + self._n_kv, self._n_heads // self._n_kv
        keys, values = cache.keys_LHSD[:, :, :end], cache.values_LHSD[:, :, :end]
        new_keys, new_values = keys[:, :, start:], values[:, :, start:]
        last, narrow = len(self._layers) - 1, n == 1
        for index, layer in enumerate(self._layers):
            qkv = layer.qkv(self._normed(x_TD, layer.norm_D), layer.qkv_bias_N, narrow=narrow)
            qkv = qkv.view(n, n_qk + self._n_kv, -1)
            qk = self.rotate(qkv[:, :n_qk], cos, sin)
            new_keys[index].copy_(qk[:, self._n_heads :].transpose(0, 1))
            new_values[index].copy_(qkv[:, n_qk:].transpose(0, 1))
            if keys_only and index == last:
                break
            q = qk[:, : self._n_heads]
            if n == 1:
                # The queries of a group as rows over its one key head.
                q = q.view(1, self._n_kv, n_groups, -1)
                out = F.scaled_dot_product_attention(q, keys[index][None], values[index][None])
            else:
                q = q.view(n, self._n_kv, n_groups, -1).permute(1, 2, 0, 3)  # (kv, groups, T, head_dim)
                k, v = (t[index][:, None].expand(-1, n_groups, -1, -1) for t in (keys, values))
                out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask_TS)
                out = out.permute(2, 0, 1, 3)
            x_TD = self._after_attention(layer, out.reshape(n, -1), x_TD, narrow=narrow)
        cache.n_used = end
        return self._normed(x_TD, self._norm_D)

    def decode_step(self, x_BD: Tensor, cos_BD: Tensor, sin_BD: Tensor, caches: Sequence[KVCache]) -> Tensor:
        """One token more for each of several caches; returns their hidden states (B, D).

        The products are of all rows together, so that the weights are read once; each row attends to its own cache.
        Where this raises, no cache has grown, and the step can be made again.
        """
        n, n_qk, n_groups = len(caches), self._n_heads + self._n_kv, self._n_heads // self._n_kv
        ends = [cache.n_used + 1 for cache in caches]
        assert all(end <= cache.n_slots for end, cache in zip(ends, caches, strict=True))
        cos, sin = cos_BD[:, None], sin_BD[:, None]
        # Views are made before the layers: each costs as much as a small product.
        rows = [RowViews(cache, end) for cache, end in zip(caches, ends, strict=True)]
        for index, layer in enumerate(self._layers):
            qkv = layer.qkv(self._normed(x_BD, layer.norm_D), layer.qkv_bias_N, narrow=True)
            qkv = qkv.view(n, n_qk + self._n_kv, -1)
            qk = self.rotate(qkv[:, :n_qk], cos, sin)
            # The queries of a group as rows over its one key head.
            queries = qk[:, : self._n_heads].reshape(n, 1, self._n_kv, n_groups, -1).unbind()
            keys, values = qk[:, self._n_heads :].unbind(), qkv[:, n_qk:].unbind()
            outs = []
            for row, query, key, value in zip(rows, queries, keys, values, strict=True):
                row.new_keys[index].copy_(key)
                row.new_values[index].copy_(value)
                outs.append(F.scaled_dot_product_attention(query, row.keys[index], row.values[index]))
            x_BD = self._after_attention(layer, torch.cat(outs).view(n, -1), x_BD, narrow=True)
        for cache, end in zip(caches, ends, strict=True):
            cache.n_used = end
        return self._normed(x_BD, self._norm_D)

    def decode_lanes(
        self,
        x_BD: Tensor,
        cos_BD: Tensor,
        sin_BD: Tensor,
        keys_LBHSD: Tensor,
        values_LBHSD: Tensor,
        slot_B: Tensor,
        mask_BS: Tensor,
    ) -> Tensor:
        """The same where nothing depends on the data, for `static_step`: each row into the slot of its lane that a
        tensor names, seeing what a mask over all slots lets it."""
        n, n_qk, n_groups = x_BD.shape[0], self._n_heads + self._n_kv, self._n_heads // self._n_kv
        cos, sin = cos_BD[:, None], sin_BD[:, None]
        place = slot_B.view(n, 1, 1, 1).expand(-1, self._n_kv, 1, self.config.head_dim)
        for index, layer in enumerate(self._layers):
            qkv = layer.qkv(self._normed(x_BD, layer.norm_D), layer.qkv_bias_N, narrow=True)
            qkv = qkv.view(n, n_qk + self._n_kv, -1)
            qk = self.rotate(qkv[:, :n_qk], cos, sin)
            keys, values = keys_LBHSD[index, :n], values_LBHSD[index, :n]
            keys.scatter_(2, place, qk[:, self._n_heads :, None])
            values.scatter_(2, place, qkv[:, n_qk:, None])
            q = qk[:, : self._n_heads].reshape(n, self._n_kv, n_groups, -1)
            out = F.scaled_dot_product_attention(q, keys, values, attn_mask=mask_BS[:, None, None])
            x_BD = self._after_attention(layer, out.reshape(n, -1), x_BD, narrow=True)
        return self._normed(x_BD, self._norm_D)

    def _after_attention(self, layer: FusedLayer, out_TN: Tensor, x_TD: Tensor, *, narrow: bool) -> Tensor:
        x_TD = layer.o(out_TN, x_TD, narrow=narrow)
        gate, up = layer.gate_up(self._normed(x_TD, layer.mlp_norm_D), narrow=narrow).chunk(2, dim=-1)
        return layer.down(F.silu(gate).mul_(up), x_TD, narrow=narrow)

    def logits(self, hidden_TD: Tensor) -> Tensor:
        """(T, V)"""
        return torch.mm(hidden_TD, self._head_DV)

    def _normed(self, x_TD: Tensor, weight_D: Tensor) -> Tensor:
        wide = x_TD.float()
        length = torch.linalg.vector_norm(wide, dim=-1, keepdim=True)
        scale = (length * length).div_(wide.shape[-1]).add_(self.eps).rsqrt_()
        normed: Tensor = (wide * scale).to(x_TD.dtype) * weight_D
        return normed


class RowViews:
    """One cache up to `end`, layer by layer: (1, kv, end, head_dim), and the slot before `end`, (kv, head_dim)."""

    def __init__(self, cache: KVCache, end: int) -> None:
        self.keys = cache.keys_LHSD[:, None, :, :end].unbind()
        self.values = cache.values_LHSD[:, None, :, :end].unbind()
        self.new_keys = cache.keys_LHSD[:, :, end - 1].unbind()
        self.new_values = cache.values_LHSD[:, :, end - 1].unbind()


def causal(n: int, start: int, device: torch.device) -> Tensor:
    """(n, start + n) bool: everything before, then itself and what came before it."""
    mask = torch.ones(n, start + n, dtype=torch.bool, device=device)
    mask[:, start:] = torch.ones(n, n, dtype=torch.bool, device=device).tril_()
    return mask


def fuse(layer: Layer) -> FusedLayer:
    attention, mlp = layer.self_attn, layer.mlp
    bias = torch.cat([p.bias for p in (attention.q_proj, attention.k_proj, attention.v_proj)])
    return FusedLayer(
        norm_D=norm_of(layer.input_layernorm),
        qkv=Product(joined([attention.q_proj, attention.k_proj, attention.v_proj])),
        qkv_bias_N=bias,
        o=Product(joined([attention.o_proj])),
        mlp_norm_D=norm_of(layer.post_attention_layernorm),
        gate_up=Product(joined([mlp.gate_proj, mlp.up_proj])),
        down=Product(joined([mlp.down_proj])),
    )


def with_adapter(layer: FusedLayer, adapter: LayerAdapter) -> FusedLayer:
    def beside(shared: Product, pair: LowRank | None) -> Product:
        return shared if pair is None else AdaptedProduct(shared, pair)

    return replace(
        layer,
        qkv=beside(layer.qkv, adapter.qkv),
        o=beside(layer.o, adapter.o),
        gate_up=beside(layer.gate_up, adapter.gate_up),
        down=beside(layer.down, adapter.down),
    )


def norm_of(norm: RMSNorm) -> Tensor:
    return norm.weight


@torch.no_grad()
def joined(parts: list[nn.Linear]) -> Tensor:
    """(inputs, outputs of all parts), contiguous. The parts' own weights become views of it."""
    whole = torch.cat([part.weight for part in parts]).t().contiguous()
    at = 0
    for part in parts:
        n = part.out_features
        part.weight.data = whole[:, at : at + n].t()
        at += n
    return whole
