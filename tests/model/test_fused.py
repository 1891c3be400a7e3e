"""The fused language model against the plain modules, on random weights large enough to matter."""

from __future__ import annotations

import copy
import itertools
from typing import get_args

import pytest
import torch
from torch import nn

from realtime.model.config import TextConfig
from realtime.model.fused import TEXT_POSITIONS, FusedLanguageModel, drawn
from realtime.model.language import LanguageModel
from realtime.model.products import Narrow, Product
from realtime.reason.sequence import text_positions
from tests.model.random_models import cache, close, drawn_model, prefilled


@pytest.fixture(scope="module")
def models() -> tuple[LanguageModel, FusedLanguageModel]:
    plain, head = drawn_model()
    return copy.deepcopy(plain), FusedLanguageModel(plain, head)


@torch.inference_mode()
def test_reading_in_parts_equals_one_plain_pass(models: tuple[LanguageModel, FusedLanguageModel]) -> None:
    plain, fused = models
    x = torch.randn(20, 64)
    mask = torch.ones(20, 20, dtype=torch.bool).tril()
    whole = plain(x[None], text_positions(20, 7)[:, None], mask)[0]
    kept, parts, at = cache(32), [], 0
    for n in (9, 1, 1, 4, 5):
        parts.append(fused.extend(x[at : at + n], *fused.text_rotary(7 + at, n), kept))
        at += n
    assert close(torch.cat(parts), whole)
    assert kept.n_used == 20


@torch.inference_mode()
def test_masks_and_positions_on_three_axes_are_the_plain_ones(models: tuple[LanguageModel, FusedLanguageModel]) -> None:
    plain, fused = models
    x, positions = torch.randn(12, 64), torch.randint(0, 300, (3, 12))
    mask = torch.ones(12, 12, dtype=torch.bool).tril()
    mask[8:, 3:6] = False
    whole = plain(x[None], positions[:, None], mask)[0]
    assert close(fused.extend(x, *fused.rotary(positions), cache(12), mask), whole)


@torch.inference_mode()
def test_keys_alone_are_the_same_keys(models: tuple[LanguageModel, FusedLanguageModel]) -> None:
    _, fused = models
    x, whole, keys = torch.randn(8, 64), cache(8), cache(8)
    fused.extend(x, *fused.text_rotary(0, 8), whole)
    fused.extend(x, *fused.text_rotary(0, 8), keys, keys_only=True)
    assert torch.equal(whole.keys_LHSD, keys.keys_LHSD)
    assert torch.equal(whole.values_LHSD, keys.values_LHSD)


@torch.inference_mode()
def test_a_turned_key_is_the_key_of_the_other_place(models: tuple[LanguageModel, FusedLanguageModel]) -> None:
    _, fused = models
    x, there, by = torch.randn(6, 16), torch.randint(0, 200, (3, 6)), torch.randint(-150, 150, (3, 6))
    once = fused.rotate(x, *fused.rotary(there + by))
    assert close(fused.rotate(fused.rotate(x, *fused.rotary(there)), *fused.rotary(by)), once)


@torch.inference_mode()
def test_places_beyond_the_table_are_computed(models: tuple[LanguageModel, FusedLanguageModel]) -> None:
    _, fused = models
    start = TEXT_POSITIONS - 3
    for kept, computed in zip(
        fused.text_rotary(start, 6), fused.rotary(torch.arange(start, start + 6).expand(3, -1)), strict=True
    ):
        assert torch.equal(kept, computed)


def test_the_plain_modules_go_on_working_on_the_same_weights() -> None:
    plain, head = drawn_model()
    before = copy.deepcopy(plain)
    n_bytes = sum(weight.untyped_storage().nbytes() for weight in plain.parameters())
    fused = FusedLanguageModel(plain, head)
    x, positions = torch.randn(1, 5, 64), text_positions(5, 0)[:, None]
    mask = torch.ones(5, 5, dtype=torch.bool).tril()
    assert close(plain(x, positions, mask), before(x, positions, mask))
    storages = {weight.untyped_storage().data_ptr(): weight.untyped_storage() for weight in plain.parameters()}
    assert sum(storage.nbytes() for storage in storages.values()) == n_bytes, "nothing is held twice"
    assert close(fused.logits(x[0]), head(x[0]))


def test_a_head_that_is_the_embeddings_stays_so() -> None:
    plain, head = drawn_model()
    head.weight = plain.embed_tokens.weight
    fused = FusedLanguageModel(plain, head)
    assert plain.embed_tokens.weight.is_contiguous()
    x = torch.randn(2, 64)
    assert close(fused.logits(x), x @ plain.embed_tokens.weight.T)


@pytest.mark.parametrize("kind", get_args(Narrow))
@torch.inference_mode()
def test_few_bits_change_a_step_a_little_and_a_pass_not_at_all(kind: Narrow) -> None:
    plain, head = drawn_model()
    full, narrow = FusedLanguageModel(plain, head), FusedLanguageModel(plain, head, narrow=kind)
    x, kept, narrow_kept = torch.randn(9, 64), cache(16), cache(16)
    passed = full.extend(x[:8], *full.text_rotary(0, 8), kept)
    assert torch.equal(narrow.extend(x[:8], *narrow.text_rotary(0, 8), narrow_kept), passed)
    step = full.extend(x[8:], *full.text_rotary(8, 1), kept)
    apart = (narrow.extend(x[8:], *narrow.text_rotary(8, 1), narrow_kept) - step).norm() / step.norm()
    assert 0 < float(apart) < {"int8": 0.06, "fp8": 0.2, "int4": 0.8}[kind]
    some = narrow.extend(x[8:], *narrow.text_rotary(8, 1), cache(16), narrow=False)
    assert close(some, full.extend(x[8:], *full.text_rotary(8, 1), cache(16)))


@torch.inference_mode()
def test_a_head_in_few_bits_proposes_what_the_full_one_chooses() -> None:
    torch.manual_seed(1)
    config = TextConfig(4096, 64, 128, 2, 4, 2, tie_word_embeddings=True, mrope_section=())
    plain, head = LanguageModel(config), nn.Linear(64, 4096, bias=False)
    head.weight = plain.embed_tokens.weight
    narrow = FusedLanguageModel(plain.requires_grad_(False), head, narrow="int4")
    hidden = torch.randn(200, 64)
    rough = narrow._head(hidden, narrow=True).argmax(-1)
    assert 0 < int((rough != narrow.logits(hidden).argmax(-1)).sum()) < 60, "four bits alone choose others"
    assert torch.equal(narrow.best(hidden), narrow.logits(hidden).argmax(-1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_product_of_float8_weights_is_within_the_formats_error(dtype: torch.dtype) -> None:
    """Three bits of fraction round by at most 1/16; errors of many terms are as often up as down."""
    torch.manual_seed(0)
    weight = (torch.randn(320, 96) * torch.logspace(-4, 2, 96)).to(dtype)
    product, x = Product(weight), torch.randn(3, 320).to(dtype)
    product.quantise("fp8")
    assert isinstance(product._narrow, tuple), "no copy was made"
    kept, scale = product._narrow
    assert kept.dtype == torch.float8_e4m3fn
    exact = weight.float()
    off = (kept.float() * scale.float() - exact).abs()
    # Below the smallest normal number of the format steps no longer shrink.
    assert bool(
        (off <= exact.abs() / 16 + scale.float() * 2**-9 + exact.abs() * 2**-7 * (dtype != torch.float32)).all()
    )
    full, narrow = product(x, x[:, :96]).float(), product(x, x[:, :96], narrow=True).float()
    assert float((narrow - full).norm() / full.norm()) < 0.04


@torch.inference_mode()
def test_one_token_for_each_of_several_memories_is_each_read_alone(
    models: tuple[LanguageModel, FusedLanguageModel],
) -> None:
    _, fused = models
    sizes = (3, 9, 1)
    together, alone = [cache(16) for _ in sizes], [cache(16) for _ in sizes]
    for n, one, other in zip(sizes, together, alone, strict=True):
        x = torch.randn(n, 64)
        fused.extend(x, *fused.text_rotary(0, n), one)
        fused.extend(x, *fused.text_rotary(0, n), other)
    for _ in range(3):
        x, positions = torch.randn(3, 64), [one.n_used for one in together]
        stepped = fused.decode_step(x, *fused.text_rotary_at(positions), together)
        for row, (position, other) in enumerate(zip(positions, alone, strict=True)):
            assert close(stepped[row], fused.extend(x[row : row + 1], *fused.text_rotary(position, 1), other)[0])
    assert [one.n_used for one in together] == [one.n_used for one in alone] == [6, 12, 4]


@torch.inference_mode()
def test_evidence_for_each_of_several_memories_is_each_read_alone(
    models: tuple[LanguageModel, FusedLanguageModel],
) -> None:
    """Of other lengths, after other prefixes, and with positions of frames."""
    _, fused = models
    used, sizes = (5, 11, 2, 1), (7, 1, 9, 4)
    caches = [prefilled(fused, n, seed) for seed, n in enumerate(used)]
    positions = torch.randint(12, 40, (3, sum(sizes)), generator=torch.Generator().manual_seed(3))
    x, (cos, sin) = torch.randn(sum(sizes), 64), fused.rotary(positions)
    made = fused.extend_several(x, cos, sin, sizes, caches)
    assert [kept.n_used for kept in caches] == list(used), "the caches stay as they are"
    ends = list(itertools.accumulate(sizes))
    for keys_and_values, kept, n, end in zip(made, caches, used, ends, strict=True):
        part = slice(end - keys_and_values[0].shape[2], end)
        fused.extend(x[part], cos[part], sin[part], kept, keys_only=True)
        for new, whole in zip(keys_and_values, (kept.keys_LHSD, kept.values_LHSD), strict=True):
            assert new.shape[2] == kept.n_used - n
            assert close(new, whole[:, :, n : kept.n_used])


@torch.inference_mode()
def test_several_memories_beyond_the_table(models: tuple[LanguageModel, FusedLanguageModel]) -> None:
    _, fused = models
    positions = [2, TEXT_POSITIONS - 1, TEXT_POSITIONS + 3]
    for together, alone in zip(
        fused.text_rotary_at(positions), zip(*(fused.text_rotary(at, 1) for at in positions), strict=True), strict=True
    ):
        torch.testing.assert_close(together, torch.cat(list(alone)))


@torch.inference_mode()
def test_eight_bits_for_several_memories_are_those_for_one() -> None:
    plain, head = drawn_model()
    narrow = FusedLanguageModel(plain, head, narrow="int8")
    together, alone = [cache(4) for _ in range(3)], [cache(4) for _ in range(3)]
    x = torch.randn(3, 64)
    stepped = narrow.decode_step(x, *narrow.text_rotary_at([0, 0, 0]), together)
    for row, one in enumerate(alone):
        single = narrow.extend(x[row : row + 1], *narrow.text_rotary(0, 1), one)[0]
        # Kernels differ by processor and number of rows, and each of their results is rounded to bfloat16.
        assert float((stepped[row] - single).norm() / single.norm()) < 0.02


def test_a_row_with_a_seed_is_a_sample_of_its_softmax_and_others_stay() -> None:
    logits_V = torch.tensor([2.0, 1.0, 0.0, -4.0])
    n = 4000
    samples = drawn(logits_V.repeat(n, 1), list(range(n))).argmax(-1)
    shares_V = torch.bincount(samples, minlength=4) / n
    torch.testing.assert_close(shares_V, logits_V.softmax(-1), atol=0.025, rtol=0)
    twice = drawn(logits_V.repeat(3, 1), [5, None, 5])
    assert torch.equal(twice[0], twice[2])
    assert torch.equal(twice[1], logits_V)
