"""The share of dropped background follows the content and keeps its mean. With content as usual it is fixed."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime.engine.loading import load
from realtime.errors import BadModel
from realtime.model import checkpoint
from realtime.model.config import EmotionConfig
from realtime.model.methods.selection import BackgroundShare, attention_spread
from realtime.records import Question, UInt8, VideoFrame, Window
from tests.export.shapes import write_checkpoint
from train.readers.perceived import watch
from train.tuning.clip_tokens import ClipTokens

NOBODY = torch.zeros(64, dtype=torch.bool)
LEFT_FACE = torch.arange(64) % 8 < 4


def share(drop: float, *, selection: str = "adaptive") -> BackgroundShare:
    return BackgroundShare(EmotionConfig(selector_dim=8, drop=drop, selection=selection), token_px=28)  # type: ignore[arg-type]


def picture(seed: int) -> torch.Tensor:
    small = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(seed))
    return small.repeat_interleave(28, 1).repeat_interleave(28, 2)


@settings(deadline=None, max_examples=30)
@given(st.floats(0, 1), st.floats(0.01, 1), st.booleans())
def test_content_as_usual_drops_exactly_the_fixed_share(drop: float, spread: float, moves: bool) -> None:
    adaptive = share(drop)
    for at in range(8):
        # Two pictures in turn: the same change each second.
        assert adaptive.of(picture(at % 2 if moves else 0), NOBODY) == drop
        adaptive.saw(spread)


@pytest.mark.parametrize("drop", [0.2, 0.5, 0.8])
def test_the_mean_over_a_session_is_the_given_share(drop: float) -> None:
    rng, adaptive, dropped = np.random.default_rng(0), share(drop), []
    still = picture(0)
    for _ in range(600):
        moved = still + float(rng.exponential(0.1)) * (picture(int(rng.integers(99))) - 0.5)
        dropped.append(adaptive.of(moved, LEFT_FACE))
        adaptive.saw(float(rng.uniform(0.2, 1.0)))
    assert np.std(dropped) > 0.03
    assert np.mean(dropped) == pytest.approx(drop, abs=0.01)
    assert 0 <= min(dropped) <= max(dropped) <= 1 - 0.5 * (1 - drop)


def test_a_change_of_the_background_keeps_more_and_one_of_the_face_does_not() -> None:
    for focal, keeps_more in ((NOBODY, True), (LEFT_FACE, False)):
        adaptive, shown = share(0.5), picture(0).clone()
        for seed in range(6):
            shown[:, 0, 200] += 0.001 * seed  # a little change each second, on the right
            adaptive.of(shown, focal)
        shown[:, :, :112] = picture(1)[:, :, :112]
        assert (adaptive.of(shown, focal) < 0.45) is keeps_more


def test_attention_that_gathers_in_a_few_tokens_drops_more_of_the_next_frame() -> None:
    wide, narrow = share(0.5), share(0.5)
    for last, each in ((0.9, wide), (0.3, narrow)):
        for spread in (0.9, 0.9, 0.9, last):
            each.of(picture(0), NOBODY)
            each.saw(spread)
    assert wide.of(picture(0), NOBODY) == 0.5 < narrow.of(picture(0), NOBODY)


def test_the_spread_is_the_share_of_tokens_that_attention_covers() -> None:
    scores = torch.zeros(4, 8, 3)
    scores[1, 2] = 50.0
    scores[2, :4] = 50.0
    background = torch.ones(4, 8, dtype=torch.bool)
    background[2, 6:] = False
    background[3] = False
    wanted = torch.tensor([1.0, 1 / 8, 4 / 6, 0.0])
    torch.testing.assert_close(attention_spread(scores, background), wanted)


def adaptive_nano(folder: Path, **more: object) -> Path:
    shutil.copytree(checkpoint.NANO, folder)
    path = folder / "emothinker.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"selection": "adaptive"} | more))
    return folder


@pytest.mark.slow
def test_nano_serves_it_and_its_first_frame_is_that_of_the_fixed_share(portrait: UInt8, tmp_path: Path) -> None:
    adaptive = load(str(adaptive_nano(tmp_path / "nano", drop=0.4)), engine="torch")
    fixed = load(str(checkpoint.NANO), engine="torch")
    fixed.weights.config = replace(fixed.weights.config, emotion=replace(fixed.weights.config.emotion, drop=0.4))
    a, b = adaptive.perceiver(seed=3), fixed.perceiver(seed=3)
    # The portrait, a little darker every second time, and from the fifth on much darker.
    frames = [VideoFrame(float(at), portrait // np.uint8(1 + (at > 3)) ^ np.uint8(8 * (at % 2))) for at in range(6)]
    seen = [(a.see(frame), b.see(frame)) for frame in frames]
    np.testing.assert_array_equal(seen[0][0].tokens_ND, seen[0][1].tokens_ND)
    shares = [[one.counts.dropped / (one.counts.dropped + one.counts.background) for one in pair] for pair in seen]
    assert {round(fixed_share, 1) for _, fixed_share in shares} == {0.4}
    assert len({mine for mine, _ in shares}) > 1
    window = Window(0, 0.0, 6.0, tuple(mine for mine, _ in seen), ())
    assert sum(adaptive.thinker.fast_label(window, Question()).probabilities.values()) == pytest.approx(1)


@pytest.mark.slow
def test_training_drops_what_serving_drops(a_recording: Path, tmp_path: Path) -> None:
    model = load(str(adaptive_nano(tmp_path / "nano", drop=0.5)), engine="torch")
    clip = watch(a_recording, model)
    text = model.thinker.query_embeddings(Question(labels=model.labels))
    trained = ClipTokens(model.weights, cues_off=0.0).make(clip, text, draw=0)
    perception = model.perceiver(seed=0)
    served = [perception.see(VideoFrame(seen.evidence.at_s, seen.rgb_HW3)) for seen in clip.frames]
    assert [tokens.x_ND.shape[0] for tokens in trained.frames] == [seen.tokens_ND.shape[0] for seen in served]
    assert len({seen.counts.dropped for seen in served}) > 1


def test_it_needs_selectors(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, selectors=False)
    (tmp_path / "emothinker.json").write_text('{"selection": "adaptive"}')
    with pytest.raises(BadModel, match=r"selection is adaptive in emothinker.json, which needs selectors"):
        checkpoint.read_config(tmp_path)
