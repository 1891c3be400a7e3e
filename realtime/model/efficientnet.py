"""EfficientNet-Lite0 (Tan & Le 2019; the Lite variant has ReLU6 and no squeeze-and-excitation), without its classifier.

Training starts from published weights (`from_published`) with batch norm. Serving has the batch norms folded into the
convolutions (`fold`), which gives the same output in less time.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STEM_WIDTH = 32
WIDTH = 1280
"Features per picture."
STAGES = (
    # repeats, kernel, stride of the first block, expansion, width
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
NORM_EPSILON = 1e-3
NORM_MOMENTUM = 0.01


class Unit(nn.Module):
    """Convolution, batch norm unless it is folded, and ReLU6 if `active`. Padding is TensorFlow's `same`.

    For stride 2 that padding is asymmetric, and the sides of the input have to be even.
    """

    def __init__(
        self,
        n_in: int,
        n_out: int,
        kernel: int,
        *,
        stride: int = 1,
        groups: int = 1,
        active: bool = True,
        folded: bool = False,
    ) -> None:
        super().__init__()
        padding = kernel // 2 if stride == 1 else 0
        self.conv = nn.Conv2d(n_in, n_out, kernel, stride=stride, padding=padding, groups=groups, bias=folded)
        self.norm = None if folded else nn.BatchNorm2d(n_out, eps=NORM_EPSILON, momentum=NORM_MOMENTUM)
        self.active = active
        before = (kernel - 2) // 2
        after = kernel - 2 - before
        self.border = (before, after, before, after) if stride == 2 else None

    def forward(self, x_BCHW: Tensor) -> Tensor:
        if self.border is not None:
            x_BCHW = F.pad(x_BCHW, self.border)
        x_BCHW = self.conv(x_BCHW)
        if self.norm is not None:
            x_BCHW = self.norm(x_BCHW)
        return F.relu6(x_BCHW, inplace=True) if self.active else x_BCHW

    def fold(self) -> None:
        """Merge the batch norm, with its running statistics, into the convolution."""
        if self.norm is None:
            return
        norm, old = self.norm, self.conv
        assert norm.running_mean is not None
        assert norm.running_var is not None
        with torch.no_grad():
            gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
            new = nn.Conv2d(
                old.in_channels,
                old.out_channels,
                old.kernel_size[0],
                stride=old.stride[0],
                padding=int(old.padding[0]),
                groups=old.groups,
            )
            new.weight.copy_(old.weight * gain[:, None, None, None])
            assert new.bias is not None
            new.bias.copy_(norm.bias - norm.running_mean * gain)
        self.conv, self.norm = new, None


class Block(nn.Module):
    """Inverted residual: widen (1×1), filter each channel (depthwise), narrow (1×1); a skip where shapes agree."""

    def __init__(self, n_in: int, n_out: int, kernel: int, stride: int, expansion: int, *, folded: bool) -> None:
        super().__init__()
        wide = n_in * expansion
        self.expand = Unit(n_in, wide, 1, folded=folded) if expansion > 1 else None
        self.depthwise = Unit(wide, wide, kernel, stride=stride, groups=wide, folded=folded)
        self.project = Unit(wide, n_out, 1, active=False, folded=folded)
        self.skips = stride == 1 and n_in == n_out

    def forward(self, x_BCHW: Tensor) -> Tensor:
        wide = x_BCHW if self.expand is None else self.expand(x_BCHW)
        out: Tensor = self.project(self.depthwise(wide))
        return x_BCHW + out if self.skips else out


class EfficientNetLite0(nn.Module):
    """(B, C, H, W) → (B, 1280, H / 32, W / 32). H and W are multiples of 32. 3.4 M parameters."""

    def __init__(self, n_channels: int = 3, *, folded: bool = False) -> None:
        super().__init__()
        self.stem = Unit(n_channels, STEM_WIDTH, 3, stride=2, folded=folded)
        blocks, n_in = [], STEM_WIDTH
        for repeats, kernel, stride, expansion, n_out in STAGES:
            for index in range(repeats):
                first = index == 0
                blocks.append(Block(n_in, n_out, kernel, stride if first else 1, expansion, folded=folded))
                n_in = n_out
        self.blocks = nn.ModuleList(blocks)
        self.head = Unit(n_in, WIDTH, 1, folded=folded)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        x_BCHW = self.stem(x_BCHW)
        for block in self.blocks:
            x_BCHW = block(x_BCHW)
        features: Tensor = self.head(x_BCHW)
        return features


def fold(module: nn.Module) -> None:
    """Fold all batch norms inside `module`, which is then for evaluation alone."""
    for unit in [part for part in module.modules() if isinstance(part, Unit)]:
        unit.fold()


def from_published(state: Mapping[str, Tensor], *, n_channels: int) -> dict[str, Tensor]:
    """The published names and shapes → those of an `EfficientNetLite0` that is not folded. Its classifier is left out.

    With one channel, the stem's three are summed: a grey picture gives what it gives as red, green and blue alike.
    """
    units = {"stem": ("_conv_stem", "_bn0"), "head": ("_conv_head", "_bn1")}
    for index in range(sum(stage[0] for stage in STAGES)):
        theirs, ours = f"_blocks.{index}", f"blocks.{index}"
        if index > 0:
            units[f"{ours}.expand"] = (f"{theirs}._expand_conv", f"{theirs}._bn0")
        units[f"{ours}.depthwise"] = (f"{theirs}._depthwise_conv", f"{theirs}._bn1")
        units[f"{ours}.project"] = (f"{theirs}._project_conv", f"{theirs}._bn2")
    out: dict[str, Tensor] = {}
    for ours, (conv, norm) in units.items():
        out[f"{ours}.conv.weight"] = state[f"{conv}.weight"]
        for key in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
            out[f"{ours}.norm.{key}"] = state[f"{norm}.{key}"]
    if n_channels == 1:
        out["stem.conv.weight"] = out["stem.conv.weight"].sum(dim=1, keepdim=True)
    return out
