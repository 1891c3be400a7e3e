"""Models of other methods, as a training could leave them."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch

from realtime.model import checkpoint
from realtime.model.thinker import EmoThinker
from train.tuning.initial_model import save_additions, with_additions

TaughtMethod = Literal["hybrid", "emochat"]


def adapter_of(method: TaughtMethod, folder: Path) -> Path:
    """An adapter of nano by this method, in `folder`. The hybrid's share of background follows the content."""
    model, emotion = with_additions(
        checkpoint.NANO,
        selector_dim=64,
        cues=True,
        ring=None,
        method=method,
        selection="adaptive" if method == "hybrid" else "fixed",
        dtype=torch.float32,
    )
    save_additions(taught_hybrid(model) if method == "hybrid" else taught_emochat(model), emotion, folder)
    return folder


def taught_hybrid(model: EmoThinker) -> EmoThinker:
    """The emotion merger is another than the general one, and the gate sees the frame."""
    assert model.emotion.hybrid is not None
    torch.manual_seed(0)
    for parameter in model.emotion.hybrid.merger.parameters():
        parameter.data += 0.5 * torch.randn_like(parameter) * parameter.std(correction=0)
    last = model.emotion.hybrid.gate.layers[-1]
    assert isinstance(last, torch.nn.Linear)
    last.weight.data.normal_(0, 0.5)
    last.bias.data.zero_()
    return model


def taught_emochat(model: EmoThinker) -> EmoThinker:
    """The agent for action units and the emotion tokens add something."""
    torch.manual_seed(0)
    assert model.emotion.action_units is not None
    torch.nn.init.normal_(model.emotion.action_units.codes.weight)
    for tokens in (model.emotion.face_tokens, model.emotion.voice_tokens):
        assert tokens is not None
        torch.nn.init.normal_(tokens.out.weight, std=0.1)
    return model
