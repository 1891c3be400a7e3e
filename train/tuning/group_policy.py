"""Group relative policy optimisation: advantages within a group of chains of one window, and the loss.

    A = (r − mean of the group) / (standard deviation of the group + 1e-4)
    loss of a chain = mean over its tokens of −min(ρ A, clip(ρ, 1 − ε, 1 + ε) A) + β ρ (e^d − d − 1)

with ρ = π / π_drawn, d = log π₀ − log π (Shao et al., *DeepSeekMath*, 2024, equations 3 and 4). The ρ before the
divergence is DeepSeek-V3.2's: with it the slope is that of the divergence of π from π₀. `tests/train/test_trl.py`
compares loss and slopes with those of trl's code (`loss_type="grpo"`), for the same log-probabilities.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

EPSILON = 1e-4
"Added to a standard deviation, as in trl."


def normalised(rewards_NG: Tensor) -> Tensor:
    """(N, G) rewards of each group less its mean, in its standard deviations. Equal rewards give exactly 0."""
    centred_NG = rewards_NG - rewards_NG.mean(1, keepdim=True)
    deviation_N1 = rewards_NG.std(1, keepdim=True)
    return torch.where(spread(rewards_NG)[:, None], centred_NG / (deviation_N1 + EPSILON), 0.0)


def spread(rewards_NG: Tensor) -> Tensor:
    """(N,) bool: which groups have unequal rewards, and so something to learn from."""
    return (rewards_NG.amax(1) - rewards_NG.amin(1)) > 1e-6


def advantages(rewards: Mapping[str, Tensor], weights: Mapping[str, float], apart: tuple[str, ...] = ()) -> Tensor:
    """(N, G) advantages of `rewards`, each (N, G), with these weights.

    All are added before they are normalised, but those in `apart`: each of them is normalised for itself and then
    added, so that a rise of one is not paid for with the other unseen (precision and recall, in MER-R1).
    """
    joint = [weights[name] * value for name, value in rewards.items() if name not in apart]
    alone = [weights[name] * normalised(value) for name, value in rewards.items() if name in apart]
    return torch.stack([*([normalised(torch.stack(joint).sum(0))] if joint else []), *alone]).sum(0)


def policy_loss(
    now_BT: Tensor,
    drawn_BT: Tensor,
    before_BT: Tensor,
    advantages_B: Tensor,
    mask_BT: Tensor,
    *,
    beta: float,
    clip: float,
) -> tuple[Tensor, Tensor]:
    """The loss, as a mean over chains, and the mean over tokens of the divergence from the model as it began.

    Log-probabilities (B, T) of the tokens: as the model is now, as they were drawn, and as the model began. `mask_BT`
    is True for tokens that the model wrote.
    """
    ratio_BT = torch.exp(now_BT - drawn_BT)
    gain_BT = torch.minimum(
        ratio_BT * advantages_B[:, None], ratio_BT.clamp(1 - clip, 1 + clip) * advantages_B[:, None]
    )
    ahead_BT = before_BT - now_BT
    divergence_BT = torch.exp(ahead_BT) - ahead_BT - 1
    each_BT = torch.where(mask_BT, beta * ratio_BT * divergence_BT - gain_BT, 0.0)
    n_B = mask_BT.sum(1).clamp(min=1)
    divergence = torch.where(mask_BT, divergence_BT, 0.0).sum() / n_B.sum()
    return (each_BT.sum(1) / n_B).mean(), divergence.detach()
