"""Reads the weights of a checked checkpoint into its model, block by block, so that nothing is in memory twice.

`checkpoint.plan` says what is read from where.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

import torch
from torch import Tensor, nn

from realtime.errors import BadModel
from realtime.model import layout
from realtime.model.config import TextConfig
from realtime.model.memory import refuse_too_large
from realtime.model.packing import PackedValues, PackedWeight, Packing, Stored
from realtime.model.products import NarrowLinear, Quantised, Weights, eight_bits, quantised_bytes
from realtime.model.shards import MappedFile, StoredTensor, as_rows
from realtime.model.thinker import EmoThinker

HEAD = "thinker.lm_head.weight"
EMBEDDINGS = "thinker.model.embed_tokens.weight"
TOWERS = ("thinker.visual", "thinker.audio_tower")
FOUR_BITS_FROM = (8, 0)
"Compute capability of the first GPUs with bf16, which torch's kernels for 4 bits compute in."
OnRead = Callable[[int, int], None]
"Called after each block with the bytes read so far and the bytes to read."


@dataclass(frozen=True)
class LowRankUpdate:
    """What a LoRA adapter adds to a weight: B · A, with its scale in B."""

    a_RD: Tensor
    b_NR: Tensor

    @property
    def shape(self) -> tuple[int, int]:
        return self.b_NR.shape[0], self.a_RD.shape[1]

    def added(self, weight_TD: Tensor, rows: slice) -> Tensor:
        """These rows of the weight with the update, in float32."""
        return weight_TD.float() + self.b_NR[rows] @ self.a_RD


@dataclass(frozen=True)
class LoadPlan:
    """What is read from where, known before anything is read."""

    model: EmoThinker
    "On the meta device."
    stored: Mapping[str, Stored]
    updates: Mapping[str, LowRankUpdate]

    @property
    def n_parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.model.parameters())


@dataclass(frozen=True)
class KeptGroup:
    """A product that is packed in 4 bits in its folder, and is kept so with int4: no level changes."""

    size: int
    "Inputs that share a scale in the kernel."
    order_D: Tensor | None = None
    "The order of the inputs in which groups follow each other, where it is another one."


def kept_groups(planned: LoadPlan) -> dict[str, KeptGroup]:
    """The products whose levels int4 keeps as the folder holds them, by their group's name.

    Others are quantised anew: those that an adapter changes, and those whose layers do not share one order of inputs,
    or have groups that the kernels do not take. Raises BadModel for a table of groups that is damaged.
    """
    found = {}
    for group in layout.groups(planned.model.config.text):
        parts = [part for part in map(planned.stored.get, group.weights) if isinstance(part, PackedWeight)]
        whole = len(parts) == len(group.weights) and planned.updates.keys().isdisjoint(group.weights)
        if not whole or layout.kept_in(group, "int4") != "int4" or sum(group.n_outputs) % 16:
            continue
        packing = parts[0].packing
        size = packing.kernel_group(group.n_inputs)
        first, *others = (part.groups() for part in parts)
        if size is None or not all(_same(first, other) for other in others):
            continue
        if first is None:
            found[group.name] = KeptGroup(size)
        elif bool(first.bincount().eq(packing.group_of(group.n_inputs)).all()):
            found[group.name] = KeptGroup(size, first.argsort(stable=True))
    return found


def expected_groups(config: TextConfig, packing: Packing) -> dict[str, KeptGroup]:
    """The same by a folder's config.json alone, as if all layers were packed and shared their order."""
    sizes = ((group, packing.kernel_group(group.n_inputs)) for group in layout.groups(config))
    return {group.name: KeptGroup(size) for group, size in sizes if size and group.name != layout.HEAD}


def _same(a: Tensor | None, b: Tensor | None) -> bool:
    return a is b if a is None or b is None else torch.equal(a, b)


def weights_bytes(
    model: EmoThinker, dtype: torch.dtype, kept: Weights = "full", as_stored: Mapping[str, KeptGroup] | None = None
) -> int:
    """Memory of the weights in that type, with the products of the language model kept as `kept` says."""
    whole = sum(parameter.numel() for parameter in model.parameters()) * dtype.itemsize
    for group in layout.groups(model.config.text) if kept != "full" else ():
        n_outputs, form, mine = sum(group.n_outputs), layout.kept_in(group, kept), (as_stored or {}).get(group.name)
        whole += quantised_bytes(n_outputs, group.n_inputs, form, mine.size if mine else None)
        whole += mine.order_D.nbytes if mine and mine.order_D is not None else 0
        whole -= n_outputs * group.n_inputs * dtype.itemsize
    for layer in tower_layers(model).values() if kept != "full" else ():
        whole += quantised_bytes(layer.out_features, layer.in_features, "int8")
        whole -= layer.weight.numel() * dtype.itemsize
    return whole


def tower_layers(model: EmoThinker) -> dict[str, nn.Linear]:
    """The layers of both towers that are kept in 8 bits where weights are not full, by their names in `EmoThinker`."""
    return {
        f"{tower}.{name}": module
        for tower in TOWERS
        for name, module in model.get_submodule(tower).named_modules()
        if isinstance(module, nn.Linear)
    }


def mapped_bytes(config: TextConfig, kept: Weights, dtype: torch.dtype) -> int:
    """Bytes of embeddings that stay in their file on a CPU (`fill`)."""
    return (
        0 if kept == "full" or config.tie_word_embeddings else config.vocab_size * config.hidden_size * dtype.itemsize
    )


@torch.no_grad()
def fill(
    planned: LoadPlan,
    name: str,
    *,
    dtype: torch.dtype,
    device: torch.device,
    joined: bool,
    kept: Weights = "full",
    on_read: OnRead | None = None,
) -> EmoThinker:
    """Read the weights of a plan into its model. Raises BadModel where `name` has no room on the device.

    With `kept` other than full the language model's products are quantised as they come; then only
    `FusedLanguageModel` can run it. With int4, products that are packed in the folder keep their levels. Otherwise
    packed weights are widened layer by layer. The layers of the towers are kept in 8 bits then, and on a CPU embeddings
    stay in their file: a window looks up a few hundred of 151,936.
    """
    model, text = planned.model, planned.model.config.text
    if kept == "int4" and device.type == "cuda" and (capability := torch.cuda.get_device_capability()) < FOUR_BITS_FROM:
        raise BadModel(
            f"{torch.cuda.get_device_name()} (SM {capability[0]}.{capability[1]}) has no products in 4 bits; those of "
            "torch need SM 8.0 or later.",
            hint="Take --weights int8.",
        )
    as_stored = kept_groups(planned) if kept == "int4" else {}
    packed = any(isinstance(one, PackedWeight) for one in planned.stored.values())
    smaller = "--weights int4, which keeps what the folder holds, or " if packed and kept != "int4" else ""
    refuse_too_large(weights_bytes(model, dtype, kept, as_stored), device, name, smaller=smaller)
    reading = Reading(
        model, dtype=dtype, device=device, joined=joined or kept != "full", kept=kept, as_stored=as_stored
    )  # fmt: skip
    files, told = Files(), on_read or (lambda *_: None)
    n_read, n_bytes = 0, sum(one.n_bytes for one in planned.stored.values())
    # File by file, and in each file's order.
    for key, one in sorted(planned.stored.items(), key=lambda item: (item[1].path, item[1].start)):
        if key == EMBEDDINGS and kept != "full" and stays_mapped(one, planned, dtype, device):
            reading.state[key] = files.mapped(one)
            told(n_read + one.n_bytes, n_bytes)
        elif isinstance(one, PackedWeight) and reading.keeps(key):
            reading.keep(key, PackedValues(one, files.read))
            told(n_read + one.n_bytes, n_bytes)
        else:
            update, n_rows = planned.updates.get(key), one.shape[0] if one.shape else 1
            for rows, block in files.blocks(one):
                reading.take(key, rows, block if update is None else update.added(block, rows))
                told(n_read + one.n_bytes * rows.stop // n_rows, n_bytes)
        n_read += one.n_bytes
    state = reading.state
    if text.tie_word_embeddings:
        state[HEAD] = state["thinker.model.embed_tokens.weight"]
    model.load_state_dict(state, assign=True, strict=kept == "full")
    for layer, narrow in reading.narrow.items():
        linear = model.get_submodule(layer)
        assert isinstance(linear, nn.Linear)
        narrow.bias = linear.bias
        model.set_submodule(layer, narrow)
    model.thinker.model.quantised = reading.quantised
    if text.tie_word_embeddings:
        model.thinker.lm_head.weight = model.thinker.model.embed_tokens.weight
    # Checkpoints do not store the rotary tables, whose angles need float32.
    for module in (model.thinker.visual, model.thinker.audio_tower, model.thinker.model):
        module.fill_tables()
        for table, values in module.named_buffers(recurse=False):
            module.register_buffer(table, values.to(device), persistent=False)
    return model.eval().requires_grad_(False)


def stays_mapped(one: Stored, planned: LoadPlan, dtype: torch.dtype, device: torch.device) -> TypeGuard[StoredTensor]:
    """Whether embeddings can be read from their file while the model runs: they are there as they are computed with."""
    tied, changed = planned.model.config.text.tie_word_embeddings, EMBEDDINGS in planned.updates
    plain = isinstance(one, StoredTensor) and one.dtype == dtype and one.start % dtype.itemsize == 0
    return device.type == "cpu" and plain and not tied and not changed


class Reading:
    """The weights of a model while they are read."""

    def __init__(
        self,
        model: EmoThinker,
        *,
        dtype: torch.dtype,
        device: torch.device,
        joined: bool,
        kept: Weights,
        as_stored: Mapping[str, KeptGroup],
    ) -> None:
        self.quantised: dict[str, Quantised] = {}
        "Products that are read and quantised, by their group's name."
        self.narrow: dict[str, NarrowLinear] = {}
        "Layers of the towers that are read and kept in 8 bits, by their names, without their biases."
        self._layers = {f"{name}.weight" for name in tower_layers(model)} if kept != "full" else set()
        self._wanted = model.state_dict()
        self._dtype, self._device, self._kept, self._as_stored = dtype, device, kept, as_stored
        self._packed: dict[str, PackedValues] = {}
        "Weights that keep their levels, until all of their group are read."
        groups = layout.groups(model.config.text) if joined else ()
        self._groups = {weight: group for group in groups for weight in group.weights}
        self._eight_bits: dict[str, tuple[Tensor, Tensor]] = {}
        "Products of one weight that are quantised as they are read: the levels and the scales."
        self._missing = {group.name: sum(group.n_outputs) for group in self._groups.values()}
        "Rows of each group that have not been read."
        # A tensor without elements has no block.
        self.state = {
            key: torch.empty(empty.shape, dtype=dtype, device=device)
            for key, empty in self._wanted.items()
            if empty.numel() == 0
        }

    def take(self, key: str, rows: slice, block: Tensor) -> None:
        """Put rows of a tensor to where it stays."""
        group = self._groups.get(key)
        if group is not None and len(group.weights) == 1 and layout.kept_in(group, self._kept) == "int8":
            self._take_narrow(key, group, rows, block)
            return
        if key not in self.state:
            self._make_room(key, group)
        as_rows(self.state[key])[rows] = block
        if key in self._layers and rows.stop == self.state[key].shape[0]:
            self.narrow[key.removesuffix(".weight")] = NarrowLinear(self.state.pop(key), None)
        if group is not None and self._kept != "full":
            self._missing[group.name] -= rows.stop - rows.start
            if not self._missing[group.name]:
                parts = [self.state.pop(weight) for weight in group.weights]
                whole_DN = layout.lying_together(parts)
                assert whole_DN is not None, "they were laid out so"
                self.quantised[group.name] = Quantised(whole_DN.t(), layout.kept_in(group, self._kept))

    def _take_narrow(self, key: str, group: layout.Group, rows: slice, block: Tensor) -> None:
        """Put rows of a product of its own to where it stays, in 8 bits: the head of a 3B is 620 MB in bf16."""
        if key not in self._eight_bits:
            n_outputs = sum(group.n_outputs)
            weight_ND = torch.empty(n_outputs, group.n_inputs, dtype=torch.int8, device=self._device)
            self._eight_bits[key] = weight_ND, torch.empty(n_outputs, dtype=torch.bfloat16, device=self._device)
        weight_ND, scale_N = self._eight_bits[key]
        # Rounded first to the type that the model computes in, as weights are that are quantised as a whole.
        weight_ND[rows], scale_N[rows] = eight_bits(block.to(self._device, self._dtype))
        if rows.stop == len(weight_ND):
            self.quantised[group.name] = Quantised.of_eight(*self._eight_bits.pop(key))

    def keeps(self, key: str) -> bool:
        """Whether the weight stays as it is packed in its folder."""
        return key in self._groups and self._groups[key].name in self._as_stored

    def keep(self, key: str, values: PackedValues) -> None:
        """Make a product of packed weights, once all that are one product are read."""
        group = self._groups[key]
        self._packed[key] = values
        if not all(weight in self._packed for weight in group.weights):
            return
        mine, parts = self._as_stored[group.name], [self._packed.pop(weight) for weight in group.weights]
        levels_ND = torch.empty((sum(group.n_outputs), group.n_inputs), dtype=torch.uint8)
        for part, levels in zip(parts, torch.split(levels_ND, list(group.n_outputs)), strict=True):
            part.write_levels(levels, mine.order_D)
        # A group of the file may be several of the kernel's.
        n_each = values.packing.group_of(group.n_inputs) // mine.size
        scale_GN, zero_GN = (
            torch.cat(tables, 1).repeat_interleave(n_each, 0).to(self._device)
            for tables in ([part.scales_GN for part in parts], [part.zeros_GN for part in parts])
        )
        order_D = None if mine.order_D is None else mine.order_D.to(self._device)
        self.quantised[group.name] = Quantised.of_levels(
            levels_ND.to(self._device), scale_GN, zero_GN, group=mine.size, order_D=order_D
        )

    def _make_room(self, key: str, group: layout.Group | None) -> None:
        if group is None:
            # Counters of norm layers stay integers.
            empty = self._wanted[key]
            dtype = self._dtype if empty.is_floating_point() else empty.dtype
            self.state[key] = torch.empty(empty.shape, dtype=dtype, device=self._device)
            return
        weights = layout.room(group.n_outputs, group.n_inputs, dtype=self._dtype, device=self._device)
        self.state |= dict(zip(group.weights, weights, strict=True))


class Files:
    """Files of weights, each mapped when it is first read."""

    def __init__(self) -> None:
        self._mapped: dict[Path, MappedFile] = {}

    def blocks(self, one: Stored) -> Iterator[tuple[slice, Tensor]]:
        """A weight's rows in blocks: as they lie in the file, or widened to float32 where they are packed."""
        if isinstance(one, PackedWeight):
            return PackedValues(one, self.read).blocks()
        return self._file(one).blocks(one)

    def read(self, one: StoredTensor) -> Tensor:
        return self._file(one).read(one)

    def mapped(self, one: StoredTensor) -> Tensor:
        """The tensor where it lies in its file."""
        return self._file(one).mapped(one)

    def _file(self, one: StoredTensor) -> MappedFile:
        if one.path not in self._mapped:
            self._mapped[one.path] = MappedFile(one.path)
        return self._mapped[one.path]
