"""The expert on voices. Its output, like that of the expert on faces (`face_expert.py`), enters the Thinker as a token.

`VoiceExpert` takes what the audio tower's layers and the prosody statistics say of one utterance. `train/nano/` trains
both experts. Their outputs are log-probabilities over `EXPERT_LABELS`. Features of a penultimate layer would tie the
Thinker to one training run of the expert; log-probabilities do not, and they can be cross-fitted, so that the Thinker
learns how far to trust them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from realtime.records import LABELS

EXPERT_LABELS = LABELS


def join_moments(moments_CLD: Tensor, n_frames_C: Tensor) -> Tensor:
    """(L, 2·D) mean and spread over time of each layer, from the moments of each chunk (`AudioTower.with_moments`)."""
    share_C = ((n_frames_C - 1) // 2 + 1).to(moments_CLD.dtype)
    mean_LD, square_LD = torch.einsum("c,cld->ld", share_C / share_C.sum(), moments_CLD).chunk(2, dim=-1)
    return torch.cat([mean_LD, (square_LD - mean_LD.square()).clamp(min=0).sqrt()], dim=-1)


class VoiceExpert(nn.Module):
    """What the audio tower's layers and prosody say of one utterance → (B, 7) log-probabilities over EXPERT_LABELS.

    The features of an utterance are the mean and spread over time of each layer (`join_moments`), then the prosody
    statistics. They are projected to a space in which voices vary alike in all directions (principal components within
    speakers). There the utterance is read twice, by itself and against the voice's usual. The usual is a running mean
    from which the expected contribution of the emotion is taken away (`without_emotion`). Otherwise somebody who shows
    one emotion only would seem to have none (`train/LOG.md`).
    """

    LIMIT = 6.0
    "Of a normalised feature, so that a broken microphone is only an outlier."

    def __init__(self, n_features: int, width: int) -> None:
        super().__init__()
        n = len(EXPERT_LABELS)
        self.mean_S: Tensor
        self.spread_S: Tensor
        self.basis_SK: Tensor
        self.effects_7K: Tensor
        self.temperature_3: Tensor
        self.register_buffer("mean_S", torch.zeros(n_features))
        self.register_buffer("spread_S", torch.ones(n_features))
        self.register_buffer("basis_SK", torch.zeros(n_features, width))
        self.register_buffer("effects_7K", torch.zeros(n, width))
        self.register_buffer("temperature_3", torch.tensor([1.0, 0.0, 1.0]))
        self.label = nn.Linear(2 * width, n)
        self.speech = nn.Linear(width, 1)

    @property
    def width(self) -> int:
        return self.basis_SK.shape[1]

    def read(self, features_BS: Tensor) -> Tensor:
        """(B, K) features in the expert's own space."""
        z_BS = ((features_BS - self.mean_S) / self.spread_S).clamp(-self.LIMIT, self.LIMIT)
        return z_BS @ self.basis_SK

    def forward(self, x_BK: Tensor, usual_BK: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 7) log-probabilities, and (B,) the probability that nobody speaks.

        The further an utterance is from those of the training, the less sure the labels are.
        """
        logits_B7 = self.label(torch.cat([x_BK, x_BK - usual_BK], dim=-1))
        base, per_distance, usual_distance = self.temperature_3.unbind()
        distance_B = x_BK.square().mean(-1).sqrt()
        temperature_B = base + per_distance * (distance_B - usual_distance).clamp(min=0)
        log_p_B7 = torch.log_softmax(logits_B7 / temperature_B[:, None], dim=-1)
        return log_p_B7, torch.sigmoid(-self.speech(x_BK)[:, 0])

    def without_emotion(self, x_BK: Tensor, log_p_B7: Tensor) -> Tensor:
        """(B, K) what the utterance says of the voice's usual: itself without what its likely emotions add."""
        return x_BK - log_p_B7.exp() @ self.effects_7K
