"""Evidence of several rings, prefilled in one pass, against each prefilled alone: on random weights."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from realtime.model.fused import FusedLanguageModel, KVCache
from realtime.model.language import LanguageModel
from realtime.reason.appending import Append, Appends
from realtime.reason.kv_ring import PAGE_TOKENS, KVCacheRing, PlacedChunk
from realtime.reason.sequence import Chunk, text_positions
from tests.card import is_view
from tests.model.random_models import CONFIG, CPU, close, drawn_model

PREFIXES = (7, 12, 3)
"Tokens of each ring's prompt prefix: they were asked other questions."


def chunk(seed: int, n: int, at: int) -> Chunk:
    x = torch.randn(n, 64, generator=torch.Generator().manual_seed(seed))
    return Chunk(x, text_positions(n, at), "voice", torch.ones(3, n, dtype=torch.long))


CHUNKS = (chunk(1, 20, 40), chunk(2, 3, 45), chunk(3, 33, 36))


class Counted(FusedLanguageModel):
    """Notes its passes, and may have no memory for several chunks, or refuse the chunk of a seed."""

    passes: list[int]
    full = False
    refused: Tensor | None = None

    def extend(self, x_TD: Tensor, *more: Tensor, **options: bool) -> Tensor:  # type: ignore[override]
        if self.refused is not None and torch.equal(x_TD, self.refused):
            raise ValueError("refused")
        self.passes.append(1)
        return super().extend(x_TD, *more, **options)  # type: ignore[arg-type]

    def extend_several(  # type: ignore[override]
        self, x_TD: Tensor, cos: Tensor, sin: Tensor, sizes: list[int], caches: list[KVCache]
    ) -> list[tuple[Tensor, Tensor]]:
        if self.full:
            raise torch.OutOfMemoryError("no room")
        if self.refused is not None and any(torch.equal(x, self.refused) for x in torch.split(x_TD, sizes)):
            raise ValueError("refused")
        self.passes.append(len(sizes))
        return super().extend_several(x_TD, cos, sin, sizes, caches)


@pytest.fixture
def language() -> Counted:
    model = Counted(*drawn_model())
    model.passes = []
    return model


def rings_of(language: Counted, n_pages: int = 4) -> list[KVCacheRing]:
    made = [
        KVCacheRing(
            language,
            torch.randn(n, 64, generator=torch.Generator().manual_seed(100 + n)),
            n_tokens=n_pages * PAGE_TOKENS,
        )
        for n in PREFIXES
    ]
    language.passes.clear()
    return made


def kept(ring: KVCacheRing, *numbers: int) -> Tensor:
    """Keys and values of the prefix and of these chunks, moved to where a window needs them."""
    into = KVCache(CONFIG, 200, dtype=torch.float32, device=CPU)
    ring.copy_window([PlacedChunk(number, 5) for number in numbers], into)
    return torch.cat([into.keys_LHSD[:, :, : into.n_used], into.values_LHSD[:, :, : into.n_used]])


def test_what_is_gathered_is_prefilled_in_one_pass_as_each_is_alone(language: Counted) -> None:
    rings, alone, appends = rings_of(language), rings_of(language), Appends(language)
    with appends.gathered() as failed:
        for number, (ring, part) in enumerate(zip(rings, CHUNKS, strict=True)):
            appends.add(Append(50 + number, ring, 1, part))
        assert language.passes == [], "nothing before the end of the block"
    assert language.passes == [3]
    assert not failed
    assert (appends.n_chunks, appends.n_passes) == (3, 1)
    for ring, other, part in zip(rings, alone, CHUNKS, strict=True):
        other.append(1, part)
        assert close(kept(ring, 1), kept(other, 1))


class Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts operations that a GPU launches, so without views."""

    n: int

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.n = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.n += not is_view(func)
        return func(*args, **(kwargs or {}))


def test_many_chunks_launch_little_more_than_two_and_far_less_than_each_alone() -> None:
    """With as many layers as a 3B has."""
    config = replace(CONFIG, num_hidden_layers=36)
    language = FusedLanguageModel(LanguageModel(config).eval().requires_grad_(False), nn.Linear(64, 50, bias=False))
    rings, appends = [KVCacheRing(language, torch.randn(9, 64), n_tokens=160) for _ in range(8)], Appends(language)

    def launched(n: int) -> int:
        operations = Operations()
        with operations, appends.gathered():
            for ring in rings[:n]:
                appends.add(Append(50, ring, 1, CHUNKS[0]))
        return operations.n

    one, two, eight = launched(1), launched(2), launched(8)
    assert eight < 1.1 * two
    assert eight < 0.16 * 8 * one, "7,576 became 1,153"


def test_two_of_one_ring_are_two(language: Counted) -> None:
    (ring, *_), (alone, *_), appends = rings_of(language), rings_of(language), Appends(language)
    with appends.gathered():
        appends.add(Append(50, ring, 1, CHUNKS[0]))
        appends.add(Append(50, ring, 2, CHUNKS[1]))
    assert language.passes == [2]
    alone.append(1, CHUNKS[0])
    alone.append(2, CHUNKS[1])
    assert close(kept(ring, 2, 1), kept(alone, 2, 1))


def test_outside_of_a_block_a_chunk_is_prefilled_at_once(language: Counted) -> None:
    (ring, *_), appends = rings_of(language), Appends(language)
    appends.add(Append(50, ring, 1, CHUNKS[0]))
    assert 1 in ring
    assert (appends.n_chunks, appends.n_passes) == (0, 0)


def test_the_oldest_goes_and_what_is_too_large_is_not_kept(language: Counted) -> None:
    rings, appends = rings_of(language, n_pages=3), Appends(language)
    rings[0].append(1, CHUNKS[0])
    large = chunk(4, 4 * PAGE_TOKENS, 40)
    with appends.gathered() as failed:
        appends.add(Append(50, rings[0], 2, CHUNKS[0]))
        appends.add(Append(51, rings[1], 1, large))
        appends.add(Append(52, rings[2], 1, CHUNKS[2]))
    assert not failed
    assert (1 in rings[0], 2 in rings[0], 1 in rings[1], 1 in rings[2]) == (False, True, False, True)


def test_without_memory_for_all_each_is_prefilled_alone(language: Counted) -> None:
    language.full = True
    rings, appends = rings_of(language), Appends(language)
    with appends.gathered() as failed:
        for number, (ring, part) in enumerate(zip(rings, CHUNKS, strict=True)):
            appends.add(Append(50 + number, ring, 1, part))
    assert language.passes == [1, 1, 1]
    assert not failed
    assert all(1 in ring for ring in rings)


def test_a_fault_of_one_is_its_own(language: Counted) -> None:
    language.refused = CHUNKS[1].x_ND
    rings, appends = rings_of(language), Appends(language)
    with appends.gathered() as failed:
        for number, (ring, part) in enumerate(zip(rings, CHUNKS, strict=True)):
            appends.add(Append(50 + number, ring, 1, part))
    assert {key: str(error) for key, error in failed.items()} == {(51, 1): "refused"}
    assert [1 in ring for ring in rings] == [True, False, True]


def test_a_block_that_fails_leaves_nothing_behind(language: Counted) -> None:
    rings, appends = rings_of(language), Appends(language)

    def gather() -> None:
        with appends.gathered():
            appends.add(Append(50, rings[0], 1, CHUNKS[0]))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        gather()
    assert 1 not in rings[0]
    appends.add(Append(51, rings[1], 1, CHUNKS[1]))
    assert 1 in rings[1]
