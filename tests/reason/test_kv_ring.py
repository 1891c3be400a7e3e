"""The ring against a fresh build and against the plain modules, on random weights large enough to matter."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from realtime.model.fused import FusedLanguageModel, KVCache
from realtime.model.language import BatchKVCache, LanguageModel
from realtime.model.vision import rotate_half
from realtime.reason.kv_ring import PAGE_TOKENS, KVCacheRing, PlacedChunk
from realtime.reason.sequence import Chunk, text_positions
from tests.model.random_models import CONFIG, close, drawn_model

N_PREFIX, READ_AT = 7, 40
CPU = torch.device("cpu")


def drawn_chunk(seed: int, *, anchored: bool) -> Chunk:
    """Like a frame (rows and columns stay, time moves), or like speech (all axes move)."""
    generator = torch.Generator().manual_seed(seed)
    n = 9 + seed % 20
    moves = torch.ones(3, n, dtype=torch.long)
    positions = text_positions(n, READ_AT).clone()
    if anchored:
        moves[1:, 1:-1] = 0
        positions[0] = READ_AT
        positions[1:, 1:-1] = N_PREFIX + torch.randint(0, 5, (2, n - 2), generator=generator)
        positions[:, -1] = READ_AT
    x = torch.randn(n, 64, generator=generator)
    return Chunk(x, positions, "face" if anchored else "voice", moves)


CHUNKS = {number: drawn_chunk(number, anchored=number % 3 > 0) for number in range(1, 31)}
WINDOW = [PlacedChunk(number, 25 * (number - 26)) for number in range(25, 31)]
"The last six, seconds apart; the first stands before where it was read."


@pytest.fixture(scope="module")
def models() -> tuple[LanguageModel, FusedLanguageModel, Tensor]:
    plain, head = drawn_model()
    return copy.deepcopy(plain), FusedLanguageModel(plain, head), torch.randn(N_PREFIX, 64)


def ring_of(fused: FusedLanguageModel, prefix: Tensor, numbers: list[int], n_pages: int = 15) -> KVCacheRing:
    ring = KVCacheRing(fused, prefix, n_tokens=n_pages * PAGE_TOKENS)
    for number in numbers:
        ring.append(number, CHUNKS[number])
    return ring


def laid_out(ring: KVCacheRing, places: list[PlacedChunk]) -> KVCache:
    into = KVCache(CONFIG, 400, dtype=torch.float32, device=CPU)
    ring.copy_window(places, into)
    return into


BRANCH_X = torch.randn(6, 64, generator=torch.Generator().manual_seed(5))
BRANCH_AT = 170


@torch.inference_mode()
def answer(fused: FusedLanguageModel, cache: KVCache) -> Tensor:
    return fused.extend(BRANCH_X, *fused.text_rotary(BRANCH_AT, 6), cache)


def test_after_wrapping_around_it_equals_a_fresh_build_in_any_order(
    models: tuple[LanguageModel, FusedLanguageModel, Tensor],
) -> None:
    _, fused, prefix = models
    old = ring_of(fused, prefix, list(CHUNKS))
    assert old.n_evicted > 15, "the ring has wrapped around"
    assert [place.number in old for place in WINDOW] == [True] * len(WINDOW)
    fresh = ring_of(fused, prefix, [27, 30, 25, 28, 26, 29], n_pages=40)
    assert close(answer(fused, laid_out(old, WINDOW)), answer(fused, laid_out(fresh, WINDOW)))
    assert close(answer(fused, laid_out(old, WINDOW)), answer(fused, laid_out(old, WINDOW[::-1])))


@torch.inference_mode()
def test_it_equals_the_plain_modules_with_keys_turned_by_hand(
    models: tuple[LanguageModel, FusedLanguageModel, Tensor],
) -> None:
    """Each chunk read alone after the prefix, its keys moved to the window's positions, then the branch over all."""
    plain, fused, prefix = models
    n = sum(CHUNKS[place.number].n_tokens for place in WINDOW)
    everything = BatchKVCache(CONFIG, N_PREFIX + n + 6, dtype=torch.float32, device=CPU)
    at = N_PREFIX
    for place in WINDOW:
        chunk = CHUNKS[place.number]
        m = chunk.n_tokens
        alone = BatchKVCache(CONFIG, N_PREFIX + m, dtype=torch.float32, device=CPU)
        x = torch.cat([prefix, chunk.x_ND])[None]
        positions = torch.cat([text_positions(N_PREFIX, 0), chunk.positions_3N], 1)[:, None]
        mask = torch.ones(N_PREFIX + m, N_PREFIX + m, dtype=torch.bool).tril()
        plain(x, positions, mask, alone, torch.arange(N_PREFIX + m))
        everything.keys_LBHSD[..., :N_PREFIX, :] = alone.keys_LBHSD[..., :N_PREFIX, :]
        everything.values_LBHSD[..., :N_PREFIX, :] = alone.values_LBHSD[..., :N_PREFIX, :]
        cos, sin = plain.rotary((place.shift * chunk.moves_3N)[:, None], torch.float32)
        keys = alone.keys_LBHSD[..., N_PREFIX:, :]
        everything.keys_LBHSD[..., at : at + m, :] = keys * cos + rotate_half(keys) * sin
        everything.values_LBHSD[..., at : at + m, :] = alone.values_LBHSD[..., N_PREFIX:, :]
        at += m
    mask = torch.ones(6, at + 6, dtype=torch.bool)
    mask[:, at:] = torch.ones(6, 6, dtype=torch.bool).tril()
    slots = torch.arange(at, at + 6)
    expected = plain(BRANCH_X[None], text_positions(6, BRANCH_AT)[:, None], mask, everything, slots)[0]
    assert close(answer(fused, laid_out(ring_of(fused, prefix, list(CHUNKS)), WINDOW)), expected)


@torch.inference_mode()
def test_a_branch_goes_on_while_its_evidence_is_overwritten(
    models: tuple[LanguageModel, FusedLanguageModel, Tensor],
) -> None:
    _, fused, prefix = models
    undisturbed = answer(fused, laid_out(ring_of(fused, prefix, list(range(25, 31))), WINDOW))
    ring = ring_of(fused, prefix, list(range(25, 31)))
    cache, written = laid_out(ring, WINDOW), []
    for step in range(6):
        x = BRANCH_X[step : step + 1]
        written.append(fused.extend(x, *fused.text_rotary(BRANCH_AT + step, 1), cache))
        for number in range(1 + 4 * step, 5 + 4 * step):
            ring.append(number, CHUNKS[number])
    assert all(place.number not in ring for place in WINDOW), "nothing of the window is in the ring any more"
    assert close(torch.cat(written), undisturbed)


def test_speech_that_goes_on_is_not_read_again(models: tuple[LanguageModel, FusedLanguageModel, Tensor]) -> None:
    _, fused, prefix = models
    whole = drawn_chunk(19, anchored=False)
    begun = Chunk(whole.x_ND[:17], whole.positions_3N[:, :17], "voice", whole.moves_3N[:, :17])
    parts, once = ring_of(fused, prefix, [1]), ring_of(fused, prefix, [1])
    parts.append(99, begun)
    parts.append(2, CHUNKS[2])
    parts.append(99, whole, n_known=17)
    once.append(99, whole)
    places = [PlacedChunk(1, 10), PlacedChunk(99, -20)]
    assert close(answer(fused, laid_out(parts, places)), answer(fused, laid_out(once, places)))


def test_memory_is_bounded_and_what_is_too_large_is_not_kept(
    models: tuple[LanguageModel, FusedLanguageModel, Tensor],
) -> None:
    _, fused, prefix = models
    ring = ring_of(fused, prefix, [1, 2], n_pages=3)
    n_bytes = ring.n_bytes
    x = torch.randn(4 * PAGE_TOKENS, 64)
    large = Chunk(x, text_positions(x.shape[0], READ_AT), "voice", torch.ones(3, x.shape[0], dtype=torch.long))
    ring.append(3, large)
    assert 3 not in ring
    assert 2 in ring
    assert ring.n_bytes == n_bytes
