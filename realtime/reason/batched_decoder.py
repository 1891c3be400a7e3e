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

from realtime.model.fused import TEXT_POSITIONS, FusedLanguageModel, KVCache
from realtime.model.static_step import StaticSteps, static_steps

logger = logging.getLogger(__name__)

MAX_ROWS = 8
GROW_AFTER = 256
"Passes with fewer rows than were wanted, after which twice as many are tried again."


class DecodeSlot:
    """One chain's place: its cache, and the token it has put."""

    def __init__(self, decoder: BatchedDecoder, cache: KVCache, *, next_position: int, lane: int | None = None) -> None:
        self._decoder = decoder
        self.cache = cache
        self.lane = lane
        self.next_position = next_position
        self._pending: int | None = None
        self._next_token: int | None = None

    def append(self, token: int) -> None:
        """Append it, at the latest when `follows` is asked."""
        self.next_token()
        self._pending, self._next_token = token, None
        self._decoder.pending.append(self)

    def prefill(self, ids: Sequence[int]) -> None:
        """Append several tokens now, in a pass of their own."""
        if self._pending is not None:
            self.next_token()
        self.set_next(int(self._decoder.logits(self, ids).argmax()))

    def set_next(self, next_token: int) -> None:
        self._pending, self._next_token = None, next_token

    def next_token(self) -> int | None:
        """The best next token; None before anything was appended."""
        if self._pending is not None:
            self._decoder.step_with(self)
        return self._next_token

    @property
    def token(self) -> int:
        assert self._pending is not None
        return self._pending

    def close(self) -> None:
        """The chain is over or was given up."""
        self._pending = None
        self._decoder.release(self)


class BatchedDecoder:
    """Shared by the chains of one model; called from the model worker's thread only."""

    def __init__(
        self, language: FusedLanguageModel, *, make_steps: Callable[[], StaticSteps | None] | None = None
    ) -> None:
        """`make_steps`: lanes in which steps are static, made with the first chain; by default on a CUDA device."""
        self._language = language
        on_card = language.embeddings_VD.device.type == "cuda"
        self._make_steps = make_steps or ((lambda: static_steps(language)) if on_card else None)
        self._steps: StaticSteps | None = None
        self._free: list[int] = []
        self.pending: list[DecodeSlot] = []
        self.max_rows = MAX_ROWS
        self._n_narrow = 0

    def open_slot(
        self, cache: KVCache, *, next_position: int, next_token: int | None = None, n_more: int = 0
    ) -> DecodeSlot:
        """A place for a chain that goes on from `cache` by up to `n_more` tokens; `leave` it."""
        if self._make_steps is not None:
            self._steps, self._make_steps = self._make_steps(), None
            self._free = list(range(self._steps.n_lanes)) if self._steps else []
        lane = None
        if self._steps and self._free and cache.n_used + n_more <= self._steps.n_slots:
            # The lowest, so that the highest in use stays low.
            lane = min(self._free)
            self._free.remove(lane)
            self._steps.take_over(lane, cache)
            cache = self._steps.caches[lane]
        slot = DecodeSlot(self, cache, next_position=next_position, lane=lane)
        if next_token is not None:
            slot.set_next(next_token)
        return slot

    def release(self, slot: DecodeSlot) -> None:
        if slot in self.pending:
            self.pending.remove(slot)
        if slot.lane is not None:
            self._free.append(slot.lane)
            slot.lane = None

    @torch.inference_mode()
    def logits(self, slot: DecodeSlot, ids: Sequence[int]) -> Tensor:
        """(V,) of what follows these tokens, read in one pass."""
        x = self._language.embed(ids)
        hidden = self._language.extend(x, *self._language.text_rotary(slot.next_position, len(ids)), slot.cache)
        slot.next_position += len(ids)
        return self._language.logits(hidden[-1:])[0]

    @torch.inference_mode()
    def step_with(self, slot: DecodeSlot) -> None:
        """Decode the token of this slot, and with it those of others that wait."""
        static = self._static(slot)
        alike = [other for other in self.pending if other is not slot and self._static(other) == static]
        while True:
            rows = [slot, *alike][: self.max_rows]
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
        self.pending = [other for other in self.pending if other not in rows]
        self._n_narrow += self.max_rows < MAX_ROWS
        if self._n_narrow >= GROW_AFTER:
            self.max_rows, self._n_narrow = min(MAX_ROWS, 2 * self.max_rows), 0

    @staticmethod
    def _static(slot: DecodeSlot) -> bool:
        return slot.lane is not None and slot.next_position < TEXT_POSITIONS

    def _read(self, rows: Sequence[DecodeSlot], *, static: bool) -> None:
        tokens, positions = [row.token for row in rows], [row.next_position for row in rows]
        if static:
            assert self._steps is not None
            best = self._steps.run([row.lane for row in rows if row.lane is not None], tokens, positions)
        elif len(rows) == 1:
            x = self._language.embed(tokens)
            hidden = self._language.extend(x, *self._language.text_rotary(positions[0], 1), rows[0].cache)
            best = [int(self._language.logits(hidden)[0].argmax())]
        else:
            cos, sin = self._language.text_rotary_at(positions)
            hidden = self._language.decode_step(self._language.embed(tokens), cos, sin, [row.cache for row in rows])
            best = self._language.logits(hidden).argmax(-1).tolist()
        for row, next_token in zip(rows, best, strict=True):
            row.next_position += 1
            row.set_next(next_token)
