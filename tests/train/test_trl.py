"""Our losses of preferences and of groups are those of trl, for the same log-probabilities."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from train.tuning.group_policy import policy_loss
from train.tuning.preference import margins, pair_losses

HERE = Path(__file__).parent
PACKAGES = HERE / "trl_packages"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not PACKAGES.is_dir(), reason="trl is not installed; `make test` does it, or: make .venv/.done/trl"
    ),
]

N, T = 8, 12


def drawn(seed: int) -> dict[str, Any]:
    """Log-probabilities (N, T) of three models that differ so much that ratios are clipped; and lengths from 1 to T."""
    generator = torch.Generator().manual_seed(seed)

    def around(middle: torch.Tensor) -> torch.Tensor:
        return middle + 0.4 * torch.randn(N, T, generator=generator)

    drawn_NT = -2 * torch.rand(N, T, generator=generator)
    lengths = torch.randint(1, T + 1, (N, 1), generator=generator)
    return {
        "now": around(drawn_NT),
        "drawn": drawn_NT,
        "before": around(drawn_NT),
        "mask": torch.arange(T) < lengths,
        "advantages": torch.randn(N, generator=generator),
    }


GROUPS = [(drawn(seed), beta, clip) for seed, beta, clip in ((0, 0.04, 0.2), (1, 0.0, 0.2), (2, 1.0, 0.05))]


def of_trl(out: Path) -> dict[str, list[tuple[float, list[list[float]]]]]:
    """Loss and slopes of each."""

    def told(given: dict[str, Any], **settings: float) -> dict[str, Any]:
        return {name: value.tolist() for name, value in given.items()} | settings | {"out": str(out)}

    asked = {
        "grpo": [told(given, beta=beta, clip=clip) for given, beta, clip in GROUPS],
        "dpo": [told(given, beta=beta + 0.1) for given, beta, _ in GROUPS],
    }
    env = os.environ | {"PYTHONPATH": str(PACKAGES), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, str(HERE / "trl_losses.py")],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=False,
        env=env,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, list[tuple[float, list[list[float]]]]] = json.loads(done.stdout)
    return found


def of_group(given: dict[str, Any], now_NT: Tensor, beta: float, clip: float) -> Tensor:
    others = (given[name] for name in ("drawn", "before", "advantages", "mask"))
    return policy_loss(now_NT, *others, beta=beta, clip=clip)[0]


def of_pairs(given: dict[str, Any], now_NT: Tensor, beta: float) -> Tensor:
    """The first half are the chosen chains."""
    now, before = (torch.where(given["mask"], log_p, 0.0).sum(1).view(2, N // 2) for log_p in (now_NT, given["before"]))
    return pair_losses(margins((now[0], now[1]), (before[0], before[1]), beta)).mean()


def test_losses_and_their_slopes_are_those_of_trl(tmp_path: Path) -> None:
    theirs = of_trl(tmp_path)
    for at, (given, beta, clip) in enumerate(GROUPS):
        now_NT = given["now"].clone().requires_grad_()
        ours = {"grpo": of_group(given, now_NT, beta, clip), "dpo": of_pairs(given, now_NT, beta + 0.1)}
        for name, loss in ours.items():
            (slopes_NT,) = torch.autograd.grad(loss, now_NT)
            their_loss, their_slopes = theirs[name][at]
            assert loss.item() == pytest.approx(their_loss, rel=1e-5), name
            torch.testing.assert_close(slopes_NT, torch.tensor(their_slopes), rtol=1e-5, atol=1e-7)


def test_the_bounds_of_these_ratios_are_reached() -> None:
    given, beta, clip = GROUPS[0]
    bound, unbound = (float(of_group(given, given["now"], beta, each)) for each in (clip, 0.9))
    assert unbound != pytest.approx(bound, rel=1e-3)
