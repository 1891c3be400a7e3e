"""Attention and rotation as one node each, for onnxruntime at opset 23.

What torch's exporter makes of a rotation are six nodes over the queries and six over the keys, and of attention one
node between four transpositions. ONNX has a node for either that takes tokens as the products leave them, (B, N, D).
One frame of nano is 6 % sooner for it, with 8-bit weights 10 % (`export/README.md`). TensorRT keeps its files:
its releases differ in which of these nodes they read.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.onnx import ops

from realtime.model.audio import AudioAttention
from realtime.model.vision import VisionAttention

OPSET = 23
"The first that has both nodes."


class FusedVisionAttention(nn.Module):
    """`VisionAttention` with the same weights."""

    def __init__(self, plain: VisionAttention) -> None:
        super().__init__()
        self.q, self.k, self.v, self.proj = plain.q, plain.k, plain.v, plain.proj
        self.n_heads = plain.n_heads

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor, rows: int) -> Tensor:
        batch, n, dim = x.shape
        # The tables repeat themselves for the second half of a head; the node wants them once: (B, N, head_dim / 2).
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
    """(B, N, D); `mask` additive, (B, 1, N, N)."""
    return ops.attention(q_BND, k_BND, v_BND, attn_mask=mask, q_num_heads=n_heads, kv_num_heads=n_heads)[0]


def fuse(graph: nn.Module) -> nn.Module:
    """Put them in the place of every attention of the graph, and return it."""
    for parent in list(graph.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, VisionAttention):
                setattr(parent, name, FusedVisionAttention(child))
            elif isinstance(child, AudioAttention):
                setattr(parent, name, FusedAudioAttention(child))
    return graph
