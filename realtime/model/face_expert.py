"""The expert on faces: two convolutional networks. Its output enters the Thinker as a cue token.

Both take a grey crop cut along the face mesh (`towers/preprocess.py`). `FaceNetwork` starts from ImageNet
(`train/nano/face_expert.py`). `SmallFaceNetwork` is trained from scratch (`train/nano/face_small.py`). They err on
different faces: on people seen in neither training their mean is right more often than each (`train/LOG.md`).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from realtime.model.efficientnet import WIDTH, EfficientNetLite0
from realtime.model.experts import EXPERT_LABELS

FACE_CROP_PX = 96
SMALL_CROP_PX = 48


def standardised(crops_B1HW: Tensor) -> Tensor:
    """Each crop against its own mean and spread, since light and camera gain carry no emotion."""
    mean = crops_B1HW.mean(dim=(2, 3), keepdim=True)
    std = crops_B1HW.std(dim=(2, 3), keepdim=True)
    return (crops_B1HW - mean) / (std + 0.02)


class FaceNetwork(nn.Module):
    """(B, 1, 96, 96) grey in 0–1 → (B, 7) log-probabilities over EXPERT_LABELS. 3.4 M parameters.

    The crop is grey since all labelled faces are, and colour tells of the camera and the light more than of a mood.
    `folded` is the form that is served and stored; training has batch norms.
    """

    def __init__(self, *, folded: bool = True) -> None:
        super().__init__()
        self.trunk = EfficientNetLite0(n_channels=1, folded=folded)
        self.dropout = nn.Dropout(0.3)
        self.label_head = nn.Linear(WIDTH, len(EXPERT_LABELS))

    def forward(self, crops_B1HW: Tensor) -> Tensor:
        features = self.trunk(standardised(crops_B1HW)).mean(dim=(2, 3))
        return torch.log_softmax(self.label_head(self.dropout(features)), dim=-1)


class ConvBlock(nn.Sequential):
    """Convolution (3×3 by default), batch norm, ReLU."""

    def __init__(self, n_in: int, n_out: int, kernel: int = 3) -> None:
        super().__init__(
            nn.Conv2d(n_in, n_out, kernel, padding=kernel // 2, bias=False),
            nn.BatchNorm2d(n_out),
            nn.ReLU(inplace=True),
        )


class SmallFaceNetwork(nn.Module):
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
        x = F.max_pool2d(self.stem(standardised(crops_B1HW)), 2)  # 24
        x = F.max_pool2d(self.stage1(x), 2)  # 12
        x = F.max_pool2d(self.stage2(x), 2)  # 6
        x = self.stage3(x).mean(dim=(2, 3))  # (B, 160)
        return torch.log_softmax(self.head(self.dropout(x)), dim=-1)


def both_ways(network: nn.Module, crops_B1HW: Tensor) -> Tensor:
    """(B, 7) log-probabilities, the mean for each crop and its mirror image, which shows the same emotion."""
    both_2B7 = network(torch.cat([crops_B1HW, crops_B1HW.flip(-1)])).unflatten(0, (2, -1))
    # Not logaddexp, which the exporter writes without care for small probabilities.
    return torch.logsumexp(both_2B7, dim=0) - math.log(2)


class FaceExpert(nn.Module):
    """(B, 1, 96, 96) grey in 0–1 → (B, 7) log-probabilities over EXPERT_LABELS: the log-linear mean of two networks."""

    def __init__(self) -> None:
        super().__init__()
        self.network = FaceNetwork()
        self.small = SmallFaceNetwork()
        self._channels_innermost = False

    def put_channels_innermost(self) -> None:
        """Lay out the weights so that convolutions on a CPU take two thirds of the time. A second call does nothing."""
        if not self._channels_innermost:
            self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            self._channels_innermost = True

    def forward(self, crops_B1HW: Tensor) -> Tensor:
        smaller = F.avg_pool2d(crops_B1HW, FACE_CROP_PX // SMALL_CROP_PX)
        told = both_ways(self.network, crops_B1HW) + both_ways(self.small, smaller)
        return torch.log_softmax(told / 2, dim=-1)
