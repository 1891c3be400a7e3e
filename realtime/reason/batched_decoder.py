"""The batched decoder: chains of all sessions decode their next tokens in one forward pass.

Each chain appends a token to its decode slot and the worker goes on to the next chain. The first chain that needs its
next token runs the forward pass for all pending tokens, so that the weights are read once. A chain that decodes alone
runs the pass for one row.

    chain 1 ─append─┐                             ┌─ next_token ─► append …
    chain 2 ─append─┤  next_token? ─► forward ────┼─ next_token ─► append …
    chain 3 ─append─┘                 pass        └─ next_token ─► append …

A chain that decodes alone may have tokens guessed for it (`phrases.py`): these are read in the same pass as its pending
one, and those that the model would have chosen stay in its KV cache, ahead of what was appended. `append` of such a
token needs no pass; of another one, what lies ahead is dropped.

When the device has no memory for so many rows, the pass is repeated with half as many. That limit stays for
`GROW_AFTER` passes and is then doubled.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence

import torch

from realtime.model.fused import TEXT_POSITIONS, FusedLanguageModel, KVCache
from realtime.model.products import FEW_ROWS
from realtime.model.static_step import StaticSteps, static_steps
from realtime.reason.phrases import LOOKED_AT, Phrases

logger = logging.getLogger(__name__)

MAX_ROWS = 8
GUESSED = 3
"""Most tokens that are guessed for a pass. With int8 weights a CPU without AVX-512 takes 1.5 times as long for four
rows as for one, and 2.2 times as long for eight (`rows_ms` of `realtime.bench.steps`)."""
GROW_AFTER = 256
"Number of passes under a lowered row limit after which the limit is doubled."


class DecodeSlot:
    """One chain in the batched decoder: its KV cache, its next position and its pending token."""

    def __init__(
        self,
        decoder: BatchedDecoder,
        cache: KVCache,
        *,
        next_position: int,
        lane: int | None = None,
        draw: int | None = None,
    ) -> None:
        self._decoder = decoder
        self.cache = cache
        self.lane = lane
        self.draw = draw
        "The seed of a chain whose tokens are sampled."
        self.next_position = next_position
        self._pending: int | None = None
        self._next_token: int | None = None
        self._ahead: deque[tuple[int, int]] = deque()
        "Tokens that the KV cache holds and that were not appended yet, each with the best one after it."
        self.last: deque[int] = deque(maxlen=LOOKED_AT)
        "The last tokens that were appended."

    def append(self, token: int) -> None:
        """Append a token. It is decoded when a chain next needs a token, at the latest in this one's `next_token`."""
        self.next_token()
        self.last.append(token)
        if self._ahead and self._ahead[0][0] == token:
            self.next_position += 1
            self._next_token = self._ahead.popleft()[1]
            return
        self._drop_ahead()
        self._pending, self._next_token = token, None
        self._decoder.pending.append(self)

    def prefill(self, ids: Sequence[int]) -> None:
        """Append several given tokens now, in a forward pass of their own."""
        if self._pending is not None:
            self.next_token()
        self._drop_ahead()
        self.last.extend(ids)
        self.set_next(self._decoder.best_after(self, ids))

    def set_next(self, next_token: int) -> None:
        """Store the best token after those in the KV cache."""
        self._pending, self._next_token = None, next_token

    def keep_ahead(self, tokens: Sequence[int], best: Sequence[int]) -> None:
        """Note tokens that the KV cache holds after the appended ones, and the best token after each."""
        self._ahead.extend(zip(tokens, best, strict=True))

    def _drop_ahead(self) -> None:
        self.cache.n_used -= len(self._ahead)
        self._ahead.clear()

    def next_token(self) -> int | None:
        """The best next token, or None before anything was appended. Decodes the pending token if there is one."""
        if self._pending is not None:
            self._decoder.step_with(self)
        return self._next_token

    def likeliest_of(self, tokens: Sequence[int]) -> int:
        """The likeliest of these tokens as the next one. Among several, the last token is read once more."""
        self.next_token()
        self._drop_ahead()
        likeliest = tokens[0] if len(tokens) == 1 else self._decoder.best_of(self, tokens)
        self.set_next(likeliest)
        return likeliest

    def seeds(self, n: int = 1) -> list[int | None]:
        """Seeds for the tokens after the next `n` positions, None where they are not sampled.

        They are those of the positions, so that a chain has the same words however many tokens a pass reads.
        """
        first = self.next_position
        return [None if self.draw is None else self.draw * TEXT_POSITIONS + at for at in range(first, first + n)]

    @property
    def token(self) -> int:
        """The pending token, which the next forward pass decodes."""
        assert self._pending is not None
        return self._pending

    def close(self) -> None:
        """Free the slot: the chain has ended or was abandoned."""
        self._pending = None
        self._drop_ahead()
        self._decoder.release(self)


class BatchedDecoder:
    """Decodes the chains of one model. Only the model worker's thread may call it."""

    def __init__(
        self,
        language: FusedLanguageModel,
        *,
        phrases: Phrases | None = None,
        make_steps: Callable[[], StaticSteps | None] | None = None,
    ) -> None:
        """`make_steps` makes the lanes of static steps when the first chain opens; by default on a CUDA device only.

        `phrases` guesses the next tokens of a chain that decodes alone.
        """
        self._language = language
        self._phrases = phrases
        self.n_passes = 0
        "Passes for pending tokens."
        on_gpu = language.embeddings_VD.device.type == "cuda"
        self._make_steps = make_steps or ((lambda: static_steps(language)) if on_gpu else None)
        self._steps: StaticSteps | None = None
        self._free: list[int] = []
        self.pending: list[DecodeSlot] = []
        self.max_rows = MAX_ROWS
        self._n_narrow = 0

    @property
    def guesses(self) -> bool:
        """Whether it guesses tokens of a chain that decodes alone."""
        return self._phrases is not None

    def open_slot(
        self,
        cache: KVCache,
        *,
        next_position: int,
        next_token: int | None = None,
        n_more: int = 0,
        draw: int | None = None,
    ) -> DecodeSlot:
        """A slot for a chain that continues `cache` by up to `n_more` tokens. The caller closes it.

        `next_token` is the chain's first token where it is known already. With `draw`, a seed, its tokens are sampled.
        """
        if self._make_steps is not None:
            self._steps, self._make_steps = self._make_steps(), None
            self._free = list(range(self._steps.n_lanes)) if self._steps else []
        lane = None
        if self._steps and self._free and draw is None and cache.n_used + n_more <= self._steps.n_slots:
            # The lowest free lane: the size of a static step depends on the highest lane in use.
            lane = min(self._free)
            self._free.remove(lane)
            self._steps.take_over(lane, cache)
            cache = self._steps.caches[lane]
        slot = DecodeSlot(self, cache, next_position=next_position, lane=lane, draw=draw)
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
        slot.next_position += len(ids) - 1
        best = int(self._language.best(hidden[-1:], slot.seeds())[0])
        slot.next_position += 1
        return best

    @torch.inference_mode()
    def best_of(self, slot: DecodeSlot, tokens: Sequence[int]) -> int:
        """The best of these tokens after those in the slot's KV cache, whose last one is read again."""
        slot.cache.n_used -= 1
        rotary = self._language.text_rotary(slot.next_position - 1, 1)
        hidden = self._language.extend(self._language.embed([slot.last[-1]]), *rotary, slot.cache, narrow=True)
        logits_V = self._language.logits(hidden)[0]
        return max(tokens, key=lambda token: float(logits_V[token]))

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
            best = [self._with_guesses(rows[0])]
        else:
            cos, sin = self._language.text_rotary_at(positions)
            hidden = self._language.decode_step(self._language.embed(tokens), cos, sin, [row.cache for row in rows])
            best = self._language.best(hidden, [seed for row in rows for seed in row.seeds()]).tolist()
        self.n_passes += 1
        for row, next_token in zip(rows, best, strict=True):
            row.next_position += 1
            row.set_next(next_token)

    def _with_guesses(self, slot: DecodeSlot) -> int:
        """Read the pending token and what is guessed to follow it; returns the best token after the pending one."""
        cache = slot.cache
        room = min(GUESSED, cache.n_slots - cache.n_used - 1)
        guessed = self._phrases.after(slot.last, room) if self._phrases is not None else []
        ids, n_before = [slot.token, *guessed], cache.n_used
        rotary = self._language.text_rotary(slot.next_position, len(ids))
        hidden = self._language.extend(self._language.embed(ids), *rotary, cache, narrow=True)
        best: list[int] = self._language.best(hidden, slot.seeds(len(ids))).tolist()
        n_kept = next((at for at, token in enumerate(guessed) if token != best[at]), len(guessed))
        cache.n_used = n_before + 1 + n_kept
        slot.keep_ahead(guessed[:n_kept], best[1 : n_kept + 1])
        return best[0]
