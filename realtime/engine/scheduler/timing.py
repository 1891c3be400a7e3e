"""The times of decoding: how long steps may be gathered, how long a chain has waited, what decode steps have cost."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

MAX_CHAINS = 8
"Chains in one decode step. More would make the others wait longer than a person notices."


@dataclass(frozen=True, slots=True)
class StepRequest:
    """A client's wait for the next steps of a chain."""

    requested_s: float
    budget_s: float
    "Steps may be gathered for this long, to travel as one message. 0: the first step is handed over at once."

    @property
    def due_s(self) -> float:
        return self.requested_s + self.budget_s


class DecodeTiming:
    """Counters of decode steps. Written by the model's thread, read by any."""

    def __init__(self) -> None:
        self._n_steps = [0] * (MAX_CHAINS + 1)
        "By the number of chains that took part."
        self._wall_s = 0.0
        self._cpu_s = 0.0
        self.n_left_out = 0
        "Chains that waited and found no room in the last decode step."
        self.longest_wait_s = 0.0
        "How long the chain that had waited longest had waited at the last decode step."

    @contextmanager
    def measured(self, now_s: Callable[[], float]) -> Iterator[None]:
        """Count the time of this block as decoding."""
        began_s, began_cpu_s = now_s(), time.thread_time()
        try:
            yield
        finally:
            self._wall_s += now_s() - began_s
            self._cpu_s += time.thread_time() - began_cpu_s

    def count(self, n_chains: int, *, n_left_out: int, longest_wait_s: float) -> None:
        """Count a decode step of `n_chains`."""
        self._n_steps[n_chains] += 1
        self.n_left_out = n_left_out
        self.longest_wait_s = longest_wait_s

    def stats(self) -> Mapping[str, float]:
        """The counters under the names that `realtime.engine.metrics` and `Engine.stats` use."""
        return {
            "chain_cpu_s": self._cpu_s,
            "chain_s": self._wall_s,
            "chain_tokens": float(sum(n * steps for n, steps in enumerate(self._n_steps))),
            "chains_left_out": float(self.n_left_out),
            "chain_longest_wait_s": self.longest_wait_s,
            **{f"rounds_of_{n}": float(steps) for n, steps in enumerate(self._n_steps) if n},
        }
