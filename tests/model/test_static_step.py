"""The step that a GPU captures, run as it is, against reading token by token."""

from __future__ import annotations

import pytest
import torch

from realtime.model import static_step
from realtime.model.fused import FusedLanguageModel, Memory
from realtime.model.static_step import StaticSteps, static_steps
from tests.model.test_fused import CONFIG, CPU, drawn_model


def read_memory(fused: FusedLanguageModel, n: int, seed: int) -> Memory:
    kept = Memory(CONFIG, 64, dtype=torch.float32, device=CPU)
    x = torch.randn(n, 64, generator=torch.Generator().manual_seed(seed))
    fused.read(x, *fused.text_rotary(0, n), kept)
    return kept


def following(fused: FusedLanguageModel, kept: Memory, token: int) -> int:
    hidden = fused.read(fused.embed([token]), *fused.text_rotary(kept.n_used, 1), kept)
    return int(fused.logits(hidden)[0].argmax())


@torch.inference_mode()
def test_steps_in_lanes_equal_reading_token_by_token() -> None:
    plain, head = drawn_model()
    fused = FusedLanguageModel(plain, head)
    steps = StaticSteps(fused, 4, n_slots=40)
    # The third chain finds what the first left in its lane; the other lanes go on meanwhile, or stand still.
    for lane, n in ((0, 20), (2, 7), (0, 3)):
        kept = read_memory(fused, n, seed=n)
        steps.take_over(lane, kept)
        for token in (3, 41, 8, 8, 17):
            beside = [1] if steps.memories[1].n_used < 30 else []
            at = [steps.memories[one].n_used for one in (lane, *beside)]
            best = steps.run([lane, *beside], [token] * len(at), at)
            assert best[0] == following(fused, kept, token)
        assert steps.memories[lane].n_used == kept.n_used
    assert steps.memories[1].n_used == 15


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

    monkeypatch.setattr(static_step.torch, "zeros", allocate)
    lane_bytes = 3 * 2 * 40 * 16 * 4
    for n_lanes in (8, 4, 1):
        room = n_lanes * lane_bytes
        steps = static_steps(fused, n_slots=40)
        assert steps is not None
        assert steps.n_lanes == n_lanes
    room = lane_bytes - 1
    assert static_steps(fused, n_slots=40) is None
