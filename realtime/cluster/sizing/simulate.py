"""A discrete-event simulation of a cluster: sessions, encoder replicas that batch, Thinker replicas with affinity.

    session ─ a frame a second ─► encoder (batches) ─► append ─┐
            ─ speech ends ──────► encoder ─► append, label ────┴─► chain, 4 tokens a step, labels first

The rules are those of the program: dynamic batching without waiting; each session on the Thinker that consistent
hashing gives it; evidence and labels before chain steps; of the windows that wait for a chain, the newest. Times are
from `service_times.py`. Utterances take 1–6 s, with pauses of 4 s on average, as in a conversation.

Of a large cluster only a part is simulated, with sessions and replicas in proportion (`MAX_SIMULATED`).
"""

from __future__ import annotations

import bisect
import hashlib
import heapq
import itertools
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from realtime.cluster.sizing.service_times import TOKENS_PER_STEP, ServiceTimes

MAX_SIMULATED = 400
MAX_BATCH = 16
VIRTUAL_NODES = 100
QUIET_EVERY_S = 4.0
PAUSE_S = 4.0
SPEECH_S = (1.0, 6.0)
MAX_CHAINS = 2
"Chains of one session at once: one after speech, one of a quiet moment."


@dataclass(frozen=True)
class Scenario:
    """What happens during the simulation."""

    name: str = "steady"
    seconds: float = 40.0
    warm_s: float = 8.0
    "The first seconds are left out of the figures, since sessions do not all begin at once."
    burst: float = 1.0
    "In the middle third of the time, pauses in speech are this many times shorter."
    lost_share: float = 0.0
    "Share of all replicas that is lost at half time, like a rack."


@dataclass
class Figures:
    """What sessions experienced."""

    label_s: list[float] = field(default_factory=list)
    "From the end of speech to its label, with hearing."
    evidence_s: list[float] = field(default_factory=list)
    "From a frame to its evidence in the KV-cache ring."
    chains: int = 0
    skipped: int = 0
    "Chains that were skipped because a newer window came."
    busy_encoder: float = 0.0
    busy_thinker: float = 0.0

    def add(self, other: Figures) -> None:
        self.label_s += other.label_s
        self.evidence_s += other.evidence_s
        self.chains += other.chains
        self.skipped += other.skipped

    def percentile(self, values: list[float], share: float) -> float:
        ordered = sorted(values)
        return ordered[min(len(ordered) - 1, round(share * len(ordered)))] if ordered else 0.0


class Clock:
    """Runs events in the order of their times."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._order = itertools.count()
        self._events: list[tuple[float, int, Callable[[], None]]] = []

    def at(self, time_s: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._events, (time_s, next(self._order), what))

    def after(self, delay_s: float, what: Callable[[], None]) -> None:
        self.at(self.now_s + delay_s, what)

    def run(self, until_s: float) -> None:
        while self._events and self._events[0][0] <= until_s:
            self.now_s, _, what = heapq.heappop(self._events)
            what()


class EncoderSim:
    """One server with a queue. The requests that wait while it works are its next batch."""

    def __init__(self, clock: Clock, times: ServiceTimes) -> None:
        self._clock, self._times = clock, times
        self.waiting: deque[tuple[float, Callable[[], None]]] = deque()
        self._busy = False
        self.busy_s = 0.0
        self.alive = True

    def request(self, cost_s: float, then: Callable[[], None]) -> None:
        self.waiting.append((cost_s, then))
        if not self._busy:
            self._begin()

    def _begin(self) -> None:
        batch = [self.waiting.popleft() for _ in range(min(MAX_BATCH, len(self.waiting)))]
        first, *others = sorted((cost_s for cost_s, _ in batch), reverse=True)
        took_s = first + self._times.batch_share * sum(others)
        self._busy = True
        self.busy_s += took_s

        def done() -> None:
            self._busy = False
            if self.alive:
                for _, then in batch:
                    then()
                if self.waiting and not self._busy:
                    self._begin()

        self._clock.after(took_s, done)


class ThinkerSim:
    """One server that runs evidence and labels before steps of chains. Chains take turns."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._first: deque[tuple[float, Callable[[], None]]] = deque()
        self._steps: deque[tuple[float, Callable[[], None]]] = deque()
        self._busy = False
        self.busy_s = 0.0
        self.alive = True

    def request(self, cost_s: float, then: Callable[[], None], *, step: bool = False) -> None:
        (self._steps if step else self._first).append((cost_s, then))
        if not self._busy:
            self._begin()

    def _begin(self) -> None:
        cost_s, then = (self._first or self._steps).popleft()
        self._busy = True
        self.busy_s += cost_s

        def done() -> None:
            self._busy = False
            if self.alive:
                then()
                if not self._busy and (self._first or self._steps):
                    self._begin()

        self._clock.after(cost_s, done)


class SessionSim:
    """A session: a frame a second, speech at random, and chains."""

    def __init__(self, world: World, number: int) -> None:
        self._world = world
        self._key = f"session {number}"
        self._chains = 0
        self._waits = False
        self._replica: ThinkerSim | None = None
        self._quiet_s = 0.0
        clock = world.clock
        clock.at(world.random.random() * world.scenario.warm_s / 2, self._frame)
        clock.at(world.random.random() * (world.scenario.warm_s / 2 + PAUSE_S), self._speak)

    def _frame(self) -> None:
        world, came_s = self._world, self._world.clock.now_s
        world.clock.at(came_s + 1.0, self._frame)

        def encoded() -> None:
            self._think(world.times.append_s, lambda: world.seen(came_s))

        world.encoder(world.times.frame_s, encoded)
        self._quiet_s += 1.0
        if self._quiet_s >= QUIET_EVERY_S:
            self._quiet_s = 0.0
            self._think(world.times.label_s, self._chain)

    def _speak(self) -> None:
        world = self._world
        world.clock.after(world.random.uniform(*SPEECH_S), self._spoken)

    def _spoken(self) -> None:
        world, ended_s = self._world, self._world.clock.now_s
        self._quiet_s = 0.0

        def labelled() -> None:
            world.labelled(ended_s)
            self._chain()

        def heard() -> None:
            # An utterance travels with the request for its label.
            self._think(world.times.append_s + world.times.label_s, labelled)

        world.encoder(world.times.hear_s, heard)
        world.clock.after(world.random.expovariate(1 / (PAUSE_S / world.haste)), self._speak)

    def _chain(self) -> None:
        if self._chains >= MAX_CHAINS:
            self._world.figures.skipped += self._waits
            self._waits = True
            return
        self._chains += 1
        self._step(max(1, round(self._world.times.chain_tokens / TOKENS_PER_STEP)))

    def _step(self, left: int) -> None:
        if left:
            self._think(self._world.times.step_s, lambda: self._step(left - 1), step=True)
            return
        self._world.figures.chains += 1
        self._chains -= 1
        if self._waits:
            self._waits = False
            self._chain()

    def _think(self, cost_s: float, then: Callable[[], None], *, step: bool = False) -> None:
        """Work on this session's Thinker. One to which the session moved prefills the last window first."""
        replica = self._world.thinker(self._key)
        if replica is not self._replica:
            cost_s += self._world.times.prefill if self._replica is not None else 0.0
            self._replica = replica
            self._chains, self._waits = (self._chains, self._waits) if step else (0, False)
        delay_s = 0.0 if step else self._world.times.call_s
        self._world.clock.after(delay_s, lambda: replica.request(cost_s, then, step=step))


class World:
    """The sessions and the replicas of one simulation."""

    def __init__(
        self, times: ServiceTimes, scenario: Scenario, *, sessions: int, encoders: int, thinkers: int, seed: int
    ) -> None:
        self.times, self.scenario = times, scenario
        self.random = random.Random(seed)
        self.clock = Clock()
        self.figures = Figures()
        self._encoders = [EncoderSim(self.clock, times) for _ in range(encoders)]
        self._thinkers = [ThinkerSim(self.clock) for _ in range(thinkers)]
        self._place()
        self._sessions = [SessionSim(self, number) for number in range(sessions)]
        if scenario.lost_share:
            self.clock.at(scenario.seconds / 2, self._lose)

    @property
    def haste(self) -> float:
        third = self.scenario.seconds / 3
        return self.scenario.burst if third <= self.clock.now_s < 2 * third else 1.0

    def encoder(self, cost_s: float, then: Callable[[], None]) -> None:
        """Send work to the less loaded of two random encoders, as Serve routes it."""
        alive = [encoder for encoder in self._encoders if encoder.alive]
        drawn = self.random.sample(alive, min(2, len(alive)))
        replica = min(drawn, key=lambda encoder: len(encoder.waiting))
        self.clock.after(self.times.call_s, lambda: replica.request(cost_s, then))

    def thinker(self, key: str) -> ThinkerSim:
        at = bisect.bisect_right(self._hashes, _hash(key)) % len(self._hashes)
        return self._thinkers[self._owners[at]]

    def seen(self, came_s: float) -> None:
        if came_s >= self.scenario.warm_s:
            self.figures.evidence_s.append(self.clock.now_s - came_s)

    def labelled(self, ended_s: float) -> None:
        if ended_s >= self.scenario.warm_s:
            self.figures.label_s.append(self.clock.now_s - ended_s)

    def run(self) -> Figures:
        self.clock.run(self.scenario.seconds)
        seconds = self.scenario.seconds
        self.figures.busy_encoder = sum(replica.busy_s for replica in self._encoders) / len(self._encoders) / seconds
        self.figures.busy_thinker = sum(replica.busy_s for replica in self._thinkers) / len(self._thinkers) / seconds
        return self.figures

    def _place(self) -> None:
        points = sorted(
            (_hash(f"replica {number}:{node}"), number)
            for number, replica in enumerate(self._thinkers)
            if replica.alive
            for node in range(VIRTUAL_NODES)
        )
        self._hashes = [point for point, _ in points]
        self._owners = [owner for _, owner in points]

    def _lose(self) -> None:
        for replicas in (self._encoders, self._thinkers):
            n_lost = min(len(replicas) - 1, round(self.scenario.lost_share * len(replicas)))
            for replica in replicas[:n_lost]:
                replica.alive = False
        self._place()


def _hash(key: str) -> int:
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big")


def simulate(
    times: ServiceTimes, scenario: Scenario, *, sessions: int, encoders: int, thinkers: int, seed: int = 0
) -> Figures:
    """Simulate so many sessions on so many replicas."""
    share = max(1.0, sessions / MAX_SIMULATED)
    world = World(
        times,
        scenario,
        sessions=round(sessions / share),
        encoders=max(1, round(encoders / share)),
        thinkers=max(1, round(thinkers / share)),
        seed=seed,
    )
    return world.run()
