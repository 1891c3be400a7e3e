"""Products of activations with a layer's weights: inputs as rows, optionally in few bits or with an adapter."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from realtime.errors import BadModel

logger = logging.getLogger(__name__)

LowRank = tuple[Tensor, Tensor]
"Tensors (inputs, rank) and (rank, outputs). The second includes the adapter's scale."


Narrow = Literal["int8", "int4", "fp8"]
"""Format of the weights of a decode step: integers for any processor, or float8_e4m3fn (4 bits of exponent, 3 of
fraction) for GPUs. A CPU has to widen the latter for each step, which takes longer than reading the full weights."""
ROWS = (1, 2, 4, 8)
"Numbers of rows for which a GPU's kernels are compiled."
MOST_SHAPES = 64
"Shapes for which they are: four products of a layer and the head, of each model that is loaded."
LARGEST = {"int8": 127.0, "fp8": torch.finfo(torch.float8_e4m3fn).max}


def widened(x_TD: Tensor, weight_DN: Tensor, scale_N: Tensor) -> Tensor:
    """x · (W · scale), with W cast to the type of x."""
    return torch.mm(x_TD, weight_DN.to(x_TD.dtype)) * scale_N


class GpuKernel:
    """`widened` for few rows on a GPU, in one kernel, so that it reads 8 bits per weight.

    The kernel is compiled for each shape, when decode steps are captured. Not run: no machine at hand has a GPU.
    """

    def __init__(self) -> None:
        self._compiled: Callable[[Tensor, Tensor, Tensor], Tensor] | None = None
        self._fails = False

    def __call__(self, x_TD: Tensor, weight_DN: Tensor, scale_N: Tensor) -> Tensor:
        """At most `FEW_ROWS` rows. Without a compiler the weights are cast first, which is told once."""
        if self._fails:
            return widened(x_TD, weight_DN, scale_N)
        if self._compiled is None:
            # Unless it is told otherwise, torch stops compiling after 8 shapes, and casts all weights in each step.
            config = importlib.import_module("torch._dynamo.config")
            config.recompile_limit = max(config.recompile_limit, MOST_SHAPES)  # type: ignore[attr-defined]
            self._compiled = torch.compile(widened, dynamic=False)
        n_rows = x_TD.shape[0]
        more = next(n for n in ROWS if n >= n_rows) - n_rows
        try:
            return self._compiled(F.pad(x_TD, (0, 0, 0, more)) if more else x_TD, weight_DN, scale_N)[:n_rows]
        except torch.OutOfMemoryError:
            raise
        # Compilers fail in as many ways as they can be missing, and this is only a faster way to the same result.
        except Exception as error:
            self._fails = True
            logger.warning(
                "Products in 8 bits run on the GPU without a kernel of their own, which is slow: install gcc (%s).",
                (str(error).strip().splitlines() or [type(error).__name__])[0],
            )
            return widened(x_TD, weight_DN, scale_N)


on_gpu = GpuKernel()


def of_fp8(x_TD: Tensor, weight_DN: Tensor, scale_N: Tensor) -> Tensor:
    return (on_gpu if x_TD.is_cuda and x_TD.shape[0] <= FEW_ROWS else widened)(x_TD, weight_DN, scale_N)


class Product:
    """x · W (plus a bias or a residual), with the inputs of W as rows. W may also have a copy in few bits."""

    def __init__(self, weight_DN: Tensor) -> None:
        self.weight_DN = weight_DN
        self._narrow: Quantised | tuple[Tensor, Tensor] | None = None
        "The copy: in integers, or (D, N) float8_e4m3fn with a scale (N,) for each output."

    @property
    def is_narrow(self) -> bool:
        """Whether there is a copy in few bits."""
        return self._narrow is not None

    @property
    def step_bytes(self) -> int:
        """Bytes that a product of one row reads."""
        narrow = self._narrow
        if narrow is None:
            return self.weight_DN.nbytes
        return narrow.nbytes if isinstance(narrow, Quantised) else sum(part.nbytes for part in narrow)

    def quantise(self, kind: Narrow) -> None:
        """Make the copy. Raises BadModel for a weight whose shape int4 does not take."""
        if kind != "fp8":
            # The finest scales: the copy is read once a step, and small models lose most by coarse ones.
            self._narrow = Quantised(self.weight_DN.t(), kind, group=GROUPS[-1])
            return
        scale_N = (self.weight_DN.float().abs().amax(0) / LARGEST[kind]).clamp(min=1e-12)
        scaled_DN = self.weight_DN.float() / scale_N
        self._narrow = (scaled_DN.to(torch.float8_e4m3fn), scale_N.to(self.weight_DN.dtype))

    def __call__(self, x_TD: Tensor, plus_N: Tensor | None = None, *, narrow: bool = False) -> Tensor:
        """(T, N). `narrow` uses the copy in few bits if there is one; it is for a few rows."""
        if narrow and self._narrow is not None:
            if isinstance(self._narrow, Quantised):
                return self._narrow(x_TD, plus_N)
            out = of_fp8(x_TD, *self._narrow)
            return out if plus_N is None else out.add_(plus_N)
        return torch.mm(x_TD, self.weight_DN) if plus_N is None else torch.addmm(plus_N, x_TD, self.weight_DN)


Weights = Literal["full", "int8", "int4"]
"""What weights are kept in. `full` is the precision that a model is loaded in. With int8 and int4 the language model's
are kept in nothing else, so that they take a half and a quarter of the memory of bf16. The head and the layers of both
towers are in int8 with either."""
GROUPS = (128, 64, 32)
"Inputs that share a scale and a zero in int4: the first that divides their number. In int8 all inputs share a scale."
FEW_ROWS = 8
"Rows up to which a CPU multiplies with integer weights as they are. It is sooner to widen them for more."
WIDENED_VALUES = 1 << 25
"Weights that a CPU widens at a time."
LEVELS = 15
"Steps between the smallest and the largest of 4 bits."


class Quantised:
    """x · W with the weights in 8 or 4 bits alone. The kernels are torch's own, which compute in bf16."""

    def __init__(self, weight_ND: Tensor, kind: Weights, *, group: int | None = None) -> None:
        """`group` inputs share a scale in int4. Raises BadModel for a weight whose shape the kernels do not take."""
        self.kind = kind
        self.n_outputs = weight_ND.shape[0]
        self._group = group or group_of(weight_ND.shape[1])
        self._order: Tensor | None = None
        "The order of the inputs in which groups follow each other, where it is another one."
        if kind == "int8":
            self._weight, self._scale = eight_bits(weight_ND)
        else:
            self._weight, self._scale = four_bits(weight_ND, self._group)

    @classmethod
    def of_levels(
        cls, levels_ND: Tensor, scale_GN: Tensor, zero_GN: Tensor, *, group: int, order_D: Tensor | None = None
    ) -> Quantised:
        """A weight that is in 4 bits already, w = (q - zero) · scale: its levels from 0 to 15 are kept as they are.

        Scales become bf16. The inputs of `levels_ND` are in the order `order_D`, if there is one. Raises BadModel for a
        shape that the kernels do not take.
        """
        product = cls.__new__(cls)
        product.kind, product.n_outputs, product._group, product._order = "int4", levels_ND.shape[0], group, order_D
        refuse_shape(levels_ND.shape, group)
        bytes_NK = room_for_four_bits(levels_ND)
        for rows in row_blocks(levels_ND.shape):
            bytes_NK[rows] = packed_rows(levels_ND[rows].to(torch.int32))
        product._weight = as_kernel_reads(bytes_NK)
        scale_GN = scale_GN.to(torch.bfloat16)
        zero_GN = ((8 - zero_GN.float()) * scale_GN.float()).to(torch.bfloat16)
        product._scale = torch.stack([scale_GN, zero_GN], -1)
        return product

    @classmethod
    def of_eight(cls, weight_ND: Tensor, scale_N: Tensor) -> Quantised:
        """A weight that is in 8 bits already, with a scale for each output (`eight_bits`)."""
        product = cls.__new__(cls)
        product.kind, product.n_outputs, product._group, product._order = "int8", weight_ND.shape[0], 0, None
        product._weight, product._scale = weight_ND, scale_N
        return product

    @property
    def nbytes(self) -> int:
        order = 0 if self._order is None else self._order.nbytes
        return self._weight.nbytes + self._scale.nbytes + order

    @property
    def step_bytes(self) -> int:
        """Bytes that a product of one row reads."""
        return self.nbytes

    def __call__(self, x_TD: Tensor, plus_N: Tensor | None = None, *, narrow: bool = False) -> Tensor:
        """(T, N). `narrow` changes nothing: these weights are narrow already."""
        if self._order is not None:
            x_TD = x_TD.index_select(1, self._order)
        out = self._of_int8(x_TD) if self.kind == "int8" else self._of_int4(x_TD)
        out = out.to(x_TD.dtype)
        return out if plus_N is None else out.add_(plus_N)

    def _of_int8(self, x_TD: Tensor) -> Tensor:
        if x_TD.is_cuda:
            return (on_gpu if x_TD.shape[0] <= FEW_ROWS else widened)(x_TD, self._weight.t(), self._scale)
        x_TD = x_TD.to(torch.bfloat16)
        if x_TD.shape[0] <= FEW_ROWS:
            return torch._weight_int8pack_mm(x_TD, self._weight, self._scale)
        out_TN = x_TD.new_empty(x_TD.shape[0], self.n_outputs)
        # In blocks: widened as a whole, the head of a 3B would take 620 MB for as long as a label is scored.
        for rows in row_blocks(self._weight.shape, WIDENED_VALUES):
            out_TN[:, rows] = widened(x_TD, self._weight[rows].t(), self._scale[rows])
        return out_TN

    def _of_int4(self, x_TD: Tensor) -> Tensor:
        product = torch._weight_int4pack_mm if x_TD.is_cuda else torch._weight_int4pack_mm_for_cpu
        return product(x_TD.to(torch.bfloat16), self._weight, self._group, self._scale)


class NarrowLinear(nn.Module):
    """A layer of a tower whose weight is kept in 8 bits alone. It computes in the type of its input."""

    weight_ND: Tensor
    scale_N: Tensor

    def __init__(self, weight_ND: Tensor, bias_N: nn.Parameter | None) -> None:
        super().__init__()
        weight_ND, scale_N = eight_bits(weight_ND)
        self.register_buffer("weight_ND", weight_ND)
        self.register_buffer("scale_N", scale_N)
        self.bias = bias_N

    def forward(self, x: Tensor) -> Tensor:
        """(…, inputs) → (…, outputs). Whole numbers up to 127 are exact in every type, so the scale comes last."""
        out = F.linear(x, self.weight_ND.to(x.dtype)).mul_(self.scale_N.to(x.dtype))
        return out if self.bias is None else out.add_(self.bias)


def group_of(n_inputs: int) -> int:
    """Inputs that share a scale in int4; the smallest group where none divides them, which the kernels refuse."""
    return next((group for group in GROUPS if n_inputs % group == 0), GROUPS[-1])


def takes_four_bits(n_outputs: int, n_inputs: int) -> bool:
    """Whether int4's kernels take the shape of a weight, with the finest scales."""
    return n_outputs % 16 == 0 and n_inputs % GROUPS[-1] == 0


def quantised_bytes(n_outputs: int, n_inputs: int, kind: Weights, group: int | None = None) -> int:
    """Memory of a product that is kept in few bits, scales included."""
    if kind == "int8":
        return n_outputs * (n_inputs + 2)
    return n_outputs * (n_inputs // 2 + 4 * n_inputs // (group or group_of(n_inputs)))


def eight_bits(weight_ND: Tensor) -> tuple[Tensor, Tensor]:
    """(N, D) int8 and a scale (N,) in bf16 for each output."""
    quantised_ND = torch.empty(weight_ND.shape, dtype=torch.int8, device=weight_ND.device)
    scale_N = torch.empty(weight_ND.shape[0], dtype=torch.bfloat16, device=weight_ND.device)
    for rows in row_blocks(weight_ND.shape):
        wide = weight_ND[rows].float()
        scale_N[rows] = (wide.abs().amax(1) / LARGEST["int8"]).clamp(min=1e-12).to(torch.bfloat16)
        # Divided by the scale as it is kept, so that its own rounding is no error.
        quantised_ND[rows] = (wide / scale_N[rows].float()[:, None]).round_().clamp_(-127, 127)
    return quantised_ND, scale_N


def four_bits(weight_ND: Tensor, group: int) -> tuple[Tensor, Tensor]:
    """The weight as the device's kernel packs it, and (D / group, N, 2) scales and zeros in bf16.

    w = (q - 8) · scale + zero, with q from 0 to 15.
    """
    n_outputs, n_inputs = weight_ND.shape
    refuse_shape(weight_ND.shape, group)
    grid = torch.empty(n_inputs // group, n_outputs, 2, dtype=torch.bfloat16, device=weight_ND.device)
    bytes_NK = room_for_four_bits(weight_ND)
    for rows in row_blocks(weight_ND.shape):
        wide = weight_ND[rows].float().reshape(-1, n_inputs // group, group)
        low, high = wide.amin(2), wide.amax(2)
        scale = ((high - low) / LEVELS).clamp_(min=1e-6).to(torch.bfloat16)
        zero = (low + 8 * scale.float()).to(torch.bfloat16)
        grid[:, rows, 0], grid[:, rows, 1] = scale.t(), zero.t()
        q = ((wide - zero.float()[..., None]) / scale.float()[..., None] + 8).round_().clamp_(0, LEVELS)
        bytes_NK[rows] = packed_rows(q.flatten(1).to(torch.int32))
    return as_kernel_reads(bytes_NK), grid


def room_for_four_bits(weight_ND: Tensor) -> Tensor:
    """Room for a weight with two values a byte. Blocks that were kept apart until the last would scatter the heap."""
    return torch.empty(weight_ND.shape[0], weight_ND.shape[1] // 2, dtype=torch.uint8, device=weight_ND.device)


def refuse_shape(shape: Sequence[int], group: int) -> None:
    """Raise BadModel for a weight (outputs, inputs) that int4's kernels do not take."""
    if shape[1] % group or shape[0] % 16:
        raise BadModel(
            f"A weight of {shape[0]} × {shape[1]} can't be kept in int4, which takes multiples of 16 × {group}.",
            hint="Take --weights int8.",
        )


def packed_rows(q_ND: Tensor) -> Tensor:
    """Levels from 0 to 15 in int32, packed two to a byte: rows of what `as_kernel_reads` puts together."""
    if q_ND.is_cuda:
        # The even one is in the upper half.
        return ((q_ND[:, ::2] << 4) | q_ND[:, 1::2]).to(torch.uint8)
    return torch._convert_weight_to_int4pack_for_cpu(q_ND, 1)


def as_kernel_reads(bytes_NK: Tensor) -> Tensor:
    """All rows in the order that the device's kernel reads."""
    if not bytes_NK.is_cuda:
        return bytes_NK
    # Inputs in tiles of 16, and the most tiles that divide them: 128 does not divide all that 32 or 64 do.
    n_inputs = 2 * bytes_NK.shape[1]
    return torch._convert_weight_to_int4pack(bytes_NK, next(n for n in (8, 4, 2) if n_inputs % (16 * n) == 0))


def row_blocks(shape: Sequence[int], n_values: int = 1 << 18) -> Iterator[slice]:
    """Rows of a weight (outputs, inputs) in blocks of so many values.

    What is computed in float32 on the way then stays in a core's cache.

    A block is a multiple of 64 rows, which the packed layout of a CPU keeps together.
    """
    step = max(64, n_values // shape[1] // 64 * 64)
    for first in range(0, shape[0], step):
        yield slice(first, min(first + step, shape[0]))


AnyProduct = Product | Quantised


class AdaptedProduct:
    """x · W + (x · A) · B: a product with an unmerged adapter. Several share W."""

    @property
    def step_bytes(self) -> int:
        """Bytes that a product of one row reads of W."""
        return self._shared.step_bytes

    def __init__(self, shared: AnyProduct, pair: LowRank) -> None:
        self._shared = shared
        self._a_DR, self._b_RN = pair

    def __call__(self, x_TD: Tensor, plus_N: Tensor | None = None, *, narrow: bool = False) -> Tensor:
        return torch.addmm(self._shared(x_TD, plus_N, narrow=narrow), torch.mm(x_TD, self._a_DR), self._b_RN)
