"""Evidence read once: a session's last seconds as keys and values, from which every window is laid out.

    [ trunk | pages of evidence, in any order ]  ──turn, gather──►  [ trunk | evidence of one window | branches ]

A chunk of evidence sees the trunk and itself only. So it is read when it arrives, into pages that the oldest chunk gave
back, and costs the same in minute 60 as in minute 1. When it is read no window is known yet: it then stands
`READ_AT_S` after the trunk, always, so that what it becomes depends on nothing but the trunk and itself.

Where a token stands *for a branch* is relative to the window (trunk, then 25 positions a second from the window's
start; a frame's rows and columns from there too: `sequence.py`). Rotary attention looks only at the difference of two
positions, and turning a key by p and then by q turns it by p + q. So a key that was read at p is turned by the rest,
p' − p on each of the three axes, and is exactly the key at p'. Positions are those of the window, which is why they
never run out and need no rebasing: nothing in the ring knows how late it is.

Laying a window out copies its keys and values once (a gather; about 1 ms for eight seconds of nano). All its branches
then share them: both modalities, the face, the voice, and the chain. And what they share is theirs: the ring may wrap
around while a chain is still being written.

`tests/reason/test_kv_ring.py` binds it to a fresh build, in any order of pages, and to the plain modules.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from realtime.model.fused import FusedLanguageModel, KVCache
from realtime.reason.sequence import Chunk

PAGE_TOKENS = 16
KEPT_S = 10
"Seconds of the densest evidence that find room: a window of 8 s and what was said just before it."
BESIDE_PER_S = 96
"Tokens a second beside those of the picture: 25 of sound, cues, markers."


@dataclass(frozen=True)
class RingChunk:
    """One chunk in the ring."""

    slots_N: Tensor
    positions_3N: Tensor
    "Where its tokens stood when they were read."
    moves_3N: Tensor
    "1 on the axes on which they go with the chunk's time."
    modality: str
    pages: tuple[int, ...]

    def last_position(self, shift: int) -> int:
        return int((self.positions_3N + shift * self.moves_3N).max())


@dataclass(frozen=True)
class PlacedChunk:
    """A chunk of the ring, and how much later than where it was read it stands in a window, in positions."""

    number: int
    shift: int


class KVCacheRing:
    """One session's evidence under one trunk. Called from the model's thread only."""

    def __init__(self, language: FusedLanguageModel, prefix_x_ND: Tensor, *, n_tokens: int) -> None:
        """`n_tokens`: room for evidence, rounded up to pages."""
        self._language = language
        config, dtype, device = language.config, prefix_x_ND.dtype, prefix_x_ND.device
        self.n_pages = n_pages = -(-n_tokens // PAGE_TOKENS)
        self._kept = KVCache(config, n_pages * PAGE_TOKENS, dtype=dtype, device=device)
        self._free = list(range(n_pages))
        self._held: OrderedDict[int, RingChunk] = OrderedDict()
        self.n_prefix = prefix_x_ND.shape[0]
        # The trunk, and after it whichever chunk is being read.
        self._scratch = KVCache(config, self.n_prefix + n_pages * PAGE_TOKENS, dtype=dtype, device=device)
        language.extend(prefix_x_ND, *language.text_rotary(0, self.n_prefix), self._scratch)
        self.n_appended = 0
        self.n_evicted = 0

    def __contains__(self, number: int) -> bool:
        return number in self._held

    @property
    def n_chunks(self) -> int:
        return len(self._held)

    @property
    def n_bytes(self) -> int:
        """Of keys and values, fixed from the beginning."""
        return sum(cache.keys_LHSD.nbytes + cache.values_LHSD.nbytes for cache in (self._kept, self._scratch))

    def held(self, number: int) -> RingChunk | None:
        return self._held.get(number)

    def touch(self, number: int) -> bool:
        """Count it as the newest, so that it is the last to make room; whether it is here."""
        if number in self._held:
            self._held.move_to_end(number)
        return number in self._held

    @torch.inference_mode()
    def append(self, number: int, chunk: Chunk, *, n_known: int = 0) -> None:
        """Prefill a chunk; the oldest make room, and one too large is not kept.

        Of a chunk that is here already, a beginning of the same, `n_known` tokens are not read again: speech that is
        still going on.
        """
        before = self._held.get(number) if n_known else None
        if before is None:
            n_known = 0
        else:
            known, slots = slice(self.n_prefix, self.n_prefix + n_known), before.slots_N[:n_known]
            self._scratch.keys_LHSD[:, :, known] = self._kept.keys_LHSD.index_select(2, slots)
            self._scratch.values_LHSD[:, :, known] = self._kept.values_LHSD.index_select(2, slots)
        self._scratch.n_used = self.n_prefix + n_known
        self.forget(number)
        n_pages = -(-chunk.n_tokens // PAGE_TOKENS)
        if n_pages > self.n_pages:
            return
        cos, sin = self._language.rotary(chunk.positions_3N[:, n_known:].to(chunk.x_ND.device))
        self._language.extend(chunk.x_ND[n_known:], cos, sin, self._scratch, keys_only=True)
        self._keep(number, chunk, n_pages)

    def forget(self, number: int) -> None:
        held = self._held.pop(number, None)
        if held is not None:
            self._free += held.pages

    @torch.inference_mode()
    def copy_window(self, places: Sequence[PlacedChunk], into: KVCache) -> None:
        """Trunk and the given chunks, in this order, as the beginning of `into`."""
        held = [self._held[place.number] for place in places]
        n_prefix = self.n_prefix
        into.keys_LHSD[:, :, :n_prefix] = self._scratch.keys_LHSD[:, :, :n_prefix]
        into.values_LHSD[:, :, :n_prefix] = self._scratch.values_LHSD[:, :, :n_prefix]
        into.n_used = n_prefix
        if not held:
            return
        slots = torch.cat([chunk.slots_N for chunk in held])
        by = torch.cat([place.shift * chunk.moves_3N for place, chunk in zip(places, held, strict=True)], 1)
        cos, sin = self._language.rotary(by.to(slots.device))
        end = n_prefix + slots.shape[0]
        keys = self._kept.keys_LHSD.index_select(2, slots)
        into.keys_LHSD[:, :, n_prefix:end] = self._language.rotate(keys, cos, sin)
        into.values_LHSD[:, :, n_prefix:end] = self._kept.values_LHSD.index_select(2, slots)
        into.n_used = end

    def _keep(self, number: int, chunk: Chunk, n_pages: int) -> None:
        """Copy what was just read from behind the trunk into free pages."""
        while len(self._free) < n_pages:
            _, oldest = self._held.popitem(last=False)
            self._free += oldest.pages
            self.n_evicted += 1
        pages = tuple(self._free.pop() for _ in range(n_pages))
        starts = torch.tensor(pages)[:, None] * PAGE_TOKENS
        slots = (starts + torch.arange(PAGE_TOKENS)).flatten()[: chunk.n_tokens].to(chunk.x_ND.device)
        read = slice(self.n_prefix, self.n_prefix + chunk.n_tokens)
        self._kept.keys_LHSD.index_copy_(2, slots, self._scratch.keys_LHSD[:, :, read])
        self._kept.values_LHSD.index_copy_(2, slots, self._scratch.values_LHSD[:, :, read])
        self._held[number] = RingChunk(slots, chunk.positions_3N, chunk.moves_3N, chunk.modality, pages)
        self.n_appended += 1
