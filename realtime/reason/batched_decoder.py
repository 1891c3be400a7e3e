"""The batched decoder: chains of all sessions decode their next tokens in one forward pass.

Each chain appends a token to its decode slot and the worker goes on to the next chain. The first chain that needs its
next token runs the forward pass for all pending tokens, so that the weights are read once. A chain that decodes alone
runs the pass for one row.

    chain 1 ─append─┐                             ┌─ next_token ─► append …
    chain 2 ─append─┤  next_token? ─► forward ────┼─ next_token ─► append …
    chain 3 ─append─┘                 pass        └─ next_token ─► append …

When the device has no memory for so many rows, the pass is repeated with half as many. That limit stays for
`GROW_AFTER` passes and is then doubled.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import torch

from realtime.model.fused import TEXT_POSITIONS, FusedLanguageModel, KVCache
from realtime.model.products import FEW_ROWS
from realtime.model.static_step import StaticSteps, static_steps

logger = logging.getLogger(__name__)

MAX_ROWS = 8
GROW_AFTER = 256
"Number of passes under a lowered row limit after which the limit is doubled."


class DecodeSlot:
    """One chain in the batched decoder: its KV cache, its next position and its pending token."""

    def __init__(self, decoder: BatchedDecoder, cache: KVCache, *, next_position: int, lane: int | None = None) -> None:
        self._decoder = decoder
        self.cache = cache
        self.lane = lane
        self.next_position = next_position
        self._pending: int | None = None
        self._next_token: int | None = None

    def append(self, token: int) -> None:
        """Append a token. It is decoded when a chain next needs a token, at the latest in this one's `next_token`."""
        self.next_token()
        self._pending, self._next_token = token, None
        self._decoder.pending.append(self)

    def prefill(self, ids: Sequence[int]) -> None:
        """Append several given tokens now, in a forward pass of their own."""
        if self._pending is not None:
            self.next_token()
        self.set_next(self._decoder.best_after(self, ids))

    def set_next(self, next_token: int) -> None:
        """Store the best token after those in the KV cache."""
        self._pending, self._next_token = None, next_token

    def next_token(self) -> int | None:
        """The best next token, or None before anything was appended. Decodes the pending token if there is one."""
        if self._pending is not None:
            self._decoder.step_with(self)
        return self._next_token

    @property
    def token(self) -> int:
        """The pending token, which the next forward pass decodes."""
        assert self._pending is not None
        return self._pending

    def close(self) -> None:
        """Free the slot: the chain has ended or was abandoned."""
        self._pending = None
        self._decoder.release(self)


class BatchedDecoder:
    """Decodes the chains of one model. Only the model worker's thread may call it."""

    def __init__(
        self, language: FusedLanguageModel, *, make_steps: Callable[[], StaticSteps | None] | None = None
    ) -> None:
        """`make_steps` makes the lanes of static steps when the first chain opens; by default on a CUDA device only."""
        self._language = language
        on_gpu = language.embeddings_VD.device.type == "cuda"
        self._make_steps = make_steps or ((lambda: static_steps(language)) if on_gpu else None)
        self._steps: StaticSteps | None = None
        self._free: list[int] = []
        self.pending: list[DecodeSlot] = []
        self.max_rows = MAX_ROWS
        self._n_narrow = 0

    def open_slot(
        self, cache: KVCache, *, next_position: int, next_token: int | None = None, n_more: int = 0
    ) -> DecodeSlot:
        """A slot for a chain that continues `cache` by up to `n_more` tokens. The caller closes it.

        `next_token` is the chain's first token where it is known already.
        """
        if self._make_steps is not None:
            self._steps, self._make_steps = self._make_steps(), None
            self._free = list(range(self._steps.n_lanes)) if self._steps else []
        lane = None
        if self._steps and self._free and cache.n_used + n_more <= self._steps.n_slots:
            # The lowest free lane: the size of a static step depends on the highest lane in use.
            lane = min(self._free)
            self._free.remove(lane)
            self._steps.take_over(lane, cache)
            cache = self._steps.caches[lane]
        slot = DecodeSlot(self, cache, next_position=next_position, lane=lane)
        if next_token is not None:
            slot.set_next(next_token)
        return slot

    def release(self, slot: DecodeSlot) -> None:
        """Drop the slot's pending token and free its lane."""
        if slot in self.pending:
            self.pending.remove(slot)
        if slot.lane is not None:
            self._free.append(slot.lane)
            slot.lane = None

    @torch.inference_mode()
    def best_after(self, slot: DecodeSlot, ids: Sequence[int]) -> int:
        """The best token after these, which are appended in one forward pass."""
        x = self._language.embed(ids)
        rotary = self._language.text_rotary(slot.next_position, len(ids))
        hidden = self._language.extend(x, *rotary, slot.cache, narrow=len(ids) <= FEW_ROWS)
        slot.next_position += len(ids)
        return int(self._language.best(hidden[-1:])[0])

    @torch.inference_mode()
    def step_with(self, slot: DecodeSlot) -> None:
        """Decode this slot's pending token and, in the same pass, those of other slots.

        Raises torch.OutOfMemoryError when the device has no memory for a single row.
        """
        static = self._static(slot)
        alike = [other for other in self.pending if other is not slot and self._static(other) == static]
        while True:
            rows = [slot, *alike][: self.max_rows]
            try:
                self._decode(rows, static=static)
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

    def _decode(self, rows: Sequence[DecodeSlot], *, static: bool) -> None:
        tokens, positions = [row.token for row in rows], [row.next_position for row in rows]
        if static:
            assert self._steps is not None
            best = self._steps.run([row.lane for row in rows if row.lane is not None], tokens, positions)
        elif len(rows) == 1:
            x = self._language.embed(tokens)
            hidden = self._language.extend(x, *self._language.text_rotary(positions[0], 1), rows[0].cache)
            best = [int(self._language.best(hidden)[0])]
        else:
            cos, sin = self._language.text_rotary_at(positions)
            hidden = self._language.decode_step(self._language.embed(tokens), cos, sin, [row.cache for row in rows])
            best = self._language.best(hidden).tolist()
        for row, next_token in zip(rows, best, strict=True):
            row.next_position += 1
            row.set_next(next_token)
