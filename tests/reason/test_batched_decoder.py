"""Chains written together say, word for word, what each says alone."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from realtime.engine.loading import LoadedModel
from realtime.model.fused import FusedLanguageModel, KVCache
from realtime.model.static_step import StaticSteps
from realtime.reason import batched_decoder
from realtime.reason.batched_decoder import MAX_ROWS, BatchedDecoder, DecodeSlot
from realtime.reason.reasoner import Reasoner
from realtime.records import ReasonDone
from tests.model.random_models import drawn_model, prefilled
from tests.reason.chains import in_lockstep, sections
from tests.reason.windows import ASK, BOTH, FACE_ONLY, NOTHING, VOICE_ONLY

WINDOWS = (BOTH, FACE_ONLY, VOICE_ONLY, NOTHING)


def test_four_chains_together_say_what_each_says_alone(nano: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    thinker = nano.thinker
    alone = [sections(thinker, window) for window in WINDOWS]
    rows: list[int] = []
    decode_step = FusedLanguageModel.decode_step

    def counted(self: FusedLanguageModel, x: Tensor, cos: Tensor, sin: Tensor, caches: Sequence[KVCache]) -> Tensor:
        rows.append(len(caches))
        return decode_step(self, x, cos, sin, caches)

    monkeypatch.setattr(FusedLanguageModel, "decode_step", counted)
    assert in_lockstep(thinker, WINDOWS) == alone
    assert max(rows) == len(WINDOWS)
    assert sum(rows) > 2 * len(rows), "most of their tokens were read together"


@pytest.mark.slow
@pytest.mark.parametrize("ahead", [False, True])
def test_in_lanes_they_say_the_same(nano: LoadedModel, ahead: bool) -> None:
    """As on a card, but for the capture, tokens read one step late or not; the fourth finds no free lane."""
    thinker = Reasoner(nano.weights, nano.thinker.vocabulary)
    alone = [sections(thinker, window) for window in WINDOWS]
    lanes = Reasoner(nano.weights, nano.thinker.vocabulary)
    lanes.decoder = BatchedDecoder(
        lanes.language, make_steps=partial(StaticSteps, lanes.language, 2, 1280, ahead=ahead)
    )
    assert in_lockstep(lanes, WINDOWS) == alone
    assert sorted(lanes.decoder._free) == [0, 1]


def test_a_chain_given_up_leaves_its_seat(nano: LoadedModel) -> None:
    alone = sections(nano.thinker, BOTH)
    given_up, kept = (nano.thinker.reason(window, ASK) for window in (FACE_ONLY, BOTH))
    for _ in range(6):
        next(given_up), next(kept)
    assert isinstance(given_up, Iterator)
    given_up.close()  # type: ignore[attr-defined]
    done = list(kept)[-1]
    assert isinstance(done, ReasonDone)
    assert str(dict(done.sections)) == alone
    assert not nano.thinker.decoder.pending


def slots(fused: FusedLanguageModel, n: int) -> tuple[BatchedDecoder, list[DecodeSlot]]:
    shared = BatchedDecoder(fused)
    return shared, [
        shared.open_slot(prefilled(fused, 5 + at, seed=at), next_position=5 + at, next_token=at + 1) for at in range(n)
    ]


def write(taken: Sequence[DecodeSlot], n_tokens: int) -> list[list[int]]:
    texts: list[list[int]] = [[] for _ in taken]
    for _ in range(n_tokens):
        for slot, text in zip(taken, texts, strict=True):
            token = slot.next_token()
            assert token is not None
            text.append(token)
            slot.append(token)
    return texts


def test_without_memory_for_so_many_rows_passes_get_smaller_and_grow_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The allocator fails where it would: in the middle of a pass, with keys of the first layer written already."""
    plain, head = drawn_model()
    fused = FusedLanguageModel(plain, head)
    expected = write(slots(fused, 5)[1], 12)

    after_attention, most = FusedLanguageModel._after_attention, 2

    def allocate(self: FusedLanguageModel, layer: object, out: Tensor, x: Tensor, *, narrow: bool) -> Tensor:
        if narrow and x.shape[0] > most and layer is self._layers[1]:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return after_attention(self, layer, out, x, narrow=narrow)  # type: ignore[arg-type]

    monkeypatch.setattr(FusedLanguageModel, "_after_attention", allocate)
    monkeypatch.setattr(batched_decoder, "GROW_AFTER", 40)
    shared, taken = slots(fused, 5)
    assert write(taken, 12) == expected
    assert shared.max_rows < MAX_ROWS
    most = MAX_ROWS
    write(taken, 20)
    assert shared.max_rows > 2


def test_without_memory_for_a_single_row_the_one_that_asked_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, head = drawn_model()
    fused = FusedLanguageModel(plain, head)
    _, taken = slots(fused, 3)
    expected = write(taken, 1)

    def full(*_: object, **__: object) -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(FusedLanguageModel, "_after_attention", full)
        with pytest.raises(torch.OutOfMemoryError):
            taken[0].next_token()
    taken[0].close()
    assert all(slot.next_token() is not None for slot in taken[1:])
    assert len(expected) == 3


@pytest.mark.slow
def test_without_memory_for_another_window_those_that_wait_for_their_chain_are_read_again(
    nano: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = [sections(nano.thinker, window) for window in WINDOWS]
    thinker = Reasoner(nano.weights, nano.thinker.vocabulary)
    alive: weakref.WeakSet[KVCache] = weakref.WeakSet()
    make = KVCache.__init__

    def allocate(self: KVCache, *shape: Any, **options: Any) -> None:
        if len(alive) >= 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        make(self, *shape, **options)
        alive.add(self)

    monkeypatch.setattr(KVCache, "__init__", allocate)
    labels = [thinker.fast_label(window, ASK) for window in WINDOWS]
    assert [label.source for label in labels] == ["fast"] * len(WINDOWS)
    assert [sections(thinker, window) for window in WINDOWS] == expected
