"""An adapter beside the backbone is the same model as one merged into it, and its neighbours do not notice."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from realtime.errors import BadModel
from realtime.model import adapters, checkpoint
from realtime.model.fused import FusedLanguageModel, KVCache
from tests.model.adapter_files import of_language_model, write


def hidden(language: FusedLanguageModel, x_TD: torch.Tensor) -> torch.Tensor:
    cache = KVCache(language.config, 16, dtype=x_TD.dtype, device=x_TD.device)
    return language.extend(x_TD, *language.text_rotary(0, x_TD.shape[0]), cache)


def apart(a: torch.Tensor, b: torch.Tensor) -> float:
    """Against the size of the whole. Merged weights are rounded to the 16 bits of the file; those beside are not."""
    return float((a - b).norm() / b.norm())


@torch.inference_mode()
def test_beside_is_as_merged_and_the_backbone_stays_as_it_was(tmp_path: Path) -> None:
    plain = checkpoint.load(checkpoint.NANO)
    folder = of_language_model(plain, tmp_path / "adapter")
    merged = checkpoint.load(checkpoint.NANO, adapter=folder)
    language = FusedLanguageModel(plain.thinker.model, plain.thinker.lm_head)
    x = plain.embed(torch.arange(9))
    before = hidden(language, x)
    pairs = adapters.read(folder, plain.config.text, dtype=torch.float32, device=plain.device)
    beside = hidden(language.adapted(pairs), x)
    expected = hidden(FusedLanguageModel(merged.thinker.model, merged.thinker.lm_head), x)
    assert apart(beside, expected) < 1e-3 < 0.1 < apart(beside, before)
    torch.testing.assert_close(hidden(language, x), before)


def test_an_adapter_of_the_towers_cannot_stand_beside(tmp_path: Path) -> None:
    plain = checkpoint.load(checkpoint.NANO)
    name = next(
        key for key in plain.state_dict() if key.startswith("thinker.visual") and "attn" in key and "weight" in key
    )
    shapes = {name: tuple(plain.state_dict()[name].shape)}
    folder = write(tmp_path / "adapter", [name.removesuffix(".weight")], shapes, seed=0)
    with pytest.raises(BadModel, match="not in the language model"):
        adapters.read(folder, plain.config.text, dtype=torch.float32, device=plain.device)
