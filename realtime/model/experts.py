"""Two small convolutional experts. Their outputs enter the Thinker as cue tokens.

`FaceExpert` takes a 48×48 grey crop cut along the face mesh. `VoiceExpert` takes the log-mel of one utterance and its
prosody statistics. Both have well under a million parameters, and `train/nano/` trains them. Their outputs are
log-probabilities over `EXPERT_LABELS`. Features of a penultimate layer would tie the Thinker to one training run of the
expert; log-probabilities do not, and they can be cross-fitted, so that the Thinker learns how far to trust them.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from realtime.records import LABELS

EXPERT_LABELS = LABELS
FACE_CROP_PX = 48
MEL_BINS = 128


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


class VoiceExpert(nn.Module):
    """Log-mel and prosody statistics of one utterance → (B, 7) log-probabilities.

    Two networks vote: a perceptron on the statistics, and convolutions on the log-mel. Each has its own head and loss.
    Trained as one, the convolutions memorise the training voices and outweigh the statistics (`train/LOG.md`).
    """

    CONVOLUTION_VOTE = 0.35
    "Weight of the convolutions' logits, relative to 1 for the statistics'. Chosen on validation actors."

    def __init__(self, n_features: int, width: int = 64) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            [
                nn.Conv1d(MEL_BINS, width, 5, stride=2, padding=2),
                nn.Conv1d(width, width, 5, stride=2, padding=2),
                nn.Conv1d(width, width, 3, padding=1),
            ]
        )
        self.norms = nn.ModuleList([nn.BatchNorm1d(width) for _ in self.convs])
        self.convolution_head = nn.Sequential(nn.Dropout(0.5), nn.Linear(2 * width, len(EXPERT_LABELS)))
        self.statistics_head = nn.Sequential(
            nn.Dropout(0.2), nn.Linear(n_features, 256), nn.ReLU(), nn.Dropout(0.5), nn.Linear(256, len(EXPERT_LABELS))
        )

    def forward(self, mel_BFT: Tensor, n_frames_B: Tensor, features_BP: Tensor) -> Tensor:
        """(B, 7) log-probabilities.

        `mel_BFT` (B, 128, T) is the Whisper log-mel, `n_frames_B` its true lengths, `features_BP` the normalised
        statistics.
        """
        convolution, statistics = self.votes(mel_BFT, n_frames_B, features_BP)
        return torch.log_softmax(statistics + self.CONVOLUTION_VOTE * convolution, dim=-1)

    def votes(self, mel_BFT: Tensor, n_frames_B: Tensor, features_BP: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, 7) of the convolutions and of the statistics."""
        keep = (torch.arange(mel_BFT.shape[2], device=mel_BFT.device)[None] < n_frames_B[:, None]).to(mel_BFT.dtype)
        n = keep.sum(1).clamp(min=1)[:, None, None]
        # Gain shifts a log-mel by a constant. Subtracting the mean over time removes it, and the microphone's colour.
        mean = (mel_BFT * keep[:, None]).sum(2, keepdim=True) / n
        x = F.avg_pool1d((mel_BFT - mean) * keep[:, None], 2)
        keep = keep[:, 0 : 2 * x.shape[2] : 2]
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = F.relu(norm(conv(x)))
            if keep.shape[1] != x.shape[2]:
                keep = keep[:, ::2]  # this convolution has stride 2
            x = x * keep[:, None]
        n = keep.sum(1).clamp(min=1)[:, None]
        joined = torch.cat([x.sum(2) / n, x.amax(2)], dim=1)
        return self.convolution_head(joined), self.statistics_head(features_BP)
