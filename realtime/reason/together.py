"""Chains' next tokens, read together: whoever first needs to know what follows has everybody's token read.

A chain puts its token and goes on to others' turns; when one of them needs the token after its own, all that was put is
read in one pass, for which the weights are read once. A chain alone is read alone, in the very pass it always was.

    chain 1 ─put─┐                    ┌─ follows ─► put …
    chain 2 ─put─┤  follows? ─► pass ─┼─ follows ─► put …
    chain 3 ─put─┘                    └─ follows ─► put …

Without room for so many rows a pass is made with half as many, and it stays at that for a while.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from realtime.model.fused import TEXT_POSITIONS, FusedLanguageModel, Memory
from realtime.model.static_step import StaticSteps, static_steps

logger = logging.getLogger(__name__)

MAX_ROWS = 8
GROW_AFTER = 256
"Passes with fewer rows than were wanted, after which twice as many are tried again."


class Seat:
    """One chain's place: its memory, and the token it has put."""

    def __init__(self, together: Together, memory: Memory, *, next_position: int, lane: int | None = None) -> None:
        self._together = together
        self.memory = memory
        self.lane = lane
        self.next_position = next_position
        self._put: int | None = None
        self._follows: int | None = None

    def put(self, token: int) -> None:
        """Append it, at the latest when `follows` is asked."""
        self.follows()
        self._put, self._follows = token, None
        self._together.waiting.append(self)

    def read(self, ids: Sequence[int]) -> None:
        """Append several tokens now, in a pass of their own."""
        if self._put is not None:
            self.follows()
        self.tell(int(self._together.logits(self, ids).argmax()))

    def tell(self, follows: int) -> None:
        self._put, self._follows = None, follows

    def follows(self) -> int | None:
        """The best next token; None before anything was appended."""
        if self._put is not None:
            self._together.pass_with(self)
        return self._follows

    @property
    def token(self) -> int:
        assert self._put is not None
        return self._put

    def leave(self) -> None:
        """The chain is over or was given up."""
        self._put = None
        self._together.left(self)


class Together:
    """Shared by the chains of one model; called from the model worker's thread only."""

    def __init__(
        self, reader: FusedLanguageModel, *, make_steps: Callable[[], StaticSteps | None] | None = None
    ) -> None:
        """`make_steps`: lanes in which steps are static, made with the first chain; by default on a CUDA device."""
        self._reader = reader
        on_card = reader.embeddings_VD.device.type == "cuda"
        self._make_steps = make_steps or ((lambda: static_steps(reader)) if on_card else None)
        self._steps: StaticSteps | None = None
        self._free: list[int] = []
        self.waiting: list[Seat] = []
        self.max_rows = MAX_ROWS
        self._n_narrow = 0

    def seat(self, memory: Memory, *, next_position: int, follows: int | None = None, n_more: int = 0) -> Seat:
        """A place for a chain that goes on from `memory` by up to `n_more` tokens; `leave` it."""
        if self._make_steps is not None:
            self._steps, self._make_steps = self._make_steps(), None
            self._free = list(range(self._steps.n_lanes)) if self._steps else []
        lane = None
        if self._steps and self._free and memory.n_used + n_more <= self._steps.n_slots:
            # The lowest, so that the highest in use stays low.
            lane = min(self._free)
            self._free.remove(lane)
            self._steps.take_over(lane, memory)
            memory = self._steps.memories[lane]
        seat = Seat(self, memory, next_position=next_position, lane=lane)
        if follows is not None:
            seat.tell(follows)
        return seat

    def left(self, seat: Seat) -> None:
        if seat in self.waiting:
            self.waiting.remove(seat)
        if seat.lane is not None:
            self._free.append(seat.lane)
            seat.lane = None

    @torch.inference_mode()
    def logits(self, seat: Seat, ids: Sequence[int]) -> Tensor:
        """(V,) of what follows these tokens, read in one pass."""
        x = self._reader.embed(ids)
        hidden = self._reader.read(x, *self._reader.text_rotary(seat.next_position, len(ids)), seat.memory)
        seat.next_position += len(ids)
        return self._reader.logits(hidden[-1:])[0]

    @torch.inference_mode()
    def pass_with(self, seat: Seat) -> None:
        """Read the token of this seat, and with it those of others that wait."""
        static = self._static(seat)
        alike = [other for other in self.waiting if other is not seat and self._static(other) == static]
        while True:
            rows = [seat, *alike][: self.max_rows]
            try:
                self._read(rows, static=static)
            except torch.OutOfMemoryError:
                if len(rows) == 1:
                    raise
                self.max_rows = max(1, len(rows) // 2)
                self._n_narrow = 0
                logger.warning("no room for a pass of %d chains; from now on %d", len(rows), self.max_rows)
                torch.cuda.empty_cache()
                continue
            break
        self.waiting = [other for other in self.waiting if other not in rows]
        self._n_narrow += self.max_rows < MAX_ROWS
        if self._n_narrow >= GROW_AFTER:
            self.max_rows, self._n_narrow = min(MAX_ROWS, 2 * self.max_rows), 0

    @staticmethod
    def _static(seat: Seat) -> bool:
        return seat.lane is not None and seat.next_position < TEXT_POSITIONS

    def _read(self, rows: Sequence[Seat], *, static: bool) -> None:
        tokens, positions = [row.token for row in rows], [row.next_position for row in rows]
        if static:
            assert self._steps is not None
            best = self._steps.run([row.lane for row in rows if row.lane is not None], tokens, positions)
        elif len(rows) == 1:
            x = self._reader.embed(tokens)
            hidden = self._reader.read(x, *self._reader.text_rotary(positions[0], 1), rows[0].memory)
            best = [int(self._reader.logits(hidden)[0].argmax())]
        else:
            cos, sin = self._reader.text_rotary_at(positions)
            hidden = self._reader.step_each(self._reader.embed(tokens), cos, sin, [row.memory for row in rows])
            best = self._reader.logits(hidden).argmax(-1).tolist()
        for row, follows in zip(rows, best, strict=True):
            row.next_position += 1
            row.tell(follows)
