"""A decoding step in which nothing depends on the data: on an NVIDIA card it is captured once and replayed.

A step of a 3B model reads 6 GB and launches 700 kernels; launched from Python one by one these take longer than the
reading. Here token, slot and position are tensors, keys are written by index, attention runs over all slots under a
mask, and the best next token is chosen inside. So one CUDA graph serves every token of the chains in its lanes, and
chains that step together read the weights once. There is a graph for each of a few sizes: the smallest that reaches
the highest lane in use is replayed.

On a CPU the same function runs as it is, and `tests/model/test_static_step.py` binds it to `FusedLanguageModel.read`.
The capture itself has not been run: no machine at hand has a GPU.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch
import torch.nn.functional as F

from realtime.model.fused import TEXT_POSITIONS, FusedLanguageModel, Memory

logger = logging.getLogger(__name__)

N_SLOTS = 2560
"Of a lane: eight seconds of 448² frames with their chain."
SIZES = (8, 4, 2, 1)
"Lanes that step together, the most that the card has room for; more chains decode one by one."


class StaticSteps:
    """So many lanes, each a memory for one chain at a time, and their step."""

    def __init__(self, reader: FusedLanguageModel, n_lanes: int, n_slots: int = N_SLOTS) -> None:
        """Raises torch.OutOfMemoryError where the device has no room for so many lanes."""
        config, (cos, _) = reader.config, reader.text_tables
        dtype, device = cos.dtype, cos.device
        self._reader = reader
        self.n_lanes = n_lanes
        self.n_slots = n_slots
        shape = (config.num_hidden_layers, n_lanes, config.num_key_value_heads, n_slots, config.head_dim)
        # Masked slots are multiplied by 0, and what an empty buffer holds may be NaN.
        self._keys_LBHSD = torch.zeros(shape, dtype=dtype, device=device)
        self._values_LBHSD = torch.zeros(shape, dtype=dtype, device=device)
        self.memories = [Memory.of(self._keys_LBHSD[:, at], self._values_LBHSD[:, at]) for at in range(n_lanes)]
        self._all_slots_S = torch.arange(n_slots, device=device)
        self._said_3B = torch.zeros(3, n_lanes, dtype=torch.long, device=device)
        "Token, slot and position of each lane."
        self._next_B = torch.zeros(n_lanes, dtype=torch.long, device=device)
        self._graphs: dict[int, torch.cuda.CUDAGraph] = {}
        if device.type == "cuda":
            for size in SIZES:
                if size <= n_lanes:
                    self._graphs[size] = self._captured(size)

    def take_over(self, lane: int, memory: Memory) -> None:
        """Begin with what another memory holds."""
        n, mine = memory.n_used, self.memories[lane]
        mine.keys_LHSD[:, :, :n] = memory.keys_LHSD[:, :, :n]
        mine.values_LHSD[:, :, :n] = memory.values_LHSD[:, :, :n]
        mine.n_used = n

    def run(self, lanes: Sequence[int], tokens: Sequence[int], positions: Sequence[int]) -> list[int]:
        """Append one text token to each of these lanes; returns the best next token of each."""
        assert all(self.memories[lane].n_used < self.n_slots for lane in lanes)
        assert max(positions) < TEXT_POSITIONS
        size = min(size for size in SIZES if size > max(lanes))
        # A lane that does not step now is written where its next token goes, or where nobody reads.
        said = [[0] * self.n_lanes, [min(memory.n_used, self.n_slots - 1) for memory in self.memories]]
        said.append([0] * self.n_lanes)
        for lane, token, position in zip(lanes, tokens, positions, strict=True):
            said[0][lane], said[2][lane] = token, position
        self._said_3B.copy_(torch.tensor(said))
        if self._graphs:
            self._graphs[size].replay()
        else:
            self._step(size)
        for lane in lanes:
            self.memories[lane].n_used += 1
        best = self._next_B.tolist()
        return [best[lane] for lane in lanes]

    def _step(self, size: int) -> None:
        token_B, slot_B, position_B = (row[:size] for row in self._said_3B)
        cos, sin = self._reader.text_tables
        hidden = self._reader.step_lanes(
            F.embedding(token_B, self._reader.embeddings_VD),
            cos.index_select(0, position_B),
            sin.index_select(0, position_B),
            self._keys_LBHSD,
            self._values_LBHSD,
            slot_B,
            self._all_slots_S <= slot_B[:, None],
        )
        self._next_B[:size] = self._reader.logits(hidden).argmax(-1)

    def _captured(self, size: int) -> torch.cuda.CUDAGraph:
        # Kernels are chosen and workspaces made before the capture, on a stream of their own (torch.cuda.graph's docs).
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                self._step(size)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._step(size)
        return graph


def static_steps(reader: FusedLanguageModel, n_slots: int = N_SLOTS) -> StaticSteps | None:
    """As many lanes as the device has room for; None where it has none for a single one."""
    for n_lanes in SIZES:
        try:
            return StaticSteps(reader, n_lanes, n_slots)
        except torch.OutOfMemoryError:
            logger.warning("the device has no room for %d chains that step together", n_lanes)
            torch.cuda.empty_cache()
    return None
