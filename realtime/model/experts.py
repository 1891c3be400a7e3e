"""Two small experts. Their outputs enter the Thinker as cue tokens.

`FaceExpert` takes a 48×48 grey crop cut along the face mesh. `VoiceExpert` takes what the audio tower's layers and the
prosody statistics say of one utterance. `train/nano/` trains both. Their outputs are log-probabilities over
`EXPERT_LABELS`. Features of a penultimate layer would tie the Thinker to one training run of the expert;
log-probabilities do not, and they can be cross-fitted, so that the Thinker learns how far to trust them.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from realtime.records import LABELS

EXPERT_LABELS = LABELS
FACE_CROP_PX = 48


class ConvBlock(nn.Sequential):
    """Convolution (3×3 by default), batch norm, ReLU."""

    def __init__(self, n_in: int, n_out: int, kernel: int = 3) -> None:
        super().__init__(
            nn.Conv2d(n_in, n_out, kernel, padding=kernel // 2, bias=False),
            nn.BatchNorm2d(n_out),
            nn.ReLU(inplace=True),
        )


class FaceExpert(nn.Module):
    """(B, 1, 48, 48) grey in 0–1 → (B, 7) log-probabilities. 0.5 M parameters, 60 M multiply-adds per face."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = ConvBlock(1, 32, kernel=5)
        self.stage1 = nn.Sequential(ConvBlock(32, 48), ConvBlock(48, 64))
        self.stage2 = nn.Sequential(ConvBlock(64, 96), ConvBlock(96, 128))
        self.stage3 = nn.Sequential(ConvBlock(128, 160), ConvBlock(160, 160))
        self.dropout = nn.Dropout(0.3)
        self.head = nn.Linear(160, len(EXPERT_LABELS))

    def forward(self, crops_B1HW: Tensor) -> Tensor:
        # Each crop is standardised by itself, since light and camera gain carry no emotion.
        mean = crops_B1HW.mean(dim=(2, 3), keepdim=True)
        std = crops_B1HW.std(dim=(2, 3), keepdim=True)
        x = (crops_B1HW - mean) / (std + 0.02)
        x = F.max_pool2d(self.stem(x), 2)  # 24
        x = F.max_pool2d(self.stage1(x), 2)  # 12
        x = F.max_pool2d(self.stage2(x), 2)  # 6
        x = self.stage3(x).mean(dim=(2, 3))  # (B, 160)
        return torch.log_softmax(self.head(self.dropout(x)), dim=-1)


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
