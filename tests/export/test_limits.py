"""The limits that are computed for cards, against the model's own count of its weights."""

from __future__ import annotations

import pytest
import torch

from export.limits import audio, language_weights, limits, vision
from realtime.model.config import ModelConfig, published_config
from realtime.model.thinker import OmniThinker

CONFIG = ModelConfig.parse(published_config("3B"))


def test_weights_are_those_of_the_modules_but_for_norms_and_biases() -> None:
    with torch.device("meta"):
        thinker = OmniThinker(CONFIG)

    def matrices(module: torch.nn.Module) -> int:
        return sum(weight.numel() for weight in module.parameters() if weight.ndim > 1)

    assert language_weights(CONFIG.text) == (matrices(thinker.model.layers), thinker.lm_head.weight.numel())
    assert vision(CONFIG.vision)[0] == matrices(thinker.visual)
    assert audio(CONFIG.audio)[0] == pytest.approx(matrices(thinker.audio_tower), rel=0.01)


def test_a_faster_memory_decodes_faster_and_sees_no_sooner() -> None:
    slow, fast = (limits("3B", bytes_per_s=rate, flop_per_s=1e15) for rate in (1e12, 4e12))
    assert fast.decode_tokens_per_s == pytest.approx(4 * slow.decode_tokens_per_s)
    assert fast.frame_ms == slow.frame_ms
    assert fast.lanes_tokens_per_s > 7 * fast.decode_tokens_per_s
