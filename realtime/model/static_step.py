"""A decoding step in which nothing depends on the data: on an NVIDIA card it is captured once and replayed.

A step of a 3B model reads 6 GB and launches 700 kernels; launched from Python one by one these take longer than the
reading. Here token, slot and position are tensors, keys are written by index, and attention runs over all slots under a
mask. So one CUDA graph serves every token of every chain that is lent this memory.

On a CPU the same function runs as it is, and `tests/model/test_static_step.py` binds it to `FusedLanguageModel.read`.
The capture itself has not been run: no machine at hand has a GPU.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from realtime.model.fused import TEXT_POSITIONS, FusedLanguageModel, Memory

N_SLOTS = 2560
"Of a lent memory: eight seconds of 448² frames with their chain."
MAX_LENT = 8
"Chains that decode by graph at the same time; more decode step by step."


class StaticStep:
    """One memory and its step. Lent to one chain at a time."""

    def __init__(self, reader: FusedLanguageModel, embeddings_VD: Tensor, n_slots: int = N_SLOTS) -> None:
        device = embeddings_VD.device
        self._reader = reader
        self._embeddings_VD = embeddings_VD
        self.memory = Memory(reader.config, n_slots, dtype=embeddings_VD.dtype, device=device)
        # Masked slots are multiplied by 0, and what an empty buffer holds may be NaN.
        self.memory.keys_LHSD.zero_()
        self.memory.values_LHSD.zero_()
        self._all_slots_S = torch.arange(n_slots, device=device)
        self._token_1, self._slot_1, self._position_1 = (
            torch.zeros(1, dtype=torch.long, device=device) for _ in range(3)
        )
        self._logits_V = torch.zeros(reader.vocab_size, dtype=embeddings_VD.dtype, device=device)
        self._graph: torch.cuda.CUDAGraph | None = None
        if device.type == "cuda":
            self._capture()

    def take_over(self, memory: Memory) -> None:
        """Begin with what another memory holds."""
        n = memory.n_used
        self.memory.keys_LHSD[:, :, :n] = memory.keys_LHSD[:, :, :n]
        self.memory.values_LHSD[:, :, :n] = memory.values_LHSD[:, :, :n]
        self.memory.n_used = n

    def run(self, token: int, position: int) -> Tensor:
        """Append one text token; returns the logits (V,) of what follows. They hold until the next call."""
        assert self.memory.n_used < self.memory.n_slots
        assert position < TEXT_POSITIONS
        self._token_1.fill_(token)
        self._slot_1.fill_(self.memory.n_used)
        self._position_1.fill_(position)
        if self._graph is None:
            self._step()
        else:
            self._graph.replay()
        self.memory.n_used += 1
        return self._logits_V

    def _step(self) -> None:
        x = F.embedding(self._token_1, self._embeddings_VD)
        cos, sin = self._reader.text_tables
        mask_1S = (self._all_slots_S <= self._slot_1)[None]
        hidden = self._reader.step_at(
            x,
            cos.index_select(0, self._position_1),
            sin.index_select(0, self._position_1),
            self.memory,
            self._slot_1,
            mask_1S,
        )
        self._logits_V.copy_(self._reader.logits(hidden)[0])

    def _capture(self) -> None:
        # Kernels are chosen and workspaces made before the capture, on a stream of their own (torch.cuda.graph's docs).
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                self._step()
        torch.cuda.current_stream().wait_stream(side)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._step()


class StepPool:
    """Static steps, made when they are first needed and lent to chains."""

    def __init__(self, reader: FusedLanguageModel, embeddings_VD: Tensor, *, n_slots: int = N_SLOTS) -> None:
        self._reader = reader
        self._embeddings_VD = embeddings_VD
        self._n_slots = n_slots
        self._free: list[StaticStep] = []
        self._n_made = 0

    def borrow(self, memory: Memory, n_more: int) -> StaticStep | None:
        """A step that has taken over `memory` and has room for `n_more` tokens; None where it does not fit, all are
        lent, or the card has no room for another."""
        if memory.n_used + n_more > self._n_slots or (not self._free and self._n_made >= MAX_LENT):
            return None
        if not self._free:
            try:
                self._free.append(StaticStep(self._reader, self._embeddings_VD, self._n_slots))
            except torch.OutOfMemoryError:
                return None
            self._n_made += 1
        step = self._free.pop()
        step.take_over(memory)
        return step

    def give_back(self, step: StaticStep) -> None:
        self._free.append(step)
