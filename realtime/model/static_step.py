"""A decoding step in which nothing depends on the data: on an NVIDIA card it is captured once and replayed.

A step of a 3B model reads 6 GB and launches 700 kernels; launched from Python one by one these take longer than the
reading. Here token, slot and position are tensors, keys are written by index, attention runs over all slots under a
mask, and the best next token is chosen inside. So one CUDA graph serves every token of the chains in its lanes, and
chains that step together read the weights once. There is a graph for each of a few sizes: the smallest that reaches
the highest lane in use is replayed.

Tokens are read one step late. The next step is launched with the token that the device has just chosen, before the
host has read which that is; while the host makes text of it, the device is a token further.

    host    launch 1 | launch 2 | read 1, decode, put 1 | launch 3 | read 2 …
    device           | step 1   | step 2 with its own 1            | step 3 …

What the host then puts is compared: the same token at the same place is taken as done. Anything else, a tag that is
given, an end, another chain in the lane, is stepped as it is put, and what was written ahead lies behind what the lane
holds, where the next token goes. So nothing that is given ever waits for a step, and what is read is the same.

On a CPU the same function runs as it is, and `tests/model/test_static_step.py` binds it, ahead or not, to
`FusedLanguageModel.extend`. The capture itself has not been run: no machine at hand has a GPU.
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
"Of a lane: eight seconds of 448² frames with their chain."
SIZES = (8, 4, 2, 1)
"Lanes that step together, the most that the card has room for; more chains decode one by one."


class LaneInput(IntEnum):
    """What a lane appends in a step."""

    NONE = 0
    GIVEN = 1
    CHOSEN = 2
    "What the lane's last step chose, wherever that is known by now."


@dataclass(frozen=True)
class StepAhead:
    """A step that was made with a token before the host had put it."""

    token: int
    slot: int


class TokenTransfer:
    """The tokens of one launch on their way to the host."""

    def __init__(self, host_B: Tensor) -> None:
        self._host_B = host_B
        self._there = torch.cuda.Event() if host_B.is_pinned() else None  # type: ignore[no-untyped-call]

    def send(self, next_B: Tensor) -> None:
        self._host_B.copy_(next_B, non_blocking=self._there is not None)
        if self._there is not None:
            self._there.record()

    def arrived(self) -> None:
        """Returns when the launch it was last sent by is over."""
        if self._there is not None:
            self._there.synchronize()

    def read(self) -> list[int]:
        self.arrived()
        tokens: list[int] = self._host_B.tolist()
        return tokens


class StaticSteps:
    """So many lanes, each a cache for one chain at a time, and their step."""

    def __init__(
        self, language: FusedLanguageModel, n_lanes: int, n_slots: int = N_SLOTS, *, ahead: bool | None = None
    ) -> None:
        """`ahead`: launch the step after next before a token is read; by default where the device runs by itself.

        Raises torch.OutOfMemoryError where the device has no room for so many lanes.
        """
        config, (cos, _) = language.config, language.text_tables
        dtype, device = cos.dtype, cos.device
        self._language = language
        self.n_lanes = n_lanes
        self.n_slots = n_slots
        shape = (config.num_hidden_layers, n_lanes, config.num_key_value_heads, n_slots, config.head_dim)
        # Masked slots are multiplied by 0, and what an empty buffer holds may be NaN.
        self._keys_LBHSD = torch.zeros(shape, dtype=dtype, device=device)
        self._values_LBHSD = torch.zeros(shape, dtype=dtype, device=device)
        self.caches = [KVCache.of(self._keys_LBHSD[:, at], self._values_LBHSD[:, at]) for at in range(n_lanes)]
        self._all_slots_S = torch.arange(n_slots, device=device)
        self._said_4B = torch.zeros(4, n_lanes, dtype=torch.long, device=device)
        "Token, slot, position and `LaneInput` of each lane."
        self._next_B = torch.zeros(n_lanes, dtype=torch.long, device=device)
        "What each lane's last step chose."
        on_card = device.type == "cuda"
        self._runs_ahead = on_card if ahead is None else ahead
        self._ahead: dict[int, StepAhead] = {}
        # Two of each: what the device may still be reading or writing is not touched.
        self._saying = [torch.zeros(4, n_lanes, dtype=torch.long, pin_memory=on_card) for _ in range(2)]
        self._told = [TokenTransfer(torch.zeros(n_lanes, dtype=torch.long, pin_memory=on_card)) for _ in range(2)]
        self._n_launched = 0
        self._graphs: dict[int, torch.cuda.CUDAGraph] = {}
        if device.type == "cuda":
            for size in SIZES:
                if size <= n_lanes:
                    self._graphs[size] = self._captured(size)

    def take_over(self, lane: int, cache: KVCache) -> None:
        """Begin with what another cache holds."""
        n, mine = cache.n_used, self.caches[lane]
        mine.keys_LHSD[:, :, :n] = cache.keys_LHSD[:, :, :n]
        mine.values_LHSD[:, :, :n] = cache.values_LHSD[:, :, :n]
        mine.n_used = n
        self._ahead.pop(lane, None)

    def run(self, lanes: Sequence[int], tokens: Sequence[int], positions: Sequence[int]) -> list[int]:
        """Append one text token to each of these lanes; returns the best next token of each."""
        assert all(self.caches[lane].n_used < self.n_slots for lane in lanes)
        assert max(positions) < TEXT_POSITIONS
        new: dict[int, tuple[LaneInput, int, int]] = {}
        for lane, token, position in zip(lanes, tokens, positions, strict=True):
            if self._ahead.pop(lane, None) == StepAhead(token, self.caches[lane].n_used):
                # Done already. It counts from here on, so that the launch below leaves it alone.
                self.caches[lane].n_used += 1
            else:
                new[lane] = (LaneInput.GIVEN, token, position)
        if new:
            self._launch(new)
        for lane in new:
            self.caches[lane].n_used += 1
        told = self._told[self._n_launched % 2]
        going_on = {}
        if self._runs_ahead:
            going_on = {
                lane: (LaneInput.CHOSEN, 0, position + 1)
                for lane, position in zip(lanes, positions, strict=True)
                # The last slot stays free for what a lane writes while others step.
                if self.caches[lane].n_used + 1 < self.n_slots and position + 1 < TEXT_POSITIONS
            }
        if going_on:
            self._launch(going_on)
        best = told.read()
        for lane in going_on:
            self._ahead[lane] = StepAhead(best[lane], self.caches[lane].n_used)
        return [best[lane] for lane in lanes]

    def _launch(self, steps: Mapping[int, tuple[LaneInput, int, int]]) -> None:
        """A step of these lanes, each with its token and position; what they chose is on its way to the host."""
        size = min(size for size in SIZES if size > max(steps))
        self._n_launched += 1
        saying_4B, told = self._saying[self._n_launched % 2], self._told[self._n_launched % 2]
        # A lane that does not step now is written where its next token goes, or where nobody reads.
        said = [[0] * self.n_lanes for _ in range(4)]
        said[1] = [
            min(cache.n_used + (lane in self._ahead), self.n_slots - 1) for lane, cache in enumerate(self.caches)
        ]
        for lane, (kind, token, position) in steps.items():
            said[0][lane], said[2][lane], said[3][lane] = token, position, kind
        # The launch before the last used the same buffers; as a rule it was read already.
        told.arrived()
        saying_4B.copy_(torch.tensor(said))
        self._said_4B.copy_(saying_4B, non_blocking=True)
        if self._graphs:
            self._graphs[size].replay()
        else:
            self._step(size)
        told.send(self._next_B)

    def _step(self, size: int) -> None:
        token_B, slot_B, position_B, kind_B = (row[:size] for row in self._said_4B)
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


def static_steps(language: FusedLanguageModel, n_slots: int = N_SLOTS) -> StaticSteps | None:
    """As many lanes as the device has room for; None where it has none for a single one."""
    for n_lanes in SIZES:
        try:
            return StaticSteps(language, n_lanes, n_slots)
        except torch.OutOfMemoryError:
            logger.warning("the device has no room for %d chains that step together", n_lanes)
            torch.cuda.empty_cache()
    return None
