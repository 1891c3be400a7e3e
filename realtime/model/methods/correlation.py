"""The correlation aggregator: words are added to the voice where they fit it, and elsewhere it is left alone.

This is the third part of our reading of EmoChat. Voice and words are brought into one space. Each token of the voice
attends to the words, and its correlation with what it finds there decides how much of that is added to it. Two
summaries follow: of the tokens that agree with the words, and of those that don't, which is where irony would be heard.

In a session the words come after the voice, which the KV cache holds by then. So it is the summaries that are read:
they are added to the last two tokens before the judgement, through matrices that begin at 0, as in LoRA. An untrained
aggregator changes nothing, and neither does any where no words are known.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SHIFT = 25
"Tokens of the voice in a second, by which its tone may come before or after the words that it belongs to."


@dataclass(frozen=True)
class Correlated:
    """A voice with its words."""

    agree_I: Tensor
    discord_I: Tensor
    voice_I: Tensor
    "Mean of the voice's tokens with what the words add to them."
    words_I: Tensor
    correlation_N: Tensor
    "Of each token of the voice with the words, −1…1."


class CorrelationAggregator(nn.Module):
    """(N, D) tokens of a voice and (L, D) embeddings of its words → what they have in common, and what not."""

    def __init__(self, dim: int, inner: int) -> None:
        super().__init__()
        self.voice = nn.Linear(dim, inner, bias=False)
        self.words = nn.Linear(dim, inner, bias=False)
        self.share = nn.Parameter(torch.ones(()))
        "How much of the words a token gets at most."
        self.slope = nn.Parameter(torch.full((), 4.0))
        self.offset = nn.Parameter(torch.zeros(()))
        self.agree = nn.Linear(inner, dim, bias=False)
        self.discord = nn.Linear(inner, dim, bias=False)
        nn.init.zeros_(self.agree.weight)
        nn.init.zeros_(self.discord.weight)

    def forward(self, voice_ND: Tensor, words_LD: Tensor) -> Correlated:
        """N and L are at least 1."""
        voice_NI, words_LI = self.voice(same_size(voice_ND)), self.words(same_size(words_LD))
        attention_NL = torch.softmax(voice_NI @ words_LI.T / math.sqrt(voice_NI.shape[1]), dim=-1)
        found_NI = attention_NL @ words_LI
        r_N = shifted_correlation(voice_NI, found_NI)
        voice_NI = voice_NI + self.share * torch.sigmoid(self.slope * r_N + self.offset)[:, None] * found_NI
        return Correlated(
            agree_I=torch.softmax(r_N, dim=0) @ voice_NI,
            discord_I=torch.softmax(-r_N, dim=0) @ voice_NI,
            voice_I=voice_NI.mean(0),
            words_I=words_LI.mean(0),
            correlation_N=r_N,
        )

    def added(self, voice_ND: Tensor, words_LD: Tensor) -> Tensor:
        """(2, D) what is added to the last two tokens before the judgement: agreement, then discord."""
        found = self(voice_ND, words_LD)
        return torch.stack([self.agree(found.agree_I), self.discord(found.discord_I)])


def same_size(x: Tensor) -> Tensor:
    """Rows of one length: tokens of the towers are much larger than embeddings of words."""
    return F.rms_norm(x, x.shape[-1:])


def shifted_correlation(voice_NI: Tensor, found_NI: Tensor) -> Tensor:
    """(N,) the largest cosine of what a token found in the words with the voice there, a second before or after."""
    voice_NI, found_NI = F.normalize(voice_NI, dim=-1), F.normalize(found_NI, dim=-1)
    r_N = (voice_NI * found_NI).sum(-1)
    if r_N.shape[0] <= SHIFT:
        return r_N
    before_N = F.pad((voice_NI[:-SHIFT] * found_NI[SHIFT:]).sum(-1), (SHIFT, 0), value=-1.0)
    after_N = F.pad((voice_NI[SHIFT:] * found_NI[:-SHIFT]).sum(-1), (0, SHIFT), value=-1.0)
    return torch.stack([r_N, before_N, after_N]).amax(0)
