"""The fused language model, which serves: the weights of `language.py` in a layout that makes a step fast.

One call appends the new tokens of one sequence to a KV cache of fixed size and returns their hidden states. It differs
from the plain modules in four ways. Query, key and value are one product, and gate and up another. Residuals are added
inside the products. Keys and values are written into slices, so that attention reads exactly the slots in use and needs
no mask while decoding. Grouped heads share their keys without repeating them.

How weights lie in memory is `layout.py`'s. The plain modules keep working on the same memory, as views.
`tests/model/test_fused.py` compares the two.
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
from realtime.model.layout import HEAD, JOINED, joined
from realtime.model.products import AdaptedProduct, AnyProduct, LowRank, Narrow, Product, takes_four_bits
from realtime.model.vision import RMSNorm

TEXT_POSITIONS = 4096
"Positions for which the rotary tables of text are kept. Beyond them the angles are computed."
CANDIDATES = 16
"Tokens that a head in few bits proposes. The full head chooses among them."


class KVCache:
    """Keys and values (layers, heads, slots, head_dim) of one sequence. The first `n_used` slots are in use."""

    def __init__(self, config: TextConfig, n_slots: int, *, dtype: torch.dtype, device: torch.device) -> None:
        shape = (config.num_hidden_layers, config.num_key_value_heads, n_slots, config.head_dim)
        self.keys_LHSD = torch.empty(shape, dtype=dtype, device=device)
        self.values_LHSD = torch.empty(shape, dtype=dtype, device=device)
        self.n_used = 0

    @classmethod
    def of(cls, keys_LHSD: Tensor, values_LHSD: Tensor) -> KVCache:
        """An empty KV cache over tensors that the caller owns."""
        cache = cls.__new__(cls)
        cache.keys_LHSD, cache.values_LHSD, cache.n_used = keys_LHSD, values_LHSD, 0
        return cache

    @property
    def n_slots(self) -> int:
        return self.keys_LHSD.shape[2]

    def copy(self, slots_N: Tensor, *, n_more: int) -> KVCache:
        """A KV cache with copies of these slots, in their order, and `n_more` free ones after them."""
        n, shape = slots_N.shape[0], list(self.keys_LHSD.shape)
        shape[2] = n + n_more
        copy = KVCache.of(self.keys_LHSD.new_empty(shape), self.values_LHSD.new_empty(shape))
        copy.keys_LHSD[:, :, :n] = self.keys_LHSD.index_select(2, slots_N)
        copy.values_LHSD[:, :, :n] = self.values_LHSD.index_select(2, slots_N)
        copy.n_used = n
        return copy


@dataclass(frozen=True)
class LayerAdapter:
    """The low-rank parts that an unmerged adapter adds to each product of a layer (`adapters.py` reads them)."""

    qkv: LowRank | None = None
    o: LowRank | None = None
    gate_up: LowRank | None = None
    down: LowRank | None = None


@dataclass(frozen=True)
class FusedLayer:
    """The weights of one layer, joined into four products."""

    norm_D: Tensor
    qkv: AnyProduct | AdaptedProduct
    qkv_bias_N: Tensor
    o: AnyProduct | AdaptedProduct
    mlp_norm_D: Tensor
    gate_up: AnyProduct | AdaptedProduct
    down: AnyProduct | AdaptedProduct


class FusedLanguageModel:
    """Embeddings in, normed hidden states out, like `LanguageModel`. It shares the model's weights without a copy."""

    def __init__(self, model: LanguageModel, head: nn.Linear, *, narrow: Narrow | None = None) -> None:
        """With `narrow`, decoding uses weights in few bits, since a decode step is bound by the weights that it reads.

        Labels and evidence use the full weights.
        """
        config = model.config
        self.config = config
        self.eps = config.rms_norm_eps
        self._model = model
        self._half = config.head_dim // 2
        self._n_heads, self._n_kv = config.num_attention_heads, config.num_key_value_heads
        self._layers = [fuse(model, index) for index in range(config.num_hidden_layers)]
        if narrow is not None:
            for fused in self._layers:
                for product in (fused.qkv, fused.o, fused.gate_up, fused.down):
                    # Weights that are kept in few bits are decoded with as they are.
                    if isinstance(product, Product):
                        product.quantise(narrow)
        self._norm_D = model.norm.weight
        # Weights that are tied to the embeddings keep the embeddings' layout, one row per token.
        tied = head.weight is model.embed_tokens.weight
        self._head = model.quantised.get(HEAD) or Product(head.weight.t() if tied else joined([head]))
        if (
            narrow in ("int8", "int4")
            and isinstance(self._head, Product)
            and takes_four_bits(config.vocab_size, config.hidden_size)
        ):
            self._head.quantise("int4")
        self._dtype = model.norm.weight.dtype
        steps = torch.arange(TEXT_POSITIONS, device=model.norm.weight.device)
        self._cos_PD, self._sin_PD = self.rotary(steps.expand(3, -1))

    @property
    def step_bytes(self) -> int:
        """Bytes of weights that the step of a chain reads. An unmerged adapter's are not counted."""
        products = [one for layer in self._layers for one in (layer.qkv, layer.o, layer.gate_up, layer.down)]
        return sum(one.step_bytes for one in (*products, self._head))

    def adapted(self, adapter: Sequence[LayerAdapter]) -> FusedLanguageModel:
        """This model with an unmerged adapter. The weights are not copied, so several adapters share one backbone."""
        other = copy.copy(self)
        other._layers = [with_adapter(layer, mine) for layer, mine in zip(self._layers, adapter, strict=True)]
        return other

    def rotary(self, positions_3T: Tensor) -> tuple[Tensor, Tensor]:
        """cos and signed sin, each (T, head_dim): `x·cos + roll(x)·sin` rotates x as `rotate_half` does."""
        cos, sin = self._model.rotary(positions_3T[:, None], torch.float32)
        cos, sin = cos[0, 0], sin[0, 0]
        sin = torch.cat([-sin[:, : self._half], sin[:, self._half :]], -1)
        return cos.to(self._dtype), sin.to(self._dtype)

    def text_rotary(self, start: int, n: int) -> tuple[Tensor, Tensor]:
        """The same for `n` text tokens from position `start`. All three axes advance together."""
        if start + n <= TEXT_POSITIONS:
            return self._cos_PD[start : start + n], self._sin_PD[start : start + n]
        return self.rotary(torch.arange(start, start + n, device=self._cos_PD.device).expand(3, -1))

    def text_rotary_at(self, positions: Sequence[int]) -> tuple[Tensor, Tensor]:
        """The same for text tokens at the given positions."""
        at_N = torch.tensor(positions, device=self._cos_PD.device)
        if max(positions) < TEXT_POSITIONS:
            return self._cos_PD.index_select(0, at_N), self._sin_PD.index_select(0, at_N)
        return self.rotary(at_N.expand(3, -1))

    @property
    def text_tables(self) -> tuple[Tensor, Tensor]:
        """cos and signed sin of text at each position below `TEXT_POSITIONS`."""
        return self._cos_PD, self._sin_PD

    @property
    def embeddings_VD(self) -> Tensor:
        weight: Tensor = self._model.embed_tokens.weight
        return weight

    def embed(self, ids: Sequence[int]) -> Tensor:
        """(N, D) embeddings of token ids."""
        return F.embedding(torch.tensor(ids, device=self._cos_PD.device), self.embeddings_VD)

    def rotate(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Rotate (…, head_dim) by angles from `rotary`. Rotating twice equals rotating by the sum of both angles."""
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
        narrow: bool | None = None,
    ) -> Tensor:
        """Append T tokens to `cache` and return their hidden states (T, D).

        Each token attends to the whole cache and, among the new tokens, to itself and those before it. `mask_TS`
        replaces that rule: it is True where token T may attend to slot S, where S counts the slots in use and the new
        tokens. With `keys_only` the last layer stops after writing its keys and values, and the returned tensor is
        meaningless. `narrow` reads the weights in few bits, if there are any; None: for a single token.
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
        last, narrow = len(self._layers) - 1, n == 1 if narrow is None else narrow
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
                # The queries of a group are rows over its one key head.
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

    def extend_several(
        self, x_TD: Tensor, cos_TD: Tensor, sin_TD: Tensor, sizes: Sequence[int], caches: Sequence[KVCache]
    ) -> list[tuple[Tensor, Tensor]]:
        """What `extend` with `keys_only` would append to each of several KV caches, computed in one pass.

        `x_TD` has `sizes[0]` tokens for the first cache, then those for the second. The products take all of them at
        once, so that the weights are read once. In attention a cache and its tokens are a row of a batch, padded to the
        longest, so that a pass launches as many kernels for many caches as for two. Returns the keys and values of each
        cache's new tokens, (layers, heads, tokens, head_dim). The caches stay as they are.
        """
        rows = PaddedRows(sizes, [cache.n_used for cache in caches], x_TD.device)
        n_qk, n_groups = self._n_heads + self._n_kv, self._n_heads // self._n_kv
        shape = (len(self._layers), len(sizes), self._n_kv, rows.n_past + rows.longest, self.config.head_dim)
        # Zeros, since masked slots are multiplied by 0 and an uninitialised buffer may hold NaN.
        keys_LBHSD, values_LBHSD = x_TD.new_zeros(shape), x_TD.new_zeros(shape)
        for row, cache in enumerate(caches):
            keys_LBHSD[:, row, :, : cache.n_used] = cache.keys_LHSD[:, :, : cache.n_used]
            values_LBHSD[:, row, :, : cache.n_used] = cache.values_LHSD[:, :, : cache.n_used]
        mask_B1QS = rows.mask_BNS.repeat(1, n_groups, 1)[:, None]
        cos, sin = cos_TD[:, None], sin_TD[:, None]
        last = len(self._layers) - 1
        for index, layer in enumerate(self._layers):
            qkv = layer.qkv(self._normed(x_TD, layer.norm_D), layer.qkv_bias_N, narrow=False)
            qkv = qkv.view(x_TD.shape[0], n_qk + self._n_kv, -1)
            qk = self.rotate(qkv[:, :n_qk], cos, sin)
            keys, values = keys_LBHSD[index], values_LBHSD[index]
            keys[:, :, rows.n_past :] = rows.padded(qk[:, self._n_heads :]).transpose(1, 2)
            values[:, :, rows.n_past :] = rows.padded(qkv[:, n_qk:]).transpose(1, 2)
            if index == last:
                break
            # The queries of a group are rows over its one key head.
            q = rows.padded(qk[:, : self._n_heads])
            q = q.view(len(sizes), rows.longest, self._n_kv, n_groups, -1)
            q = q.permute(0, 2, 3, 1, 4).flatten(2, 3)  # (B, kv, groups · N, head_dim)
            out = F.scaled_dot_product_attention(q, keys, values, attn_mask=mask_B1QS)
            out = out.view(len(sizes), self._n_kv, n_groups, rows.longest, -1).permute(0, 3, 1, 2, 4)
            x_TD = self._after_attention(layer, rows.taken(out.flatten(2)), x_TD, narrow=False)
        new = [slice(rows.n_past, rows.n_past + n) for n in sizes]
        return [(keys_LBHSD[:, row, :, at], values_LBHSD[:, row, :, at]) for row, at in enumerate(new)]

    def decode_step(self, x_BD: Tensor, cos_BD: Tensor, sin_BD: Tensor, caches: Sequence[KVCache]) -> Tensor:
        """Append one token to each of several KV caches and return their hidden states (B, D).

        The products take all rows at once, so that the weights are read once. Each row attends to its own cache. If
        this raises, no cache has grown, and the step can be repeated.
        """
        n, n_qk, n_groups = len(caches), self._n_heads + self._n_kv, self._n_heads // self._n_kv
        ends = [cache.n_used + 1 for cache in caches]
        assert all(end <= cache.n_slots for end, cache in zip(ends, caches, strict=True))
        cos, sin = cos_BD[:, None], sin_BD[:, None]
        # Views are made before the loop over layers: making one costs as much as a small product.
        rows = [RowViews(cache, end) for cache, end in zip(caches, ends, strict=True)]
        for index, layer in enumerate(self._layers):
            qkv = layer.qkv(self._normed(x_BD, layer.norm_D), layer.qkv_bias_N, narrow=True)
            qkv = qkv.view(n, n_qk + self._n_kv, -1)
            qk = self.rotate(qkv[:, :n_qk], cos, sin)
            # The queries of a group are rows over its one key head.
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
        """The same with nothing that depends on the data, for `static_step.py`.

        Row B is written into slot `slot_B` of lane B and attends to the slots where `mask_BS` is True. Returns the
        hidden states (B, D).
        """
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
        """(T, V) logits of the next tokens."""
        return self._head(hidden_TD)

    def best(self, hidden_TD: Tensor, draw: Sequence[int | None] = ()) -> Tensor:
        """(T,) the likeliest next tokens. A row with a seed in `draw` gets a sample.

        A head in few bits proposes some, which the full head compares in float32. Reading a whole head of 49,152 rows
        would be a third of a step of a model of 135 M parameters.
        """
        head = self._head
        if not isinstance(head, Product) or not head.is_narrow:
            return drawn(self.logits(hidden_TD), draw).argmax(-1)
        proposed_TC = head(hidden_TD, narrow=True).topk(CANDIDATES).indices
        exact_TC = torch.einsum("td,dtc->tc", hidden_TD.float(), head.weight_DN[:, proposed_TC].float())
        return proposed_TC.gather(-1, drawn(exact_TC, draw).argmax(-1, keepdim=True))[:, 0]

    def _normed(self, x_TD: Tensor, weight_D: Tensor) -> Tensor:
        wide = x_TD.float()
        length = torch.linalg.vector_norm(wide, dim=-1, keepdim=True)
        scale = (length * length).div_(wide.shape[-1]).add_(self.eps).rsqrt_()
        normed: Tensor = (wide * scale).to(x_TD.dtype) * weight_D
        return normed


class PaddedRows:
    """Tokens of several sequences as the rows of a batch, each padded to the longest by repeating its last one."""

    def __init__(self, sizes: Sequence[int], used: Sequence[int], device: torch.device) -> None:
        """Each sequence has `sizes` new tokens, and attends to `used` others."""
        self.longest, self.n_past = max(sizes), max(used)
        starts = [sum(sizes[:row]) for row in range(len(sizes))]
        tokens = [start + min(at, n - 1) for start, n in zip(starts, sizes, strict=True) for at in range(self.longest)]
        places = [row * self.longest + at for row, n in enumerate(sizes) for at in range(n)]
        self._tokens = torch.tensor(tokens, device=device)
        self._places = torch.tensor(places, device=device)
        slots_S = torch.arange(self.n_past + self.longest, device=device)
        new_NS = causal(self.longest, self.n_past, device) & (slots_S >= self.n_past)
        self.mask_BNS = new_NS | (slots_S < torch.tensor(used, device=device)[:, None])[:, None]
        "True where a token may attend to a slot: those in use, and from `n_past` on the row's own tokens."

    def padded(self, x: Tensor) -> Tensor:
        """(T, …) → (B, N, …)."""
        return x.index_select(0, self._tokens).view(-1, self.longest, *x.shape[1:])

    def taken(self, x: Tensor) -> Tensor:
        """(B, N, …) → (T, …), without the padding."""
        return x.flatten(0, 1).index_select(0, self._places)


class RowViews:
    """Views of one KV cache per layer: all slots before `end` (1, kv, end, head_dim), and the last of them."""

    def __init__(self, cache: KVCache, end: int) -> None:
        self.keys = cache.keys_LHSD[:, None, :, :end].unbind()
        self.values = cache.values_LHSD[:, None, :, :end].unbind()
        self.new_keys = cache.keys_LHSD[:, :, end - 1].unbind()
        self.new_values = cache.values_LHSD[:, :, end - 1].unbind()


def drawn(logits_TV: Tensor, draw: Sequence[int | None]) -> Tensor:
    """Logits, with Gumbel noise in rows with a seed, whose largest is then a sample. A seed gives the same noise."""
    if all(seed is None for seed in draw):
        return logits_TV
    noisy_TV = logits_TV.float()
    for row_V, seed in zip(noisy_TV, draw, strict=True):
        if seed is not None:
            uniform_V = torch.rand(len(row_V), generator=torch.Generator().manual_seed(seed)).clamp(min=1e-20)
            row_V -= uniform_V.log().neg().log().to(row_V.device)
    return noisy_TV


def causal(n: int, start: int, device: torch.device) -> Tensor:
    """(n, start + n) causal mask: True for the `start` slots in use, then for each token and those before it."""
    mask = torch.ones(n, start + n, dtype=torch.bool, device=device)
    mask[:, start:] = torch.ones(n, n, dtype=torch.bool, device=device).tril_()
    return mask


def fuse(model: LanguageModel, index: int) -> FusedLayer:
    """The fused form of a layer, whose own weights become views of it."""
    layer: Layer = model.layers[index]  # type: ignore[assignment]

    def product(names: tuple[str, ...]) -> AnyProduct:
        return model.quantised.get(f"layers.{index}.{names[0]}") or Product(
            joined([layer.get_submodule(name) for name in names])  # type: ignore[misc]
        )

    qkv, o, gate_up, down = map(product, JOINED)
    norm_D = norm_of(layer.input_layernorm)
    parts = [layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.v_proj]
    # Llama's have no biases. The product still takes one: adding zeros costs less than a second path would.
    bias_N = torch.cat([norm_D.new_zeros(p.out_features) if p.bias is None else p.bias for p in parts])
    return FusedLayer(
        norm_D=norm_D,
        qkv=qkv,
        qkv_bias_N=bias_N,
        o=o,
        mlp_norm_D=norm_of(layer.post_attention_layernorm),
        gate_up=gate_up,
        down=down,
    )


def with_adapter(layer: FusedLayer, adapter: LayerAdapter) -> FusedLayer:
    """The layer with an adapter's low-rank parts added to its products."""

    def beside(shared: AnyProduct | AdaptedProduct, pair: LowRank | None) -> AnyProduct | AdaptedProduct:
        assert not isinstance(shared, AdaptedProduct)
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
