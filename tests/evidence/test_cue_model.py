"""A session beside a GPU: it measures and projects on the CPU in full; towers and Thinker are there, and narrower."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from realtime.engine import loading
from realtime.engine.loading import LoadedModel
from realtime.errors import EngineMissing
from realtime.evidence.cue_model import cue_model, cue_weights
from realtime.model import checkpoint
from realtime.model.tokenizer import Vocabulary
from realtime.reason.reasoner import Reasoner
from realtime.records import LABELS, Label, Question, SpeechSegment, VideoFrame, Window
from realtime.towers.torch_runtime import TorchTowers
from train.arrays import AnyArray


@pytest.fixture(scope="module")
def beside() -> LoadedModel:
    """As on a GPU: here the CPU plays it, in the GPU's precision."""
    folder = checkpoint.locate("nano")
    weights = checkpoint.load(folder, dtype=torch.bfloat16)
    reasoner, towers = Reasoner(weights, Vocabulary.read(folder)), TorchTowers(weights)
    own = cue_model(weights.config, cue_weights(weights))
    return LoadedModel("nano", "torch", LABELS, reasoner, weights, towers, own)


def answered(model: LoadedModel) -> tuple[AnyArray, AnyArray, Label]:
    """Tokens of a picture and of a sound, and the label of both."""
    rng = np.random.default_rng(0)
    perceiver = model.perceiver(seed=0)
    try:
        picture = np.clip(rng.normal(128, 30, (240, 320, 3)), 0, 255).astype(np.uint8)
        seen = perceiver.see(VideoFrame(0.5, picture))
        heard = perceiver.hear(SpeechSegment(0.0, 2.0, rng.normal(0, 0.1, 32_000).astype(np.float32)))
        label = model.thinker.fast_label(Window(0, 0.0, 2.0, (seen,), (heard,)), Question(labels=model.labels))
        return seen.tokens_ND, heard.tokens_ND, label
    finally:
        perceiver.close()


@pytest.mark.slow
def test_a_session_beside_a_gpu_finds_what_one_without_finds(nano: LoadedModel, beside: LoadedModel) -> None:
    for ours, plain in zip(answered(beside)[:2], answered(nano)[:2], strict=True):
        assert ours.dtype == np.float32
        assert ours.shape == plain.shape
        assert np.linalg.norm(ours - plain) <= 0.05 * np.linalg.norm(plain)


def test_its_label_is_about_the_same(nano: LoadedModel, beside: LoadedModel) -> None:
    ours, plain = answered(beside)[2].probabilities, answered(nano)[2].probabilities
    assert sum(ours.values()) == pytest.approx(1)
    assert max(abs(ours[name] - plain[name]) for name in plain) < 0.1


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_told(nano: LoadedModel) -> None:
    with pytest.raises(EngineMissing, match="no CUDA device"):
        loading.load("nano", device="cuda")
    assert not loading.wants_gpu("auto", large=False)
    assert nano.instruments is None
