"""A decode step in which nothing depends on the data, so that a GPU captures it once as a CUDA graph and replays it.

A step of a 3B model reads 6 GB and launches 700 kernels. Launched from Python one by one, the kernels take longer than
the reading. Here token, slot and position are tensors, keys are written by index, attention runs over all slots under
a mask, and the best next token is chosen inside. So one CUDA graph serves every token of the chains in its lanes, and
the weights are read once for all of them. There is one graph for each of a few sizes. The smallest one that reaches the
highest lane in use is replayed.

The host reads tokens one step late. The next step is launched with the token that the device has just chosen, before
the host has read it. While the host turns a token into text, the device computes the next one.

    host    launch 1 | launch 2 | read 1, decode, append 1 | launch 3 | read 2 …
    device           | step 1   | step 2 with its own 1               | step 3 …

The token that the host then appends is compared with the one that the device used. If token and slot are equal, the
step counts as done. Anything else (a given tag, the end of a chain, another chain in the lane) is stepped when it is
appended; the slot written ahead is then beyond the lane's used slots, where that token is written. So a given token
never waits for a step, and the results are the same.

On a CPU the same function runs without a graph, and `tests/model/test_static_step.py` compares it, with and without the
step ahead, with `FusedLanguageModel.extend`. The capture itself has not been run: no machine at hand has a GPU.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

import torch
import torch.nn.functional as F
from torch import Tensor

from realtime.model.fused import TEXT_POSITIONS, FusedLanguageModel, KVCache

logger = logging.getLogger(__name__)

N_SLOTS = 2560
"KV-cache slots of a lane: eight seconds of 448² frames with their chain."
SIZES = (8, 4, 2, 1)
"Possible numbers of lanes. The largest that fits the GPU's memory is used; further chains decode one by one."


class LaneInput(IntEnum):
    """Which token a lane appends in a step."""

    NONE = 0
    GIVEN = 1
    CHOSEN = 2
    "The token that the lane's last step chose, which the host may not have read yet."


@dataclass(frozen=True)
class StepAhead:
    """A step that the device made with a token before the host appended it."""

    token: int
    slot: int


class TokenTransfer:
    """Copies the tokens that one launch chose to the host, without blocking."""

    def __init__(self, host_B: Tensor) -> None:
        self._host_B = host_B
        self._there = torch.cuda.Event() if host_B.is_pinned() else None  # type: ignore[no-untyped-call]

    def send(self, next_B: Tensor) -> None:
        """Begin the copy, after the launch that the stream runs now."""
        self._host_B.copy_(next_B, non_blocking=self._there is not None)
        if self._there is not None:
            self._there.record()

    def arrived(self) -> None:
        """Wait until the last copy is done."""
        if self._there is not None:
            self._there.synchronize()

    def read(self) -> list[int]:
        """Wait for the copy and return one token per lane."""
        self.arrived()
        tokens: list[int] = self._host_B.tolist()
        return tokens


class StaticSteps:
    """A number of lanes, each the KV cache of one chain at a time, and the step that they share."""

    def __init__(
        self, language: FusedLanguageModel, n_lanes: int, n_slots: int = N_SLOTS, *, ahead: bool | None = None
    ) -> None:
        """`ahead` launches the next step before the host reads this one's token; by default on a GPU only.

        Raises torch.OutOfMemoryError when the device has no memory for so many lanes.
        """
        config, (cos, _) = language.config, language.text_tables
        dtype, device = cos.dtype, cos.device
        self._language = language
        self.n_lanes = n_lanes
        self.n_slots = n_slots
        shape = (config.num_hidden_layers, n_lanes, config.num_key_value_heads, n_slots, config.head_dim)
        # Zeros, since masked slots are multiplied by 0 and an uninitialised buffer may hold NaN.
        self._keys_LBHSD = torch.zeros(shape, dtype=dtype, device=device)
        self._values_LBHSD = torch.zeros(shape, dtype=dtype, device=device)
        self.caches = [KVCache.of(self._keys_LBHSD[:, at], self._values_LBHSD[:, at]) for at in range(n_lanes)]
        self._all_slots_S = torch.arange(n_slots, device=device)
        self._inputs_4B = torch.zeros(4, n_lanes, dtype=torch.long, device=device)
        "Token, slot, position and `LaneInput` of each lane."
        self._next_B = torch.zeros(n_lanes, dtype=torch.long, device=device)
        "The token that each lane's last step chose."
        on_gpu = device.type == "cuda"
        self._runs_ahead = on_gpu if ahead is None else ahead
        self._ahead: dict[int, StepAhead] = {}
        # Two of each, used in turn: the device may still be reading or writing the other one.
        self._host_inputs = [torch.zeros(4, n_lanes, dtype=torch.long, pin_memory=on_gpu) for _ in range(2)]
        self._transfers = [TokenTransfer(torch.zeros(n_lanes, dtype=torch.long, pin_memory=on_gpu)) for _ in range(2)]
        self._n_launched = 0
        self._graphs: dict[int, torch.cuda.CUDAGraph] = {}
        if device.type == "cuda":
            for size in SIZES:
                if size <= n_lanes:
                    self._graphs[size] = self._captured(size)

    def take_over(self, lane: int, cache: KVCache) -> None:
        """Start a lane with a copy of the slots in use of another KV cache."""
        n, mine = cache.n_used, self.caches[lane]
        mine.keys_LHSD[:, :, :n] = cache.keys_LHSD[:, :, :n]
        mine.values_LHSD[:, :, :n] = cache.values_LHSD[:, :, :n]
        mine.n_used = n
        self._ahead.pop(lane, None)

    def run(self, lanes: Sequence[int], tokens: Sequence[int], positions: Sequence[int]) -> list[int]:
        """Append one text token to each of these lanes and return the best next token of each."""
        assert all(self.caches[lane].n_used < self.n_slots for lane in lanes)
        assert max(positions) < TEXT_POSITIONS
        new: dict[int, tuple[LaneInput, int, int]] = {}
        for lane, token, position in zip(lanes, tokens, positions, strict=True):
            if self._ahead.pop(lane, None) == StepAhead(token, self.caches[lane].n_used):
                # This step is done already. Its slot counts as used from here on.
                self.caches[lane].n_used += 1
            else:
                new[lane] = (LaneInput.GIVEN, token, position)
        if new:
            self._launch(new)
        for lane in new:
            self.caches[lane].n_used += 1
        transfer = self._transfers[self._n_launched % 2]
        going_on = {}
        if self._runs_ahead:
            going_on = {
                lane: (LaneInput.CHOSEN, 0, position + 1)
                for lane, position in zip(lanes, positions, strict=True)
                # The last slot stays free: a lane that does not step writes there while others step.
                if self.caches[lane].n_used + 1 < self.n_slots and position + 1 < TEXT_POSITIONS
            }
        if going_on:
            self._launch(going_on)
        best = transfer.read()
        for lane in going_on:
            self._ahead[lane] = StepAhead(best[lane], self.caches[lane].n_used)
        return [best[lane] for lane in lanes]

    def _launch(self, steps: Mapping[int, tuple[LaneInput, int, int]]) -> None:
        """Launch a step of these lanes, each with its token and position, and the copy of the chosen tokens."""
        size = min(size for size in SIZES if size > max(steps))
        self._n_launched += 1
        host_4B, transfer = self._host_inputs[self._n_launched % 2], self._transfers[self._n_launched % 2]
        # A lane that does not step now is written at its next token's slot, or at the last slot, which is not read.
        inputs = [[0] * self.n_lanes for _ in range(4)]
        inputs[1] = [
            min(cache.n_used + (lane in self._ahead), self.n_slots - 1) for lane, cache in enumerate(self.caches)
        ]
        for lane, (kind, token, position) in steps.items():
            inputs[0][lane], inputs[2][lane], inputs[3][lane] = token, position, kind
        # The launch before the last used the same buffers. Usually the host has read its tokens already.
        transfer.arrived()
        host_4B.copy_(torch.tensor(inputs))
        self._inputs_4B.copy_(host_4B, non_blocking=True)
        if self._graphs:
            self._graphs[size].replay()
        else:
            self._step(size)
        transfer.send(self._next_B)

    def _step(self, size: int) -> None:
        token_B, slot_B, position_B, kind_B = (row[:size] for row in self._inputs_4B)
        chosen_B = self._next_B[:size]
        token_B = torch.where(kind_B == LaneInput.CHOSEN, chosen_B, token_B)
        cos, sin = self._language.text_tables
        hidden = self._language.decode_lanes(
            F.embedding(token_B, self._language.embeddings_VD),
            cos.index_select(0, position_B),
            sin.index_select(0, position_B),
            self._keys_LBHSD,
            self._values_LBHSD,
            slot_B,
            self._all_slots_S <= slot_B[:, None],
        )
        best_B = self._language.logits(hidden).argmax(-1)
        chosen_B.copy_(torch.where(kind_B == LaneInput.NONE, chosen_B, best_B))

    def _captured(self, size: int) -> torch.cuda.CUDAGraph:
        # Kernels are chosen and workspaces allocated before the capture, on a side stream (torch.cuda.graph's docs).
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


def static_steps(language: FusedLanguageModel, n_slots: int = N_SLOTS) -> StaticSteps | None:
    """Static steps with as many lanes as fit the device's memory, or None where not even one fits."""
    for n_lanes in SIZES:
        try:
            return StaticSteps(language, n_lanes, n_slots)
        except torch.OutOfMemoryError:
            logger.warning("the device has no room for %d chains that step together", n_lanes)
            torch.cuda.empty_cache()
    return None
