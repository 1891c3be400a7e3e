"""The step that a GPU captures, run as it is, against reading token by token."""

from __future__ import annotations

import random
from collections.abc import Mapping

import pytest
import torch

from realtime.model import checkpoint
from realtime.model.fused import FusedLanguageModel, KVCache
from realtime.model.static_step import LaneInput, StaticSteps, static_steps
from tests.card import inserted
from tests.model.random_models import drawn_model, prefilled


def following(fused: FusedLanguageModel, kept: KVCache, token: int) -> int:
    hidden = fused.extend(fused.embed([token]), *fused.text_rotary(kept.n_used, 1), kept)
    return int(fused.logits(hidden)[0].argmax())


@pytest.mark.parametrize("ahead", [False, True])
@torch.inference_mode()
def test_steps_in_lanes_equal_reading_token_by_token(ahead: bool) -> None:
    plain, head = drawn_model()
    fused = FusedLanguageModel(plain, head)
    steps = StaticSteps(fused, 4, n_slots=40, ahead=ahead)
    # The third chain finds what the first left in its lane; the other lanes go on meanwhile, or stand still.
    for lane, n in ((0, 20), (2, 7), (0, 3)):
        kept = prefilled(fused, n, seed=n)
        steps.take_over(lane, kept)
        for token in (3, 41, 8, 8, 17):
            beside = [1] if steps.caches[1].n_used < 30 else []
            at = [steps.caches[one].n_used for one in (lane, *beside)]
            best = steps.run([lane, *beside], [token] * len(at), at)
            assert best[0] == following(fused, kept, token)
        assert steps.caches[lane].n_used == kept.n_used
    assert steps.caches[1].n_used == 15


@torch.inference_mode()
def test_a_token_read_one_step_late_is_the_token_and_a_given_one_never_waits() -> None:
    """Lanes write what they choose, are given something else now and then, pause, and are handed to other chains."""
    plain, head = drawn_model()
    fused = FusedLanguageModel(plain, head)
    steps = StaticSteps(fused, 4, n_slots=48, ahead=True)
    launched: list[set[int]] = []
    launch = steps._launch

    def counted(steps: Mapping[int, tuple[LaneInput, int, int]]) -> None:
        launched.append({int(kind) for kind, _, _ in steps.values()})
        launch(steps)

    steps._launch = counted  # type: ignore[method-assign]
    rng = random.Random(3)
    kept = {lane: prefilled(fused, 5 + lane, seed=lane) for lane in range(4)}
    for lane, alone in kept.items():
        steps.take_over(lane, alone)
    following_of = dict.fromkeys(range(4), 7)
    n_given = 0
    for step in range(60):
        stepping = [lane for lane in range(4) if rng.random() < 0.7] or [0]
        for lane in stepping:
            if kept[lane].n_used >= 44:
                # This chain is over, another takes its lane; what the step ahead wrote of the old one is nobody's.
                kept[lane] = prefilled(fused, 3 + step % 5, seed=step)
                steps.take_over(lane, kept[lane])
                following_of[lane] = step % 50
            elif rng.random() < 0.15:
                # Several given tokens are read in a pass of their own, as between two sections.
                x = fused.embed([9, 30])
                for cache in (kept[lane], steps.caches[lane]):
                    hidden = fused.extend(x, *fused.text_rotary(cache.n_used, 2), cache)
                following_of[lane] = int(fused.logits(hidden[-1:])[0].argmax())
        given = {lane for lane in stepping if rng.random() < 0.1}
        tokens = [(following_of[lane] + 1) % 50 if lane in given else following_of[lane] for lane in stepping]
        best = steps.run(stepping, tokens, [kept[lane].n_used for lane in stepping])
        expected = [following(fused, kept[lane], token) for lane, token in zip(stepping, tokens, strict=True)]
        assert best == expected
        assert [steps.caches[lane].n_used for lane in stepping] == [kept[lane].n_used for lane in stepping]
        following_of |= dict(zip(stepping, best, strict=True))
        n_given += len(given)
    late = sum(kinds == {int(LaneInput.CHOSEN)} for kinds in launched)
    assert late == 60, "each round ends with the next step under way"
    assert len(launched) - late < 60, "and rounds in which nothing was given need no other"
    assert n_given > 5


@torch.inference_mode()
def test_a_lane_that_is_nearly_full_is_not_stepped_ahead() -> None:
    plain, head = drawn_model()
    fused = FusedLanguageModel(plain, head)
    steps = StaticSteps(fused, 2, n_slots=9, ahead=True)
    alone = prefilled(fused, 5, seed=1)
    steps.take_over(0, alone)
    token = 4
    for _ in range(4):
        expected = following(fused, alone, token)
        assert steps.run([0], [token], [alone.n_used - 1]) == [expected]
        token = expected
    assert steps.caches[0].n_used == 9


@torch.inference_mode()
def test_without_room_for_eight_lanes_there_are_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, head = drawn_model()
    fused = FusedLanguageModel(plain, head)
    zeros, room = torch.zeros, 0

    def allocate(*shape: object, **options: object) -> torch.Tensor:
        made: torch.Tensor = zeros(*shape, **options)  # type: ignore[call-overload]
        if made.nbytes > room:
            raise torch.OutOfMemoryError(f"no room for {made.nbytes} bytes")
        return made

    monkeypatch.setattr(torch, "zeros", allocate)
    lane_bytes = 3 * 2 * 40 * 16 * 4
    for n_lanes in (8, 4, 1):
        room = n_lanes * lane_bytes
        steps = static_steps(fused, n_slots=40)
        assert steps is not None
        assert steps.n_lanes == n_lanes
    room = lane_bytes - 1
    assert static_steps(fused, n_slots=40) is None


@pytest.mark.slow
def test_a_card_has_as_many_lanes_as_it_has_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each number of lanes is captured. What has no room for eight may have for four; another has room for none."""
    with inserted(monkeypatch) as card:
        thinker = checkpoint.load(checkpoint.NANO, device="cuda").thinker
        fused = FusedLanguageModel(thinker.model, thinker.lm_head)
        card.out_of_memory = lambda func: card.capture is not None and card.n_captures == 1
        steps = static_steps(fused, 40)
        assert steps is not None
        assert steps.n_lanes == 4
        card.out_of_memory = lambda func: card.capture is not None
        assert static_steps(fused, 40) is None
