"""The KV-cache ring: keys and values of a session's last seconds, from which every window's KV cache is copied.

    [ prompt prefix | pages of evidence, in any order ]
        ──rotate, gather──►  [ prompt prefix | evidence of one window | branches ]

A chunk of evidence attends only to the prompt prefix and to itself. So it is prefilled once, when it arrives, into
pages that the oldest chunks gave back. That costs the same in minute 60 as in minute 1. No window is known at that
time, so a chunk is always prefilled at the same position, `READ_AT_S` after the prefix. Its keys and values then depend
on nothing but the prefix and the chunk.

A branch needs the chunk at a position relative to its window: the prefix, then 25 positions per second from the
window's start; a frame's rows and columns count from there too (`sequence.py`). Rotary attention depends only on the
difference of two positions, and rotating a key by p and then by q equals rotating it by p + q. So a key prefilled at p
is rotated by p' − p on each of the three axes, and is then exactly the key at p'. Positions are relative to the window,
so they do not grow with the session and need no rebasing.

Building a window copies its keys and values once (a gather; about 1 ms for eight seconds of nano). All its branches
share that copy: both modalities, the face, the voice, and the chain. The ring may wrap around while the chain is still
being decoded.

`tests/reason/test_kv_ring.py` compares it with a fresh ring, for any order of pages, and with the plain modules.
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
"KV-cache slots per page."
KEPT_S = 10
"Seconds of the densest evidence that fit: a window of 8 s and the speech just before it."
BESIDE_PER_S = 96
"Tokens per second in addition to those of the picture: 25 of sound, cue tokens, markers."


@dataclass(frozen=True)
class RingChunk:
    """One chunk of evidence in the ring."""

    slots_N: Tensor
    "The KV-cache slots of its tokens, in order."
    positions_3N: Tensor
    "Positions of its tokens when they were prefilled."
    moves_3N: Tensor
    "1 on the axes that move with the chunk's time, else 0."
    modality: str
    pages: tuple[int, ...]

    def last_position(self, shift: int) -> int:
        """The largest position of its tokens after shifting the chunk by `shift` positions."""
        return int((self.positions_3N + shift * self.moves_3N).max())


@dataclass(frozen=True)
class PlacedChunk:
    """A chunk of the ring in a window, `shift` positions later than where it was prefilled."""

    number: int
    shift: int


class KVCacheRing:
    """One session's evidence after one prompt prefix. Only the model's thread may call it."""

    def __init__(self, language: FusedLanguageModel, prefix_x_ND: Tensor, *, n_tokens: int) -> None:
        """`prefix_x_ND` are the embeddings of the prompt prefix. `n_tokens` of evidence fit, rounded up to pages."""
        self._language = language
        config, dtype, device = language.config, prefix_x_ND.dtype, prefix_x_ND.device
        self.n_pages = n_pages = -(-n_tokens // PAGE_TOKENS)
        self._kept = KVCache(config, n_pages * PAGE_TOKENS, dtype=dtype, device=device)
        self._free = list(range(n_pages))
        self._chunks: OrderedDict[int, RingChunk] = OrderedDict()
        self.n_prefix = prefix_x_ND.shape[0]
        # The prompt prefix, followed by the chunk that is being prefilled.
        self._scratch = KVCache(config, self.n_prefix + n_pages * PAGE_TOKENS, dtype=dtype, device=device)
        language.extend(prefix_x_ND, *language.text_rotary(0, self.n_prefix), self._scratch)
        self.n_appended = 0
        self.n_evicted = 0

    def __contains__(self, number: int) -> bool:
        return number in self._chunks

    @property
    def n_chunks(self) -> int:
        return len(self._chunks)

    @property
    def n_bytes(self) -> int:
        """Bytes of keys and values. They are allocated when the ring is made and do not grow."""
        return sum(cache.keys_LHSD.nbytes + cache.values_LHSD.nbytes for cache in (self._kept, self._scratch))

    def chunk(self, number: int) -> RingChunk | None:
        """The chunk with this number, or None where it was evicted."""
        return self._chunks.get(number)

    def touch(self, number: int) -> bool:
        """Count the chunk as the newest, so that it is evicted last. Returns whether it is in the ring."""
        if number in self._chunks:
            self._chunks.move_to_end(number)
        return number in self._chunks

    @torch.inference_mode()
    def append(self, number: int, chunk: Chunk, *, n_known: int = 0) -> None:
        """Prefill a chunk. The oldest chunks are evicted to make room; a chunk larger than the ring is not kept.

        When the ring holds a beginning of this chunk under the same number (speech that is still going on), its first
        `n_known` tokens are not prefilled again.
        """
        before = self._chunks.get(number) if n_known else None
        if before is None:
            n_known = 0
        else:
            known, slots = slice(self.n_prefix, self.n_prefix + n_known), before.slots_N[:n_known]
            self._scratch.keys_LHSD[:, :, known] = self._kept.keys_LHSD.index_select(2, slots)
            self._scratch.values_LHSD[:, :, known] = self._kept.values_LHSD.index_select(2, slots)
        self._scratch.n_used = self.n_prefix + n_known
        self.forget(number)
        if not self.has_room(chunk):
            return
        cos, sin = self._language.rotary(chunk.positions_3N[:, n_known:].to(chunk.x_ND.device))
        self._language.extend(chunk.x_ND[n_known:], cos, sin, self._scratch, keys_only=True)
        read = slice(self.n_prefix, self.n_prefix + chunk.n_tokens)
        self.keep(number, chunk, self._scratch.keys_LHSD[:, :, read], self._scratch.values_LHSD[:, :, read])

    @property
    def prefix(self) -> KVCache:
        """The KV cache of the prompt prefix."""
        keys_LHSD, values_LHSD = self._scratch.keys_LHSD, self._scratch.values_LHSD
        prefix = KVCache.of(keys_LHSD[:, :, : self.n_prefix], values_LHSD[:, :, : self.n_prefix])
        prefix.n_used = self.n_prefix
        return prefix

    def has_room(self, chunk: Chunk) -> bool:
        """Whether a chunk fits into the empty ring."""
        return -(-chunk.n_tokens // PAGE_TOKENS) <= self.n_pages

    def forget(self, number: int) -> None:
        """Free the pages of a chunk, which need not be in the ring."""
        chunk = self._chunks.pop(number, None)
        if chunk is not None:
            self._free += chunk.pages

    @torch.inference_mode()
    def copy_window(self, places: Sequence[PlacedChunk], into: KVCache) -> None:
        """Copy the prompt prefix and the given chunks, in this order, to the beginning of `into`.

        Raises KeyError for a chunk that is not in the ring.
        """
        chunks = [self._chunks[place.number] for place in places]
        n_prefix = self.n_prefix
        into.keys_LHSD[:, :, :n_prefix] = self._scratch.keys_LHSD[:, :, :n_prefix]
        into.values_LHSD[:, :, :n_prefix] = self._scratch.values_LHSD[:, :, :n_prefix]
        into.n_used = n_prefix
        if not chunks:
            return
        slots = torch.cat([chunk.slots_N for chunk in chunks])
        by = torch.cat([place.shift * chunk.moves_3N for place, chunk in zip(places, chunks, strict=True)], 1)
        cos, sin = self._language.rotary(by.to(slots.device))
        end = n_prefix + slots.shape[0]
        keys = self._kept.keys_LHSD.index_select(2, slots)
        into.keys_LHSD[:, :, n_prefix:end] = self._language.rotate(keys, cos, sin)
        into.values_LHSD[:, :, n_prefix:end] = self._kept.values_LHSD.index_select(2, slots)
        into.n_used = end

    def keep(self, number: int, chunk: Chunk, keys_LHND: Tensor, values_LHND: Tensor) -> None:
        """Copy the keys and values of a chunk, prefilled after the prefix, into pages as `append` does."""
        self.forget(number)
        n_pages = -(-chunk.n_tokens // PAGE_TOKENS)
        while len(self._free) < n_pages:
            _, oldest = self._chunks.popitem(last=False)
            self._free += oldest.pages
            self.n_evicted += 1
        pages = tuple(self._free.pop() for _ in range(n_pages))
        starts = torch.tensor(pages)[:, None] * PAGE_TOKENS
        slots = (starts + torch.arange(PAGE_TOKENS)).flatten()[: chunk.n_tokens].to(chunk.x_ND.device)
        self._kept.keys_LHSD.index_copy_(2, slots, keys_LHND)
        self._kept.values_LHSD.index_copy_(2, slots, values_LHND)
        self._chunks[number] = RingChunk(slots, chunk.positions_3N, chunk.moves_3N, chunk.modality, pages)
        self.n_appended += 1
