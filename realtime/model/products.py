"""Products of activations with a layer's weights, as they serve: inputs as rows, narrow while decoding, adapted."""

from __future__ import annotations

import torch
from torch import Tensor

LowRank = tuple[Tensor, Tensor]
"(inputs, rank) and (rank, outputs), the scale in the second."


class Product:
    """x · W (+ a bias or a residual), W with inputs as rows; in 8-bit weights where those are asked for and there."""

    def __init__(self, weight_DN: Tensor) -> None:
        self.weight_DN = weight_DN
        self._int8: tuple[Tensor, Tensor] | None = None
        "(N, D) int8 and a scale (N,) for each output."

    def quantise(self) -> None:
        """Keep a copy in 8 bits, one scale an output. Activations then pass in bfloat16 (torch's kernel wants it)."""
        scale_N = (self.weight_DN.float().abs().amax(0) / 127).clamp(min=1e-12)
        narrow_ND = (self.weight_DN.float() / scale_N).round().to(torch.int8).t().contiguous()
        self._int8 = (narrow_ND, scale_N.to(torch.bfloat16))

    def __call__(self, x_TD: Tensor, plus_N: Tensor | None = None, *, narrow: bool = False) -> Tensor:
        """`narrow`: these rows are one token each of a chain, which is decoded in 8 bits if anything is."""
        if narrow and self._int8 is not None:
            out = torch._weight_int8pack_mm(x_TD.to(torch.bfloat16), *self._int8).to(x_TD.dtype)
            return out if plus_N is None else out.add_(plus_N)
        return torch.mm(x_TD, self.weight_DN) if plus_N is None else torch.addmm(plus_N, x_TD, self.weight_DN)


class AdaptedProduct(Product):
    """x · W + (x · A) · B: one product of several that share W, each with an adapter of its own beside it."""

    def __init__(self, shared: Product, pair: LowRank) -> None:
        super().__init__(shared.weight_DN)
        self._shared = shared
        self._a_DR, self._b_RN = pair

    def __call__(self, x_TD: Tensor, plus_N: Tensor | None = None, *, narrow: bool = False) -> Tensor:
        return torch.addmm(self._shared(x_TD, plus_N, narrow=narrow), torch.mm(x_TD, self._a_DR), self._b_RN)
