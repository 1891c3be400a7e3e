"""Advantages and loss of group relative policy optimisation, with answers that are known."""

from __future__ import annotations

import math

import pytest
import torch

from train.tuning.group_policy import advantages, normalised, policy_loss, spread

EQUAL = {"answer": 1.0, "faithful": 1.0, "precision": 1.0, "recall": 1.0}


def test_advantages_are_deviations_from_the_group_and_equal_rewards_teach_nothing() -> None:
    rewards_NG = torch.tensor([[1.0, 0.0, 0.0, 1.0], [0.3, 0.3, 0.3, 0.3]])
    found_NG = normalised(rewards_NG)
    deviation = math.sqrt(4 * 0.25 / 3)
    assert found_NG[0].tolist() == pytest.approx([sign * 0.5 / (deviation + 1e-4) for sign in (1, -1, -1, 1)])
    assert found_NG[1].tolist() == [0.0] * 4
    assert spread(rewards_NG).tolist() == [True, False]


def test_rewards_are_added_by_their_weights_before_they_are_normalised() -> None:
    rewards = {"answer": torch.tensor([[1.0, 0.0]]), "faithful": torch.tensor([[0.0, 0.4]])}
    assert advantages(rewards, EQUAL)[0, 0] > 0
    assert advantages(rewards, {"answer": 1.0, "faithful": 5.0})[0, 0] < 0
    twice = {name: 2 * value for name, value in rewards.items()}
    assert torch.allclose(advantages(twice, EQUAL), advantages(rewards, EQUAL), atol=1e-3)


def test_precision_and_recall_are_normalised_apart() -> None:
    """A small difference of recall counts as much as a large one of precision; added first, it would be lost."""
    rewards = {"precision": torch.tensor([[1.0, 0.2, 1.0, 0.2]]), "recall": torch.tensor([[0.5, 0.6, 0.5, 0.6]])}
    apart = advantages(rewards, EQUAL, ("precision", "recall"))
    assert apart.abs().max() < 0.01
    assert advantages(rewards, EQUAL)[0, 0] > 0.5
    with_answer = advantages(rewards | {"answer": torch.tensor([[1.0, 0.0, 0.0, 0.0]])}, EQUAL, ("precision", "recall"))
    assert torch.allclose(with_answer - apart, normalised(torch.tensor([[1.0, 0.0, 0.0, 0.0]])))


def of(*values: float) -> torch.Tensor:
    return torch.tensor([list(values)])


def test_the_loss_of_one_chain_is_that_of_the_paper() -> None:
    now, drawn, before = of(-1.0, -2.0, -9.0), of(-1.2, -1.5, 0.0), of(-1.1, -2.0, 5.0)
    mask = torch.tensor([[True, True, False]])
    loss, divergence = policy_loss(now, drawn, before, torch.tensor([2.0]), mask, beta=0.5, clip=0.2)
    gains = [2 * min(math.exp(0.2), 1.2), 2 * math.exp(-0.5)]
    apart = [math.exp(-0.1) + 0.1 - 1, 0.0]
    expected = (0.5 * math.exp(0.2) * apart[0] - sum(gains)) / 2
    assert float(loss) == pytest.approx(expected)
    assert float(divergence) == pytest.approx(sum(apart) / 2, rel=1e-4)


def test_a_chain_that_was_drawn_now_has_the_gradient_of_its_likelihood() -> None:
    now = torch.tensor([[-1.0, -2.0], [-0.5, -3.0]], requires_grad=True)
    kept = now.detach().clone()
    mask = torch.ones(2, 2, dtype=torch.bool)
    loss, _ = policy_loss(now, kept, kept, torch.tensor([1.0, -1.0]), mask, beta=0.04, clip=0.2)
    loss.backward()  # type: ignore[no-untyped-call]
    assert now.grad is not None
    # Each chain's mean over two tokens, and the mean over two chains. The divergence has no slope where it is 0.
    assert now.grad.tolist() == [[-0.25, -0.25], [0.25, 0.25]]


def test_a_probability_that_left_the_bounds_is_learnt_no_further() -> None:
    now = torch.tensor([[-0.5], [-2.0]], requires_grad=True)
    drawn = torch.tensor([[-1.0], [-1.0]])
    mask = torch.ones(2, 1, dtype=torch.bool)
    loss, _ = policy_loss(now, drawn, now.detach(), torch.tensor([1.0, -1.0]), mask, beta=0.0, clip=0.2)
    loss.backward()  # type: ignore[no-untyped-call]
    assert now.grad is not None
    assert now.grad.tolist() == [[0.0], [0.0]]


def test_the_policy_is_held_to_the_beginning() -> None:
    """Nothing is gained: a token that became likelier is made less likely, and the other way round."""
    now = torch.tensor([[-1.0, -2.0]], requires_grad=True)
    before = torch.tensor([[-1.5, -1.5]])
    mask = torch.ones(1, 2, dtype=torch.bool)
    loss, _ = policy_loss(now, now.detach(), before, torch.zeros(1), mask, beta=0.1, clip=0.2)
    loss.backward()  # type: ignore[no-untyped-call]
    assert now.grad is not None
    # Of the divergence of the model from the beginning: β (log π − log π₀) a token.
    assert now.grad[0].tolist() == pytest.approx([0.1 * 0.5 / 2, -0.1 * 0.5 / 2])
