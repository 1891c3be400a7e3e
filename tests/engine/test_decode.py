"""Which chains decode together, on chains that are scripted to the token."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from realtime.engine.metrics import EngineMetrics
from realtime.engine.scheduler import Scheduler
from realtime.engine.scheduler.queue import Rank
from realtime.engine.scheduler.timing import MAX_CHAINS
from realtime.observe.metrics import Metrics
from realtime.records import Answer, ReasonDelta, ReasonDone
from realtime.roles import Step

DONE = ReasonDone({}, Answer("happy", "", 0.5))


class Clock:
    """Stands still unless told."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Script:
    """Chains that note each of their tokens; a word comes after every `per_word` of them."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.decoded: list[int] = []
        self.closed: list[int] = []
        self.scheduler = Scheduler(self.clock)

    def begin(self, number: int, *, n_words: int = 3, per_word: int = 2, fails: bool = False) -> None:
        self.scheduler.decode.begin((number, number), self._steps(number, n_words, per_word, fails))

    def _steps(self, number: int, n_words: int, per_word: int, fails: bool) -> Iterator[Step | None]:
        try:
            for word in range(n_words):
                for _ in range(per_word - 1):
                    self.decoded.append(number)
                    yield None
                self.decoded.append(number)
                if fails:
                    raise ValueError(f"chain {number}")
                yield ReasonDelta("face", f"{number}.{word}")
            yield DONE
        finally:
            self.closed.append(number)

    def request(self, number: int, budget_s: float = 0.0) -> None:
        self.scheduler.decode.request((number, number), budget_s)

    def run(self, number: int, budget_s: float = 0.0) -> list[str]:
        steps = self.scheduler.decode.run((number, number), budget_s)
        return [step.text if isinstance(step, ReasonDelta) else "done" for step in steps]


def test_a_chain_alone_is_decoded_step_by_step_or_in_bundles() -> None:
    script = Script()
    script.begin(1)
    assert script.run(1) == ["1.0"]
    assert script.run(1, budget_s=1.0) == ["1.1", "1.2", "done"]
    assert script.decoded == [1] * 6
    assert script.scheduler.stats()["chain_tokens"] == 7
    with pytest.raises(KeyError):
        script.run(1)


def test_chains_whose_steps_are_requested_decode_together_and_the_others_do_not() -> None:
    script = Script()
    for number in (1, 2, 3):
        script.begin(number)
    for number in (1, 3):
        script.request(number)
    assert script.run(1) == ["1.0"]
    assert script.decoded == [1, 3, 1, 3], "nobody waits for the second"
    assert script.run(3) == ["3.0"]
    assert script.decoded == [1, 3, 1, 3], "it was there already"
    assert script.scheduler.stats()["rounds_of_2"] == 2


def test_a_chain_requested_during_a_job_joins_the_next_decode_step() -> None:
    script = Script()
    script.begin(1, per_word=4)
    script.begin(2)
    script.request(1, 1.0)
    steps = script.scheduler.decode._chains[1, 1].steps

    def late() -> Iterator[Step | None]:
        yield next(steps)
        script.request(2)
        yield from steps

    script.scheduler.decode._chains[1, 1].steps = late()
    script.run(1, 1.0)
    # It takes part from the next decode step. Its word is due at once, so the job ends as soon as both have one.
    assert script.decoded == [1, 1, 1, 2, 1, 2]
    assert script.run(2) == ["2.0"]


def test_the_chain_that_waits_longest_takes_part_and_no_step_exceeds_its_bound() -> None:
    script = Script()
    numbers = range(1, MAX_CHAINS + 4)
    for number in numbers:
        script.begin(number, n_words=20)
    waiting = list(numbers)
    words = dict.fromkeys(numbers, 0)
    for number in waiting:
        script.request(number)
    for _ in range(10 * len(numbers)):
        number = waiting.pop(0)
        script.clock.now_s += 0.001
        words[number] += len(script.run(number))
        script.request(number)
        waiting.append(number)
    assert max(words.values()) - min(words.values()) <= 1
    stats = script.scheduler.stats()
    assert stats[f"rounds_of_{MAX_CHAINS}"] > 0
    assert stats["chains_left_out"] == 3
    assert 0 < stats["chain_longest_wait_s"] < 0.1


def test_a_label_waits_for_one_token_of_each_chain() -> None:
    script = Script()
    label = script.scheduler.queue.put(Rank.LABEL, "fast", lambda: None)
    for number in (1, 2):
        script.begin(number)
        script.request(number, 1.0)
    assert script.run(1, 1.0) == []
    assert script.decoded == [1, 2]
    assert script.scheduler.queue.take().done is label
    script.request(1)
    assert script.run(2, 1.0)[:1] == ["2.0"]


def test_a_chain_that_raises_fails_its_own_job_only() -> None:
    script = Script()
    script.begin(1)
    script.begin(2, fails=True)
    script.request(1)
    script.request(2)
    assert script.run(1) == ["1.0"]
    with pytest.raises(ValueError, match="chain 2"):
        script.run(2)
    assert script.run(1, 1.0) == ["1.1", "1.2", "done"]


def test_a_chain_that_is_ended_is_closed_and_no_longer_decoded() -> None:
    script = Script()
    for number in (1, 2, 3):
        script.begin(number)
        script.request(number)
    script.run(1)
    script.scheduler.decode.end((2, 2))
    script.scheduler.decode.end_session(3)
    assert script.closed == [2, 3]
    script.decoded.clear()
    script.run(1)
    assert set(script.decoded) == {1}


def test_decode_steps_and_waits_are_metrics() -> None:
    script, metrics = Script(), Metrics()
    for number in (1, 2):
        script.begin(number)
        script.request(number)
    script.run(1)
    metrics.registry.register(EngineMetrics(script.scheduler.stats))
    lines = metrics.text().decode().splitlines()
    assert 'emothinker_chain_rounds_total{chains="2"} 2.0' in lines
    assert "emothinker_chains_wanted 1.0" in lines
    assert "emothinker_chains_left_out 0.0" in lines
