"""Products of activations with a layer's weights: inputs as rows, optionally 8-bit or with an adapter."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

LowRank = tuple[Tensor, Tensor]
"Tensors (inputs, rank) and (rank, outputs). The second includes the adapter's scale."


Narrow = Literal["int8", "fp8"]
"""Format of the weights of a decode step: integers for any processor, or float8_e4m3fn (4 bits of exponent, 3 of
fraction) for GPUs. A CPU has to widen the latter for each step, which takes longer than reading the full weights."""
LARGEST = {"int8": 127.0, "fp8": torch.finfo(torch.float8_e4m3fn).max}


def widened(x_TD: Tensor, weight_DN: Tensor, scale_N: Tensor) -> Tensor:
    """x · (W · scale), with W cast to the type of x."""
    return torch.mm(x_TD, weight_DN.to(x_TD.dtype)) * scale_N


@functools.cache
def in_one_kernel() -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """Cast and product fused, so that a GPU reads 8 bits per weight. Compiled at the first step, before a capture.

    Not run: no machine at hand has a GPU.
    """
    return torch.compile(widened, dynamic=False)


def of_fp8(x_TD: Tensor, weight_DN: Tensor, scale_N: Tensor) -> Tensor:
    return (in_one_kernel() if x_TD.is_cuda else widened)(x_TD, weight_DN, scale_N)


class Product:
    """x · W (plus a bias or a residual), with the inputs of W as rows. W may also have an 8-bit copy."""

    def __init__(self, weight_DN: Tensor) -> None:
        self.weight_DN = weight_DN
        self._narrow: tuple[Tensor, Tensor] | None = None
        "The 8-bit copy: (N, D) int8 or (D, N) float8_e4m3fn, and a scale (N,) for each output."

    def quantise(self, kind: Narrow) -> None:
        """Make the 8-bit copy, with one scale per output. The int8 kernel needs activations in bfloat16."""
        scale_N = (self.weight_DN.float().abs().amax(0) / LARGEST[kind]).clamp(min=1e-12)
        scaled_DN = self.weight_DN.float() / scale_N
        if kind == "int8":
            self._narrow = (scaled_DN.round().to(torch.int8).t().contiguous(), scale_N.to(torch.bfloat16))
        else:
            self._narrow = (scaled_DN.to(torch.float8_e4m3fn), scale_N.to(self.weight_DN.dtype))

    def __call__(self, x_TD: Tensor, plus_N: Tensor | None = None, *, narrow: bool = False) -> Tensor:
        """(T, N). `narrow` uses the 8-bit copy if there is one; it is for rows of one token each."""
        if narrow and self._narrow is not None:
            weight, scale_N = self._narrow
            if weight.dtype == torch.int8:
                out = torch._weight_int8pack_mm(x_TD.to(torch.bfloat16), weight, scale_N).to(x_TD.dtype)
            else:
                out = of_fp8(x_TD, weight, scale_N)
            return out if plus_N is None else out.add_(plus_N)
        return torch.mm(x_TD, self.weight_DN) if plus_N is None else torch.addmm(plus_N, x_TD, self.weight_DN)


class AdaptedProduct(Product):
    """x · W + (x · A) · B: a product with an unmerged adapter. Several share W."""

    def __init__(self, shared: Product, pair: LowRank) -> None:
        super().__init__(shared.weight_DN)
        self._shared = shared
        self._a_DR, self._b_RN = pair

    def __call__(self, x_TD: Tensor, plus_N: Tensor | None = None, *, narrow: bool = False) -> Tensor:
        return torch.addmm(self._shared(x_TD, plus_N, narrow=narrow), torch.mm(x_TD, self._a_DR), self._b_RN)
