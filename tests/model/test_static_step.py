"""The step that a GPU captures, run as it is, against reading token by token."""

from __future__ import annotations

import torch

from realtime.model.fused import FusedLanguageModel, Memory
from realtime.model.static_step import MAX_LENT, StepPool
from tests.model.test_fused import CONFIG, CPU, close, drawn_model


def read_memory(fused: FusedLanguageModel, n: int, seed: int) -> Memory:
    kept = Memory(CONFIG, 64, dtype=torch.float32, device=CPU)
    x = torch.randn(n, 64, generator=torch.Generator().manual_seed(seed))
    fused.read(x, *fused.text_rotary(0, n), kept)
    return kept


@torch.inference_mode()
def test_steps_equal_reading_token_by_token() -> None:
    plain, head = drawn_model()
    fused = FusedLanguageModel(plain, head)
    pool = StepPool(fused, plain.embed_tokens.weight, n_slots=40)
    for seed, n in ((0, 20), (1, 7)):  # The second chain finds what the first left in the memory.
        kept = read_memory(fused, n, seed)
        step = pool.borrow(kept, 10)
        assert step is not None
        for index, token in enumerate((3, 41, 8, 8, 17)):
            x = plain.embed_tokens.weight[token][None]
            expected = fused.logits(fused.read(x, *fused.text_rotary(n + index, 1), kept))[0]
            assert close(step.run(token, n + index), expected)
        pool.give_back(step)


@torch.inference_mode()
def test_what_does_not_fit_or_finds_all_lent_decodes_without() -> None:
    plain, head = drawn_model()
    fused = FusedLanguageModel(plain, head)
    pool = StepPool(fused, plain.embed_tokens.weight, n_slots=40)
    kept = read_memory(fused, 20, 0)
    assert pool.borrow(kept, 21) is None
    lent = [pool.borrow(kept, 5) for _ in range(MAX_LENT)]
    assert None not in lent
    assert pool.borrow(kept, 5) is None
    assert lent[0] is not None
    pool.give_back(lent[0])
    assert pool.borrow(kept, 5) is lent[0]
