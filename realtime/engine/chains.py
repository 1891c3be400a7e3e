"""Every session's chains, written in turns and together.

    asked ─► wanted chains ─┬─ the one whose turn it is ─┐ a token each, round by round; whoever
                            └─ those that wait with it  ─┘ thinks may read the tokens of a round in one pass

A chain is wanted while somebody waits for its next step: one that a session lets wait is not written. Turns go by who
has waited longest (the worker's queue), and up to `MAX_TOGETHER` that wait are written in the same turn; what they have
by then is handed over when their own turn comes, which is next. A turn ends when a step is due, and after any round
when something of a better rank waits: a label waits for one token of a chain at most.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field

from realtime.records import ReasonDone
from realtime.roles import Step

logger = logging.getLogger(__name__)

MAX_TOGETHER = 8
"A round of more would let the others wait longer than a person notices."
Key = tuple[int, int]
"(session, number of the chain)"


@dataclass(eq=False, slots=True)
class Chain:
    key: Key
    steps: Iterator[Step | None]
    told: list[Step] = field(default_factory=list)
    "What was written and has not been fetched yet."
    failure: BaseException | None = None
    over: bool = False
    asked_s: float | None = None
    "Since when somebody has been waiting for its next step; None: nobody is."
    due_s: float = 0.0
    "Until when steps may wait for each other to travel together."


class Chains:
    """Called from the model worker's thread, `asked` from any."""

    def __init__(self, *, urgent: Callable[[], bool], now_s: Callable[[], float] = time.perf_counter) -> None:
        """`urgent`: whether something of a better rank waits for this thread."""
        self._urgent = urgent
        self._now_s = now_s
        self._chains: dict[Key, Chain] = {}
        self._wanted: OrderedDict[Key, Chain] = OrderedDict()
        "Longest waiting first."
        self._asked: deque[tuple[Key, float, float]] = deque()
        "From other threads. Bounded by its users: whoever has asked waits for the answer."
        self._rounds = [0] * (MAX_TOGETHER + 1)
        "By the number of chains in them."
        self._busy_s = 0.0
        self._cpu_s = 0.0
        self._n_left = 0
        self._longest_s = 0.0

    def begin(self, key: Key, steps: Iterator[Step | None]) -> None:
        self._chains[key] = Chain(key, steps)

    def asked(self, key: Key, budget_s: float) -> None:
        """`turn` will be called with the same; from now on others' turns are this chain's, too."""
        self._asked.append((key, self._now_s(), budget_s))

    def turn(self, key: Key, budget_s: float) -> list[Step]:
        """What there is of this chain after its turn: steps for up to `budget_s` since it was asked for, none if
        something urgent came in between. Raises what the chain raised."""
        chain = self._chains[key]
        self._listen()
        if chain.asked_s is None:
            self._want(chain, self._now_s(), budget_s)
        began_s, began_cpu_s = self._now_s(), time.thread_time()
        try:
            while not self._is_due(chain):
                self._round(chain)
                if self._urgent():
                    break
                self._listen()
        finally:
            self._busy_s += self._now_s() - began_s
            self._cpu_s += time.thread_time() - began_cpu_s
        return self._handed_over(chain)

    def give_up(self, key: Key) -> None:
        self._wanted.pop(key, None)
        chain = self._chains.pop(key, None)
        if chain is not None and isinstance(chain.steps, Generator):
            chain.steps.close()

    def close(self, session: int) -> None:
        """Give up all chains of a session."""
        for key in [key for key in self._chains if key[0] == session]:
            self.give_up(key)

    def stats(self) -> Mapping[str, float]:
        return {
            "chain_cpu_s": self._cpu_s,
            "chain_s": self._busy_s,
            "chain_tokens": float(sum(n * rounds for n, rounds in enumerate(self._rounds))),
            "chains_wanted": float(len(self._wanted)),
            "chains_left_out": float(self._n_left),
            "chain_longest_wait_s": self._longest_s,
            **{f"rounds_of_{n}": float(rounds) for n, rounds in enumerate(self._rounds) if n},
        }

    def _listen(self) -> None:
        while self._asked:
            key, asked_s, budget_s = self._asked.popleft()
            chain = self._chains.get(key)
            if chain is not None and chain.asked_s is None:
                self._want(chain, asked_s, budget_s)

    def _want(self, chain: Chain, asked_s: float, budget_s: float) -> None:
        chain.asked_s, chain.due_s = asked_s, asked_s + budget_s
        self._wanted[chain.key] = chain

    def _is_due(self, chain: Chain) -> bool:
        """Whether this turn is over: there is something to hand over, and somebody's time has come."""
        if chain.over or chain.failure is not None:
            return True
        now_s = self._now_s()
        return bool(chain.told) and any(other.told and now_s >= other.due_s for other in self._wanted.values())

    def _round(self, first: Chain) -> None:
        """A token of this chain and of those that wait with it."""
        others = [other for other in self._wanted.values() if other is not first and self._goes_on(other)]
        together = [first, *others[: MAX_TOGETHER - 1]]
        self._rounds[len(together)] += 1
        self._n_left = len(others) + 1 - len(together)
        oldest = next(iter(self._wanted.values()))
        self._longest_s = self._now_s() - (oldest.asked_s or 0.0)
        logger.debug(
            "a round of %d chains, %d left out; session %d has waited longest, %.3f s",
            len(together),
            self._n_left,
            oldest.key[0],
            self._longest_s,
        )
        for chain in together:
            self._write(chain)

    def _goes_on(self, chain: Chain) -> bool:
        # One with a step that is due is waiting to be fetched; its turn is next.
        return not (chain.over or chain.failure or (chain.told and self._now_s() >= chain.due_s))

    def _write(self, chain: Chain) -> None:
        try:
            step = next(chain.steps)
        except StopIteration:
            chain.failure = RuntimeError("the chain ended without a verdict")
        # Whatever one chain raises, a panic of an extension too, belongs to whoever asked for it.
        except BaseException as error:
            chain.failure = error
        else:
            if step is not None:
                chain.told.append(step)
                chain.over = isinstance(step, ReasonDone)

    def _handed_over(self, chain: Chain) -> list[Step]:
        self._wanted.pop(chain.key, None)
        chain.asked_s = None
        steps, chain.told = chain.told, []
        if chain.over or (chain.failure is not None and not steps):
            self._chains.pop(chain.key, None)
            if chain.failure is not None:
                raise chain.failure
        return steps
