"""How the language model's weights lie in memory, so that products that are computed as one are one matrix.

Query, key and value read the same input, and so do gate and up. Their weights lie behind each other, and each layer's
own weight is a view. `checkpoint.load` reads a file straight into that layout; a model that was made otherwise is
copied into it, product by product.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from realtime.model.config import TextConfig
from realtime.model.products import Weights

JOINED = (
    ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    ("self_attn.o_proj",),
    ("mlp.gate_proj", "mlp.up_proj"),
    ("mlp.down_proj",),
)
"The layers of a block whose products are one."
HEAD = "lm_head"
"The last product, by the name of its layer."


def inputs_as_rows(dtype: torch.dtype, device: torch.device) -> bool:
    """Whether a weight lies as (inputs, outputs) in memory, and not as `nn.Linear` has it.

    In float32 on a CPU, a product with one row of activations then reads memory in order, three times as fast
    (docs/bench.md). In half precision oneDNN and cuBLAS are as fast with the layout of the files.
    """
    return device.type == "cpu" and dtype in (torch.float32, torch.float64)


def room(n_outputs: Sequence[int], n_inputs: int, *, dtype: torch.dtype, device: torch.device) -> list[Tensor]:
    """Uninitialised weights (outputs, inputs) of layers whose products are one, as `joined` wants them."""
    rows, total = inputs_as_rows(dtype, device), sum(n_outputs)
    whole = torch.empty((n_inputs, total) if rows else (total, n_inputs), dtype=dtype, device=device)
    weights, at = [], 0
    for n in n_outputs:
        weights.append(whole[:, at : at + n].t() if rows else whole[at : at + n])
        at += n
    return weights


@dataclass(frozen=True)
class Group:
    """Weights of the language model whose products are one."""

    name: str
    "The first layer's, such as `layers.3.self_attn.q_proj`, or `HEAD`."
    weights: tuple[str, ...]
    "The weights' names in `EmoThinker`."
    n_outputs: tuple[int, ...]
    n_inputs: int


def groups(config: TextConfig) -> Iterator[Group]:
    """Every product of a checkpoint's language model, in order. A head that is tied to the embeddings is none."""
    dim, inner, head = config.hidden_size, config.intermediate_size, config.head_dim
    n_q, n_kv = config.num_attention_heads * head, config.num_key_value_heads * head
    sizes = ((n_q, n_kv, n_kv), (dim,), (inner, inner), (dim,))
    widths = (dim, n_q, dim, inner)
    for index in range(config.num_hidden_layers):
        for names, n_outputs, n_inputs in zip(JOINED, sizes, widths, strict=True):
            place = f"layers.{index}."
            weights = tuple(f"thinker.model.{place}{name}.weight" for name in names)
            yield Group(place + names[0], weights, n_outputs, n_inputs)
    if not config.tie_word_embeddings:
        yield Group(HEAD, (f"thinker.{HEAD}.weight",), (config.vocab_size,), dim)


def kept_in(group: Group, kept: Weights) -> Weights:
    """What a product is kept in. The head stays in int8, since labels are compared by its outputs alone."""
    return "int8" if kept == "int4" and group.name == HEAD else kept


@torch.no_grad()
def joined(parts: Sequence[nn.Linear]) -> Tensor:
    """(inputs, outputs of all parts) weights as one matrix. The parts' own weights are, or become, views of it."""
    weights = [part.weight for part in parts]
    whole_DN = lying_together(weights)
    if whole_DN is not None:
        return whole_DN
    first = weights[0]
    n_outputs = [weight.shape[0] for weight in weights]
    mine = room(n_outputs, first.shape[1], dtype=first.dtype, device=first.device)
    for part, view in zip(parts, mine, strict=True):
        view.copy_(part.weight)
        part.weight.data = view
    whole_DN = lying_together(mine)
    assert whole_DN is not None
    return whole_DN


def lying_together(weights: Sequence[Tensor]) -> Tensor | None:
    """The matrix (inputs, outputs) that the weights are views of, if they lie as `room` lays them out."""
    first, n_inputs = weights[0], weights[0].shape[1]
    n_outputs = sum(weight.shape[0] for weight in weights)
    strides = (1, n_outputs) if inputs_as_rows(first.dtype, first.device) else (n_inputs, 1)
    at = first.storage_offset()
    for weight in weights:
        same = weight.untyped_storage().data_ptr() == first.untyped_storage().data_ptr()
        if not same or weight.storage_offset() != at or weight.stride() != strides:
            return None
        at += weight.shape[0] * strides[0]
    return first.detach().as_strided((n_inputs, n_outputs), strides[::-1])
