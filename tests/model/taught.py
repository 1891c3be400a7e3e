"""Models of other methods, as a training could leave them."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch

from realtime.model import checkpoint
from realtime.model.config import Method
from realtime.model.thinker import EmoThinker
from train.tuning.initial_model import let_it_read, save_additions, with_additions

TaughtMethod = Literal["adaptive", "hybrid", "emochat", "emochat with words"]
OF: dict[TaughtMethod, Method] = {
    "adaptive": "emothinker", "hybrid": "hybrid", "emochat": "emochat", "emochat with words": "emochat",
}  # fmt: skip


def adapter_of(method: TaughtMethod, folder: Path) -> Path:
    """An adapter of nano by this method, in `folder`. The hybrid's share of background follows the content, too."""
    words = method == "emochat with words"
    model, emotion = with_additions(
        checkpoint.NANO,
        selector_dim=64,
        cues=True,
        ring=None,
        method=OF[method],
        selection="adaptive" if method in ("adaptive", "hybrid") else "fixed",
        words=words,
        dtype=torch.float32,
    )
    let_it_read(model, emotion, words=words, measured=False)
    if model.emotion.hybrid is not None:
        taught_hybrid(model)
    if model.emotion.face_tokens is not None:
        taught_emochat(model)
    save_additions(model, emotion, folder)
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
    """The agent for action units, the emotion tokens, and the aggregator where there is one, add something."""
    torch.manual_seed(0)
    assert model.emotion.action_units is not None
    torch.nn.init.normal_(model.emotion.action_units.codes.weight)
    for tokens in (model.emotion.face_tokens, model.emotion.voice_tokens):
        assert tokens is not None
        torch.nn.init.normal_(tokens.out.weight, std=0.1)
    if (aggregator := model.emotion.correlation) is not None:
        for summary in (aggregator.agree, aggregator.discord):
            torch.nn.init.normal_(summary.weight, std=0.5)
    return model
