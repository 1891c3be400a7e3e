"""Attention and rotary embedding as one ONNX node each, for ONNX Runtime at opset 23.

torch's exporter writes a rotary embedding as six nodes for the queries and six for the keys, and attention as one node
between four transpositions. ONNX has one node for each, which takes tokens as the projections return them, (B, N, D).
It makes one frame of nano 6 % faster, and 10 % with 8-bit weights (`export/README.md`). Graphs for TensorRT do not use
these nodes, because its releases differ in which of them they read.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.onnx import ops

from realtime.model.audio import AudioAttention
from realtime.model.vision import VisionAttention

OPSET = 23
"The first opset that has both nodes."


class FusedVisionAttention(nn.Module):
    """`VisionAttention` with the same weights."""

    def __init__(self, plain: VisionAttention) -> None:
        super().__init__()
        self.q, self.k, self.v, self.proj = plain.q, plain.k, plain.v, plain.proj
        self.n_heads = plain.n_heads

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor, rows: int) -> Tensor:
        batch, n, dim = x.shape
        # The tables hold the same values for both halves of a head; the node takes one: (B, N, head_dim / 2).
        cos_half, sin_half = (table[:, :, 0, : table.shape[-1] // 2] for table in (cos, sin))
        q, k = (
            ops.rotary_embedding(layer(x), cos_half, sin_half, num_heads=self.n_heads) for layer in (self.q, self.k)
        )
        q, k, v = (t.reshape(batch * rows, n // rows, dim) for t in (q, k, self.v(x)))
        return self.proj(attention(q, k, v, mask, self.n_heads).reshape(batch, n, dim))  # type: ignore[no-any-return]


class FusedAudioAttention(nn.Module):
    """`AudioAttention` with the same weights."""

    def __init__(self, plain: AudioAttention) -> None:
        super().__init__()
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (
            plain.q_proj, plain.k_proj, plain.v_proj, plain.out_proj,
        )  # fmt: skip
        self.n_heads = plain.n_heads

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        out = attention(self.q_proj(x), self.k_proj(x), self.v_proj(x), mask, self.n_heads)
        return self.out_proj(out)  # type: ignore[no-any-return]


def attention(q_BND: Tensor, k_BND: Tensor, v_BND: Tensor, mask: Tensor, n_heads: int) -> Tensor:
    """Multi-head attention, (B, N, D); `mask` is additive, (B, 1, N, N)."""
    return ops.attention(q_BND, k_BND, v_BND, attn_mask=mask, q_num_heads=n_heads, kv_num_heads=n_heads)[0]


def fuse(graph: nn.Module) -> None:
    """Replace every attention module of the graph by its fused form, in place."""
    for parent in list(graph.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, VisionAttention):
                setattr(parent, name, FusedVisionAttention(child))
            elif isinstance(child, AudioAttention):
                setattr(parent, name, FusedAudioAttention(child))
