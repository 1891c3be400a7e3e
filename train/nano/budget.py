"""The learning rate of a stage that has so many minutes."""

from __future__ import annotations

import math
import time

import torch


class Budget:
    """A cosine learning rate over a budget of minutes: a slower machine takes fewer steps of the same schedule."""

    def __init__(self, optimizer: torch.optim.Optimizer, *, minutes: float, spent_s: float, peak: float) -> None:
        self.optimizer, self.peak, self.total_s = optimizer, peak, minutes * 60
        self.started = time.monotonic() - spent_s

    @property
    def spent_s(self) -> float:
        return time.monotonic() - self.started

    def step(self) -> bool:
        """Set the learning rate for now. Returns False when the budget is spent."""
        share = self.spent_s / self.total_s
        if share >= 1:
            return False
        warm = min(1.0, share / 0.05)
        rate = self.peak * max(0.02, warm * 0.5 * (1 + math.cos(math.pi * share)))
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        return True
