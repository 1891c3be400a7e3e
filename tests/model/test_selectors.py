"""Structural token selection by hand, and the gates that leave an untrained model as it was."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime.model.selectors import (
    AudioExtractor,
    CueProjector,
    VisualSelector,
    focal_mask,
    keep_attended,
    keep_background,
)


def test_the_focal_area_is_the_box_and_its_margin() -> None:
    # A face over the middle quarter of a 224-px frame: 84 … 140. With a margin of 28 px: 56 … 168, tokens 2 … 5.
    mask = focal_mask(((0.375, 0.375, 0.25, 0.25),), rows=8, columns=8, token_px=28, dilation_px=28).view(8, 8)
    wanted = torch.zeros(8, 8, dtype=torch.bool)
    wanted[2:6, 2:6] = True
    assert torch.equal(mask, wanted)


def test_several_faces_join_and_none_leaves_all_to_the_background() -> None:
    left, right = (0.0, 0.4, 0.1, 0.1), (0.9, 0.4, 0.1, 0.1)
    both = focal_mask((left, right), rows=8, columns=8, token_px=28, dilation_px=28)
    alone = [focal_mask((box,), rows=8, columns=8, token_px=28, dilation_px=28) for box in (left, right)]
    assert torch.equal(both, alone[0] | alone[1])
    assert not focal_mask((), rows=8, columns=8, token_px=28, dilation_px=112).any()


@settings(deadline=None)  # A busy machine is no slow selector.
@given(st.integers(0, 64), st.floats(0, 1), st.integers(0, 2**40))
def test_dropping_takes_its_share_of_the_background_and_never_a_focal_token(
    n_focal: int, drop: float, seed: int
) -> None:
    focal = torch.arange(64) < n_focal
    keep = keep_background(focal, drop=drop, seed=seed)
    assert keep[focal].all()
    assert int((~keep).sum()) == round(drop * (64 - n_focal))
    assert torch.equal(keep, keep_background(focal, drop=drop, seed=seed))


def test_another_seed_drops_others() -> None:
    focal = torch.zeros(64, dtype=torch.bool)
    choices = {tuple(keep_background(focal, drop=0.2, seed=seed).tolist()) for seed in range(20)}
    assert len(choices) == 20


def test_attention_selection_drops_the_least_attended() -> None:
    focal = torch.tensor([True, False, False, False, False, False])
    scores = torch.tensor([[0.0], [0.9], [0.1], [0.5], [0.2], [0.7]])
    assert keep_attended(focal, scores, drop=0.4).tolist() == [True, True, False, True, False, True]


def test_an_untrained_selector_changes_nothing() -> None:
    tokens, text = torch.randn(12, 16), torch.randn(5, 16)
    for selector in (VisualSelector(16, 8), AudioExtractor(16, 8)):
        assert torch.equal(selector(tokens, text), tokens)
    assert not CueProjector(4, 16)(torch.randn(4)).any()


def test_hats_interpolate_between_their_centres_and_clamp_at_the_bounds() -> None:
    projector = CueProjector(3, 16, bounds=(-1.0, 1.0))
    hats = projector.hats(torch.tensor([-1.0, 0.1, 7.0])).view(3, CueProjector.N_HATS)
    assert hats[0].tolist() == [1.0] + [0.0] * 8
    torch.testing.assert_close(hats[1], torch.tensor([0, 0, 0, 0, 0.6, 0.4, 0, 0, 0], dtype=torch.float32))
    assert hats[2].tolist() == [0.0] * 8 + [1.0]


def test_a_trained_selector_guides_the_background_alone() -> None:
    selector = VisualSelector(16, 8)
    torch.nn.init.constant_(selector.gate, 0.7)
    tokens, text = torch.randn(12, 16), torch.randn(5, 16)
    focal = torch.arange(12) < 4
    guided = selector(tokens, text, focal)
    assert torch.equal(guided[focal], tokens[focal])
    weights = torch.softmax(selector.query(tokens) @ selector.key(text).T / 8**0.5, -1)
    torch.testing.assert_close(guided[~focal], (tokens + 0.7 * weights @ selector.value(text))[~focal])
