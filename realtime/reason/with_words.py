"""What the correlation aggregator adds to the judgement's state, for training and serving alike."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from realtime.model.thinker import EmoThinker
from realtime.reason.sequence import Encoder, stored_tokens
from realtime.records import Window


@dataclass(frozen=True)
class Added:
    """What is added to the embeddings of a judgement or an argument."""

    n_state: int
    "Tokens of the state, to the last two of which it is added."
    x_2D: Tensor

    def onto(self, x_ND: Tensor) -> Tensor:
        """The embeddings of a branch, which begins with the state, with this added."""
        end = self.n_state
        return torch.cat([x_ND[: end - 2], x_ND[end - 2 : end] + self.x_2D.to(x_ND.dtype), x_ND[end:]])


def voice_with_words(
    model: EmoThinker, encoder: Encoder, window: Window, *, n_state: int, newest_ND: Tensor | None = None
) -> Added | None:
    """What the voice of the newest utterance and its words add to a judgement whose state has `n_state` tokens.

    `newest_ND` are that utterance's tokens when training has just made them. Returns None where no words are known, for
    a checkpoint that does not read words, and for one without an aggregator.
    """
    aggregator = model.emotion.correlation
    if aggregator is None or not window.said or not window.speech:
        return None
    voice_ND = stored_tokens(model, window.speech[-1]).x_ND if newest_ND is None else newest_ND
    words = torch.tensor(encoder.ids(window.said), device=model.device)
    if not voice_ND.shape[0] or not words.shape[0]:
        return None
    return Added(n_state, aggregator.added(voice_ND, model.embed(words).detach()))
