"""Reads the weights of a checked checkpoint into its model, block by block, so that nothing is in memory twice.

`checkpoint.plan` says what is read from where.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from realtime.model import layout
from realtime.model.memory import refuse_too_large
from realtime.model.products import Quantised, Weights, quantised_bytes
from realtime.model.shards import MappedFile, StoredTensor, as_rows
from realtime.model.thinker import EmoThinker

HEAD = "thinker.lm_head.weight"
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
    stored: Mapping[str, StoredTensor]
    updates: Mapping[str, LowRankUpdate]

    @property
    def n_parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.model.parameters())


def weights_bytes(model: EmoThinker, dtype: torch.dtype, kept: Weights = "full") -> int:
    """Memory of the weights in that type, with the products of the language model kept as `kept` says."""
    whole = sum(parameter.numel() for parameter in model.parameters()) * dtype.itemsize
    for group in layout.groups(model.config.text) if kept != "full" else ():
        n_outputs, form = sum(group.n_outputs), layout.kept_in(group, kept)
        whole += quantised_bytes(n_outputs, group.n_inputs, form) - n_outputs * group.n_inputs * dtype.itemsize
    return whole


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
    `FusedLanguageModel` can run it.
    """
    model, text = planned.model, planned.model.config.text
    refuse_too_large(weights_bytes(model, dtype, kept), device, name)
    reading = Reading(model, dtype=dtype, device=device, joined=joined or kept != "full", kept=kept)
    n_read, n_bytes = 0, sum(stored.n_bytes for stored in planned.stored.values())
    for key, rows, block in _blocks(planned.stored):
        update = planned.updates.get(key)
        reading.take(key, rows, block if update is None else update.added(block, rows))
        n_read += block.nbytes
        if on_read is not None:
            on_read(n_read, n_bytes)
    state = reading.state
    if text.tie_word_embeddings:
        state[HEAD] = state["thinker.model.embed_tokens.weight"]
    model.load_state_dict(state, assign=True, strict=not reading.quantised)
    model.thinker.model.quantised = reading.quantised
    if text.tie_word_embeddings:
        model.thinker.lm_head.weight = model.thinker.model.embed_tokens.weight
    # Checkpoints do not store the rotary tables, whose angles need float32.
    for module in (model.thinker.visual, model.thinker.audio_tower, model.thinker.model):
        module.fill_tables()
        for table, values in module.named_buffers(recurse=False):
            module.register_buffer(table, values.to(device), persistent=False)
    return model.eval().requires_grad_(False)


class Reading:
    """The weights of a model while they are read."""

    def __init__(
        self, model: EmoThinker, *, dtype: torch.dtype, device: torch.device, joined: bool, kept: Weights
    ) -> None:
        self.quantised: dict[str, Quantised] = {}
        "Products that are read and quantised, by their group's name."
        self._wanted = model.state_dict()
        self._dtype, self._device, self._kept = dtype, device, kept
        groups = layout.groups(model.config.text) if joined else ()
        self._groups = {weight: group for group in groups for weight in group.weights}
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
        if key not in self.state:
            self._make_room(key, group)
        as_rows(self.state[key])[rows] = block
        if group is not None and self._kept != "full":
            self._missing[group.name] -= rows.stop - rows.start
            if not self._missing[group.name]:
                parts = [self.state.pop(weight) for weight in group.weights]
                whole_DN = layout.lying_together(parts)
                assert whole_DN is not None, "they were laid out so"
                self.quantised[group.name] = Quantised(whole_DN.t(), layout.kept_in(group, self._kept))

    def _make_room(self, key: str, group: layout.Group | None) -> None:
        if group is None:
            # Counters of norm layers stay integers.
            empty = self._wanted[key]
            dtype = self._dtype if empty.is_floating_point() else empty.dtype
            self.state[key] = torch.empty(empty.shape, dtype=dtype, device=self._device)
            return
        weights = layout.room(group.n_outputs, group.n_inputs, dtype=self._dtype, device=self._device)
        self.state |= dict(zip(group.weights, weights, strict=True))


def _blocks(stored: Mapping[str, StoredTensor]) -> Iterator[tuple[str, slice, Tensor]]:
    """Every tensor's name, rows and block of rows, file by file and in each file's order."""
    in_order = sorted(stored.items(), key=lambda item: (item[1].path, item[1].start))
    path, file = None, None
    for name, one in in_order:
        if one.path != path or file is None:
            path, file = one.path, MappedFile(one.path)
        for rows, block in file.blocks(one):
            yield name, rows, block
