"""Dynamic emotion tokens: learned queries read one frame or utterance, and a gate keeps those that say something.

This is the second part of our reading of EmoChat. A few queries, which also follow the question's words, attend to a
modality's tokens. Each result goes through a gate of its own; at least one is kept. What is kept is summed, brought to
the model's width, and added to the last token of the frame or utterance, which has its last TMRoPE time.

They are not tokens with positions of their own, because such a token changes an answer even where it is zero: it is
attended to. The matrix that brings the sum to the model's width begins at 0, as in LoRA. So an untrained model equals
the one that it was made from, and still learns from the first step on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from realtime.records import LABELS

N_TOKENS = 4
"Learned queries of a modality."
KEPT_FROM = 0.5
"A token is kept where its gate is open this far."


@dataclass(frozen=True)
class MadeTokens:
    """The emotion tokens of one frame or utterance."""

    tokens_MI: Tensor
    kept_M: Tensor
    "1 where a token is kept, else 0; its gradient is that of `open_M`."
    open_M: Tensor
    "How far each token's gate is open, in 0–1."

    @property
    def sum_I(self) -> Tensor:
        """Those that are kept, added."""
        return self.kept_M @ self.tokens_MI


class KeepGate(nn.Module):
    """(M, I) tokens → how far the gate of each is open, and 1 where it is kept."""

    def __init__(self, inner: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.empty(N_TOKENS, inner))
        nn.init.normal_(self.weights, std=1 / math.sqrt(inner))

    def forward(self, tokens_MI: Tensor) -> tuple[Tensor, Tensor]:
        open_M = torch.sigmoid((self.weights * tokens_MI).sum(-1))
        kept_M = (open_M >= KEPT_FROM) | (open_M == open_M.max())
        # Straight through: the gate is hard, its gradient soft. In brackets, so that 0 and 1 stay exact.
        return open_M, kept_M.to(open_M.dtype) + (open_M - open_M.detach())


class EmotionTokens(nn.Module):
    """Makes the emotion tokens of one modality."""

    def __init__(self, dim: int, inner: int, *, gated: bool) -> None:
        """Without `gated`, all are kept."""
        super().__init__()
        self.queries = nn.Parameter(torch.empty(N_TOKENS, inner))
        nn.init.normal_(self.queries)
        self.text = nn.Linear(dim, inner, bias=False)
        self.key = nn.Linear(dim, inner, bias=False)
        self.value = nn.Linear(dim, inner, bias=False)
        self.gate = KeepGate(inner) if gated else None
        self.labels = nn.Linear(inner, len(LABELS))
        "What the tokens say of the emotion. It is for training alone."
        self.out = nn.Linear(inner, dim, bias=False)
        nn.init.zeros_(self.out.weight)

    def forward(self, x_ND: Tensor, text_QD: Tensor) -> MadeTokens:
        """The tokens that are made of a frame's or an utterance's, N ≥ 1, for this question."""
        # Tokens of the towers are much larger than embeddings, and of any size in another checkpoint.
        x_ND, text_QD = (F.rms_norm(x, x.shape[-1:]) for x in (x_ND, text_QD))
        queries_MI = self.queries + self.text(text_QD.mean(0))
        scores_MN = queries_MI @ self.key(x_ND).T / math.sqrt(self.queries.shape[1])
        tokens_MI = torch.softmax(scores_MN, dim=-1) @ self.value(x_ND)
        if self.gate is None:
            all_M = torch.ones_like(tokens_MI[:, 0])
            return MadeTokens(tokens_MI, all_M, all_M)
        open_M, kept_M = self.gate(tokens_MI)
        return MadeTokens(tokens_MI, kept_M, open_M)

    def added(self, x_ND: Tensor, text_QD: Tensor) -> Tensor:
        """(D,) what is added to the last token of the frame or utterance."""
        return self.out(self(x_ND, text_QD).sum_I)  # type: ignore[no-any-return]
