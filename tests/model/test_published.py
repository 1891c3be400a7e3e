"""The published 3B and 7B, checked without their weights: names and shapes of every tensor, as transformers has them.

transformers builds each model at full size on the meta device, which takes no memory, from the shapes that we take the
published ones to be. What its own loader would look for in a file has to be what we look for.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest
import torch

from realtime.model import checkpoint
from realtime.model.blank import blank_modules
from realtime.model.config import PUBLISHED_SHAPES, ModelConfig, published_config
from realtime.model.thinker import EmoThinker

transformers = pytest.importorskip("transformers")


def theirs(shapes: str) -> torch.nn.Module:
    """transformers' Thinker on the meta device."""
    from transformers.models.qwen2_5_omni import configuration_qwen2_5_omni as c

    ours = ModelConfig.parse(published_config(shapes))
    text: dict[str, Any] = {**PUBLISHED_SHAPES[shapes]}
    config = c.Qwen2_5OmniThinkerConfig(
        text_config=c.Qwen2_5OmniTextConfig(**text).to_dict(),
        vision_config=c.Qwen2_5OmniVisionEncoderConfig(**asdict(ours.vision)).to_dict(),
        audio_config=c.Qwen2_5OmniAudioEncoderConfig(**asdict(ours.audio)).to_dict(),
    )
    with torch.device("meta"):
        model: torch.nn.Module = transformers.Qwen2_5OmniThinkerForConditionalGeneration(config)
    return model


@pytest.mark.parametrize("shapes", sorted(PUBLISHED_SHAPES))
def test_every_tensor_has_the_name_and_the_shape_that_transformers_gives_it(shapes: str) -> None:
    with blank_modules():
        ours = EmoThinker(ModelConfig.parse(published_config(shapes))).state_dict()
    wanted: dict[str, tuple[int, ...]] = {}
    for key, tensor in theirs(shapes).state_dict().items():
        name = checkpoint.published_name(f"thinker.{key}")
        if name is not None:
            wanted[name] = tuple(tensor.shape)
    assert {key: tuple(tensor.shape) for key, tensor in ours.items()} == wanted


@pytest.mark.parametrize("key", [
    "talker.model.layers.0.self_attn.q_proj.weight", "token2wav.code2wav_bigvgan_model.conv_pre.weight",
    "thinker.audio_tower.audio_bos_eos_token.weight", "thinker.audio_tower.positional_embedding.positional_embedding",
])  # fmt: skip
def test_what_only_speaking_needs_is_not_read(key: str) -> None:
    assert checkpoint.published_name(key) is None
