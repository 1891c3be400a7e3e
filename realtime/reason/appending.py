"""Prefills evidence of several sessions in one forward pass, each frame or utterance into its own session's ring.

    ring 1 ─append─┐
    ring 2 ─append─┼─ the end of `gathered`: one pass over the tokens of all ── pages of each ring
    ring 3 ─append─┘

A chunk attends to the prompt prefix of its session and to itself, so chunks of several sessions need nothing of each
other. A pass reads the weights once and launches as many kernels as for one or two of them. On a CPU it takes as long
as the chunks do one after the other, so there nothing is gathered (`evidence/together.py` is for a GPU).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from realtime.model.fused import FusedLanguageModel
from realtime.reason.kv_ring import KVCacheRing
from realtime.reason.sequence import Chunk

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Append:
    """A chunk on its way into a ring."""

    session_ring: int
    "The number of the session's ring (`SessionRing.number`)."
    ring: KVCacheRing
    number: int
    chunk: Chunk

    @property
    def key(self) -> tuple[int, int]:
        """`ring` and `number` of its evidence."""
        return self.session_ring, self.number

    def alone(self) -> None:
        """Prefill it in a pass of its own."""
        self.ring.append(self.number, self.chunk)


class Appends:
    """Appends to the rings of one model (`roles.GathersAppends`). Only the model worker's thread may call it."""

    def __init__(self, language: FusedLanguageModel) -> None:
        self._language = language
        self._gathered: list[Append] | None = None
        self.n_chunks = self.n_passes = 0

    def add(self, append: Append) -> None:
        """Prefill a chunk now, or at the end of the block in which it is gathered."""
        if self._gathered is None:
            append.alone()
        else:
            self._gathered.append(append)

    @contextmanager
    def gathered(self) -> Iterator[Mapping[tuple[int, int], Exception]]:
        """Gather what is added in this block, and prefill it at its end in one pass.

        After the block the mapping has what was raised for a chunk, by `ring` and `number` of its evidence. What is in
        no ring is prefilled with its window, as after an eviction.
        """
        assert self._gathered is None, "appends are gathered already"
        failed: dict[tuple[int, int], Exception] = {}
        gathered = self._gathered = []
        try:
            yield failed
        finally:
            self._gathered = None
        failed.update(self._append_all(gathered))

    def _append_all(self, gathered: Sequence[Append]) -> dict[tuple[int, int], Exception]:
        self.n_chunks += len(gathered)
        if len(gathered) > 1 and self._in_one_pass(gathered):
            return {}
        failed: dict[tuple[int, int], Exception] = {}
        for append in gathered:
            self.n_passes += 1
            try:
                append.alone()
            # Whatever is raised belongs to the session of this chunk.
            except Exception as error:
                failed[append.key] = error
        return failed

    def _in_one_pass(self, gathered: Sequence[Append]) -> bool:
        """Prefill several chunks together; whether it was done. If not, each can be prefilled alone."""
        try:
            self._prefill([append for append in gathered if append.ring.has_room(append.chunk)])
        except Exception as error:
            logger.warning("%d appends go one by one, after %s: %s", len(gathered), type(error).__name__, error)
            return False
        self.n_passes += 1
        return True

    @torch.inference_mode()
    def _prefill(self, appends: Sequence[Append]) -> None:
        chunks = [append.chunk for append in appends]
        if not chunks:
            return
        x_TD = torch.cat([chunk.x_ND for chunk in chunks])
        positions_3T = torch.cat([chunk.positions_3N for chunk in chunks], 1)
        cos, sin = self._language.rotary(positions_3T.to(x_TD.device))
        sizes, prefixes = [chunk.n_tokens for chunk in chunks], [append.ring.prefix for append in appends]
        made = self._language.extend_several(x_TD, cos, sin, sizes, prefixes)
        for append, (keys_LHND, values_LHND) in zip(appends, made, strict=True):
            append.ring.keep(append.number, append.chunk, keys_LHND, values_LHND)
