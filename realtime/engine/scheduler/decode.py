"""Which chains decode, and together with which others.

    requests ─► waiting chains ─┬─ the chain whose job runs     ─┐  decode steps of one token per chain,
                                └─ others that wait, up to 7    ─┘  in one forward pass where possible

A chain is decoded only while its client waits for its next step. The job of a chain in the worker's queue runs decode
steps, and up to `MAX_CHAINS` chains that wait take part in them. A chain that was decoded in another's job hands its
steps over when its own job runs, which is soon. A job ends when steps are due, and after any decode step when a job of
a better rank waits: a label waits for one token per chain at most.
"""

from __future__ import annotations

import logging
from collections import OrderedDict, deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field

from realtime.engine.scheduler.timing import MAX_CHAINS, DecodeTiming, StepRequest
from realtime.records import ReasonDone, Summary
from realtime.roles import Step

logger = logging.getLogger(__name__)

ChainKey = tuple[int, int]
"(session, number of the chain)"


@dataclass(eq=False, slots=True)
class DecodingChain:
    """A chain that was begun and has not been handed over to its end."""

    key: ChainKey
    steps: Iterator[Step | None]
    "`Thinker.reason`: None after a token that completes no step."
    ready: list[Step] = field(default_factory=list)
    "Steps that were decoded and have not been handed over."
    failure: BaseException | None = None
    finished: bool = False
    request: StepRequest | None = None
    "None while no client waits for this chain."


class DecodeQueue:
    """Called from the model's thread, `request` from any."""

    def __init__(self, timing: DecodeTiming, *, urgent: Callable[[], bool], now_s: Callable[[], float]) -> None:
        """`urgent` says whether a job of a better rank waits for the model's thread."""
        self._timing = timing
        self._urgent = urgent
        self._now_s = now_s
        self._chains: dict[ChainKey, DecodingChain] = {}
        self._waiting: OrderedDict[ChainKey, DecodingChain] = OrderedDict()
        "Longest waiting first."
        self._requests: deque[tuple[ChainKey, StepRequest]] = deque()
        "From other threads. Bounded by its users: a client awaits one request per chain."

    @property
    def n_waiting(self) -> int:
        """Chains whose client waits for a step."""
        return len(self._waiting)

    def begin(self, key: ChainKey, steps: Iterator[Step | None]) -> None:
        """Add a chain. Nothing is decoded before its first steps are requested."""
        self._chains[key] = DecodingChain(key, steps)

    def request(self, key: ChainKey, budget_s: float) -> None:
        """Announce that `run` will be called with these arguments. Until then, others' jobs decode this chain too."""
        self._requests.append((key, StepRequest(self._now_s(), budget_s)))

    def run(self, key: ChainKey, budget_s: float) -> list[Step]:
        """Decode until steps of this chain are due, and hand them over.

        They are due `budget_s` after they were requested. The list is empty if a job of a better rank came in between.
        Raises what the chain raised, and KeyError for a chain that is over.
        """
        chain = self._chains[key]
        self._read_requests()
        if chain.request is None:
            self._wait(chain, StepRequest(self._now_s(), budget_s))
        with self._timing.measured(self._now_s):
            while not self._is_due(chain):
                self._step(chain)
                if self._urgent():
                    break
                self._read_requests()
        return self._hand_over(chain)

    def end(self, key: ChainKey) -> None:
        """Stop decoding a chain. It may be over already."""
        self._waiting.pop(key, None)
        chain = self._chains.pop(key, None)
        if chain is not None and isinstance(chain.steps, Generator):
            chain.steps.close()

    def writes(self, session: int) -> bool:
        """Whether a chain of this session has been begun and is not over."""
        return any(key[0] == session for key in self._chains)

    def end_session(self, session: int) -> None:
        """Stop decoding all chains of a session."""
        for key in [key for key in self._chains if key[0] == session]:
            self.end(key)

    def _read_requests(self) -> None:
        while self._requests:
            key, request = self._requests.popleft()
            chain = self._chains.get(key)
            if chain is not None and chain.request is None:
                self._wait(chain, request)

    def _wait(self, chain: DecodingChain, request: StepRequest) -> None:
        chain.request = request
        self._waiting[chain.key] = chain

    def _is_due(self, chain: DecodingChain) -> bool:
        """Whether this job is over: its chain has steps, and those of some chain are due."""
        if chain.finished or chain.failure is not None:
            return True
        now_s = self._now_s()
        return bool(chain.ready) and any(_steps_due(other, now_s) for other in self._waiting.values())

    def _step(self, first: DecodingChain) -> None:
        """Decode a token of this chain and of those that wait with it."""
        others = [other for other in self._waiting.values() if other is not first and self._goes_on(other)]
        batch = [first, *others[: MAX_CHAINS - 1]]
        oldest = next(iter(self._waiting.values()))
        waited_s = self._now_s() - (oldest.request.requested_s if oldest.request else 0.0)
        n_left_out = len(others) + 1 - len(batch)
        self._timing.count(len(batch), n_left_out=n_left_out, longest_wait_s=waited_s)
        logger.debug(
            "decode step of %d chains, %d left out; session %d has waited longest, %.3f s",
            len(batch),
            n_left_out,
            oldest.key[0],
            waited_s,
        )
        for chain in batch:
            self._advance(chain)

    def _goes_on(self, chain: DecodingChain) -> bool:
        # A chain with steps that are due waits for its own job, which is next.
        return not (chain.finished or chain.failure or _steps_due(chain, self._now_s()))

    def _advance(self, chain: DecodingChain) -> None:
        try:
            step = next(chain.steps)
        except StopIteration:
            chain.failure = RuntimeError("the chain ended without an answer")
        # Whatever a chain raises, a panic of an extension included, belongs to its own client.
        except BaseException as error:
            chain.failure = error
        else:
            if step is not None:
                chain.ready.append(step)
                chain.finished = isinstance(step, ReasonDone | Summary)

    def _hand_over(self, chain: DecodingChain) -> list[Step]:
        self._waiting.pop(chain.key, None)
        chain.request = None
        steps, chain.ready = chain.ready, []
        if chain.finished or (chain.failure is not None and not steps):
            self._chains.pop(chain.key, None)
            if chain.failure is not None:
                raise chain.failure
        return steps


def _steps_due(chain: DecodingChain, now_s: float) -> bool:
    return bool(chain.ready) and chain.request is not None and now_s >= chain.request.due_s
