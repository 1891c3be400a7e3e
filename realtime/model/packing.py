"""Weights that GPTQ or AWQ has packed in 4 bits: what a folder says of them, where they lie, and their values.

    weight[n, d] = (level[d, n] - zero[g, n]) · scale[g, n]      g: the group of input d

Each layer with N outputs and D inputs has these tensors in place of its weight. An int32 holds eight levels or zeros
of 4 bits.

              qweight (int32)            qzeros (int32)     scales         g_idx
    GPTQ      (D / 8, N)                 (groups, N / 8)    (groups, N)    (D,) each input's group; may be absent
    AWQ       (D, N / 8)                 (groups, N / 8)    (groups, N)    none

GPTQ's eight lie in order, the first in the lowest bits, and its first format stores zeros less one. AWQ's lie in the
order `AWQ_ORDER`. Sources: AutoGPTQ and GPTQModel (`checkpoint_format` gptq and gptq_v2), AutoAWQ (version gemm).

`tests/model/test_packing.py` writes such folders itself. No published one was at hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NoReturn

import torch
from torch import Tensor

from realtime.errors import BadModel
from realtime.model.products import GROUPS, row_blocks
from realtime.model.shards import MappedFile, StoredTensor

A_WORD = 8
"Values in an int32."
AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)
"Which of eight outputs lies in the lowest bits of an int32, which in the next, and so on."
ONE_EACH = 0x11111111
ROW_VALUES = 1 << 20
"Values that are computed in float32 at a time."
PARTS = ("qweight", "qzeros", "scales", "g_idx")
EXPECTED = "GPTQ (checkpoint_format gptq or gptq_v2) and AWQ (version gemm) are read, in 4 bits."
PLAIN = "Name the folder that it was quantised from, in bf16, fp16 or fp32."
AGAIN = "Fetch the folder again, all shards, the index and config.json together."


@dataclass(frozen=True)
class Packing:
    """How the weights of a folder are packed, from `quantization_config` in its config.json."""

    method: Literal["gptq", "awq"]
    group_size: int
    "Inputs that share a scale and a zero; -1: all of them."
    zeros_less_one: bool = False
    ordered: bool = False
    "Whether groups were chosen by the inputs' activations (`desc_act`): then each layer tells them in `g_idx`."
    left: tuple[str, ...] = ()
    "Parts of names of modules that are not packed."
    only: tuple[str, ...] = ()
    "If any: the modules of a layer that are packed."
    ruled: bool = False
    "Whether some modules have rules of their own (`dynamic`)."

    def n_groups(self, n_inputs: int) -> int:
        return -(-n_inputs // self.group_of(n_inputs))

    def group_of(self, n_inputs: int) -> int:
        return n_inputs if self.group_size == -1 else self.group_size

    def kernel_group(self, n_inputs: int) -> int | None:
        """The largest group of int4's kernels that divides this packing's, or None where none does."""
        group = self.group_of(n_inputs)
        return next((n for n in GROUPS if group % n == 0 and n_inputs % group == 0), None)

    def leaves(self, module: str) -> bool:
        """Whether config.json allows that a layer of the language model is not packed."""
        named = bool(self.only) and not any(module.endswith(f".{name}") for name in self.only)
        return self.ruled or named or any(part in module for part in self.left)


def packing_of(config: Mapping[str, Any], folder: Path) -> Packing | None:
    """How a folder's weights are packed, or None for plain ones. Raises BadModel for a way that is not read."""
    thinker = config.get("thinker_config")
    parts = (config, thinker if isinstance(thinker, dict) else {})
    facts = next((part["quantization_config"] for part in parts if part.get("quantization_config") is not None), None)
    if facts is None:
        return None
    method = facts.get("quant_method") if isinstance(facts, dict) else None

    def refuse(what: str) -> NoReturn:
        raise BadModel(f"{folder} holds weights that {method} has quantised {what}. {EXPECTED}", hint=PLAIN)

    if method not in ("gptq", "awq"):
        raise BadModel(
            f"{folder} holds weights that {method or 'another program'} has quantised, which are not read. {EXPECTED}",
            hint=PLAIN,
        )
    bits, group_size = facts.get("bits"), facts.get("group_size", 128)
    if type(bits) is not int or bits != 4:
        refuse(f"in {bits!r} bits")
    if type(group_size) is not int or (group_size < 1 and group_size != -1):
        refuse(f"in groups of {group_size!r}")
    packing = Packing(
        method,
        group_size,
        left=names(facts.get("modules_to_not_convert")),
        only=names(facts.get("modules_in_block_to_quantize")),
        ruled=bool(facts.get("dynamic")),
    )
    if method == "awq":
        version = str(facts.get("version") or facts.get("format") or "gemm").lower()
        if facts.get("backend") == "llm-awq":
            version = "llm-awq"
        if version != "gemm":
            refuse(f"for {version}")
        if facts.get("zero_point", True) is not True:
            refuse("without zeros")
        return packing
    form = str(facts.get("checkpoint_format") or facts.get("format") or "gptq").lower()
    if facts.get("is_marlin_format"):
        form = "marlin"
    if form not in ("gptq", "gptq_v2"):
        refuse(f"for {form}")
    if facts.get("pack_dtype", "int32") != "int32":
        refuse(f"into {facts['pack_dtype']}")
    return replace(packing, zeros_less_one=form == "gptq", ordered=facts.get("desc_act") is True)


def names(value: object) -> tuple[str, ...]:
    """All names in a list, or in a list of lists."""
    lists = [each if isinstance(each, list) else [each] for each in value] if isinstance(value, list) else []
    return tuple(name for each in lists for name in each if isinstance(name, str))


@dataclass(frozen=True)
class PackedWeight:
    """A weight that lies packed in a folder: the tensors that stand for it. They may be in several files."""

    packing: Packing
    qweight: StoredTensor
    qzeros: StoredTensor
    scales: StoredTensor
    g_idx: StoredTensor | None

    @property
    def shape(self) -> tuple[int, ...]:
        """(outputs, inputs) of the weight."""
        rows, columns = self.qweight.shape
        return (columns, rows * A_WORD) if self.packing.method == "gptq" else (columns * A_WORD, rows)

    @property
    def parts(self) -> tuple[StoredTensor, ...]:
        return tuple(part for part in (self.qweight, self.qzeros, self.scales, self.g_idx) if part is not None)

    @property
    def path(self) -> Path:
        return self.qweight.path

    @property
    def start(self) -> int:
        return self.qweight.start

    @property
    def n_bytes(self) -> int:
        return sum(part.n_bytes for part in self.parts)

    def groups(self, read: Callable[[StoredTensor], Tensor] | None = None) -> Tensor | None:
        """(D,) the group of each input, or None where they follow each other. Raises BadModel for other numbers.

        `read` reads a tensor; by default, from its own file.
        """
        if self.g_idx is None:
            return None
        index = (read(self.g_idx) if read else MappedFile(self.g_idx.path).read(self.g_idx)).long()
        n_inputs, n_groups = self.shape[1], self.packing.n_groups(self.shape[1])
        if int(index.min()) < 0 or int(index.max()) >= n_groups:
            raise BadModel(
                f"{self.g_idx.key} in {self.g_idx.path.name} names group {int(index.max())} of {n_groups}.", hint=AGAIN
            )
        following = torch.arange(n_inputs) // self.packing.group_of(n_inputs)
        # Where groups follow each other, some programs leave the table empty.
        return index if bool(index.any()) and not torch.equal(index, following) else None


Stored = StoredTensor | PackedWeight


def packed_weights(found: Mapping[str, StoredTensor], packing: Packing, folder: Path) -> dict[str, Stored]:
    """The tensors of a folder with each packed layer's as one. Raises BadModel where they do not belong together."""
    weights: dict[str, Stored] = {}
    layers: dict[str, dict[str, StoredTensor]] = {}
    for name, stored in found.items():
        layer, _, part = name.rpartition(".")
        if part in PARTS:
            layers.setdefault(layer, {})[part] = stored
        else:
            weights[name] = stored
    if not layers:
        raise BadModel(
            f"{folder} holds no packed weights; its config.json says that {packing.method} has quantised them.",
            hint="Take config.json and the weights of the same folder: " + AGAIN,
        )
    for layer, parts in layers.items():
        wanted = [part for part in PARTS if part != "g_idx" or packing.ordered]
        missing = next((part for part in wanted if part not in parts), None)
        if missing is not None:
            raise BadModel(
                f"{folder} lacks {layer}.{missing}, without which {packing.method}'s weights can't be read.", hint=AGAIN
            )
        if f"{layer}.weight" in weights:
            raise BadModel(f"{folder} holds {layer} twice, packed and as a plain weight.", hint=AGAIN)
        weights[f"{layer}.weight"] = checked(
            PackedWeight(
                packing,
                parts["qweight"],
                parts["qzeros"],
                parts["scales"],
                parts.get("g_idx") if packing.method == "gptq" else None,
            ),
            folder,
        )
    return weights


def checked(packed: PackedWeight, folder: Path) -> PackedWeight:
    """The same. Raises BadModel where the types or shapes of its tensors do not fit."""
    expected: dict[StoredTensor, tuple[tuple[int, ...], bool]] = {}
    if len(packed.qweight.shape) == 2:
        n_outputs, n_inputs = packed.shape
        n_groups = packed.packing.n_groups(n_inputs) if n_inputs else 0
        expected = {
            packed.qweight: (packed.qweight.shape, False),
            packed.qzeros: ((n_groups, n_outputs // A_WORD), False),
            packed.scales: ((n_groups, n_outputs), True),
        }
        if packed.g_idx is not None:
            expected[packed.g_idx] = ((n_inputs,), False)
    if not expected or n_outputs % A_WORD or 0 in packed.qweight.shape:
        raise BadModel(
            f"{packed.qweight.key} is {packed.qweight.shape} in {folder}, which is no weight packed by "
            f"{packed.packing.method} in 4 bits.",
            hint=AGAIN,
        )
    size = packed.packing.group_size
    for part, (shape, floating) in expected.items():
        if part.shape != shape:
            raise BadModel(
                f"{part.key} is {part.shape} in {folder}; {packed.packing.method} in 4 bits with "
                f"{'one group' if size == -1 else f'groups of {size}'} has {shape}.",
                hint=f"Layers in other bits or groups than config.json tells are not read. {PLAIN}",
            )
        if not (
            part.dtype in (torch.float16, torch.bfloat16, torch.float32) if floating else part.dtype == torch.int32
        ):
            raise BadModel(
                f"{part.key} is {str(part.dtype).removeprefix('torch.')} in {folder}, expected "
                f"{'bf16, fp16 or fp32' if floating else 'int32'}.",
                hint=PLAIN,
            )
    return packed


def refuse_half_packed(stored: Mapping[str, Stored], layers: Iterator[str], folder: Path) -> None:
    """Raise BadModel where some of the weights `layers` are plain, and config.json does not tell so.

    AWQ multiplies what a layer's norm gives by a factor for each input and divides the weights by it. A layer from the
    folder that was quantised fits the shapes there, and gives wrong answers.
    """
    packing = next((one.packing for one in stored.values() if isinstance(one, PackedWeight)), None)
    if packing is None:
        return
    for name in layers:
        module = name.removesuffix(".weight")
        if isinstance(stored.get(name), StoredTensor) and not packing.leaves(module):
            raise BadModel(
                f"{folder} is quantised by half: {name} is a plain weight, and others are packed by {packing.method}.",
                hint=AGAIN,
            )


def refuse_biases(found: Mapping[str, Stored], wanted: Mapping[str, object], folder: Path) -> None:
    """Raise BadModel where a packed layer has a bias that this model lacks, unless it is zero.

    Some GPTQ folders have one, all zeros, for layers that had none.
    """
    for name, one in found.items():
        layer = f"{name.removesuffix('.bias')}.weight"
        if name in wanted or not name.endswith(".bias") or not isinstance(found.get(layer), PackedWeight):
            continue
        if isinstance(one, StoredTensor) and bool(MappedFile(one.path).read(one).any()):
            raise BadModel(
                f"{folder} holds {name}, which Qwen2.5-Omni does not have.",
                hint="Name a folder that was quantised from Qwen2.5-Omni.",
            )


class PackedValues:
    """The tensors of a packed weight, read: 4 bits a value, with zeros and scales."""

    def __init__(self, packed: PackedWeight, read: Callable[[StoredTensor], Tensor]) -> None:
        self.packing = packed.packing
        self.shape = packed.shape
        self._words = read(packed.qweight)
        zeros = read(packed.qzeros)
        # The first format's writers subtract from the whole int32, as is undone here.
        self.zeros_GN = self._along_outputs(zeros + ONE_EACH if self.packing.zeros_less_one else zeros)
        self.scales_GN = read(packed.scales).float()
        self.group_D = packed.groups(read)

    def write_levels(self, levels_ND: Tensor, order_D: Tensor | None) -> None:
        """Write all levels, from 0 to 15, with the inputs in that order."""
        for rows in row_blocks(self.shape, ROW_VALUES):
            levels_DN = self._levels(rows)
            levels_ND[rows] = (levels_DN if order_D is None else levels_DN[order_D]).t()

    def blocks(self) -> Iterator[tuple[slice, Tensor]]:
        """The weight's rows in float32, in blocks. The product with a scale in half precision is exact in it."""
        n_inputs = self.shape[1]
        group = self.packing.group_of(n_inputs)
        for rows in row_blocks(self.shape, ROW_VALUES):
            values_DN = self._levels(rows).float()
            zeros_GN, scales_GN = self.zeros_GN[:, rows].float(), self.scales_GN[:, rows]
            if self.group_D is None and n_inputs % group == 0:
                grouped = values_DN.view(-1, group, values_DN.shape[1])
                grouped.sub_(zeros_GN[:, None]).mul_(scales_GN[:, None])
            else:
                index_D = torch.arange(n_inputs) // group if self.group_D is None else self.group_D
                values_DN.sub_(zeros_GN[index_D]).mul_(scales_GN[index_D])
            yield rows, values_DN.t()

    def _levels(self, rows: slice) -> Tensor:
        """(D, rows) uint8. Rows begin and end at whole int32s."""
        if self.packing.method == "awq":
            return self._along_outputs(self._words[:, rows.start // A_WORD : rows.stop // A_WORD])
        words = self._words[:, rows]
        return torch.stack([bits(words, place) for place in range(A_WORD)], 1).flatten(0, 1)

    def _along_outputs(self, words: Tensor) -> Tensor:
        places = [AWQ_ORDER.index(n) for n in range(A_WORD)] if self.packing.method == "awq" else range(A_WORD)
        return torch.stack([bits(words, place) for place in places], -1).flatten(-2)


def bits(words: Tensor, place: int) -> Tensor:
    """The 4 bits at a place of each int32, as uint8."""
    return ((words >> (4 * place)) & 15).to(torch.uint8)
