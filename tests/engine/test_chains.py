"""Turns of chains, on chains that are scripted to the token."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from realtime.engine.chains import MAX_TOGETHER, Chains
from realtime.engine.telling import ChainMetrics
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

    def __init__(self, urgent: bool = False) -> None:
        self.urgent = urgent
        self.clock = Clock()
        self.written: list[int] = []
        self.closed: list[int] = []
        self.chains = Chains(urgent=lambda: self.urgent, now_s=self.clock)

    def begin(self, number: int, *, n_words: int = 3, per_word: int = 2, fails: bool = False) -> None:
        self.chains.begin((number, number), self._steps(number, n_words, per_word, fails))

    def _steps(self, number: int, n_words: int, per_word: int, fails: bool) -> Iterator[Step | None]:
        try:
            for word in range(n_words):
                for _ in range(per_word - 1):
                    self.written.append(number)
                    yield None
                self.written.append(number)
                if fails:
                    raise ValueError(f"chain {number}")
                yield ReasonDelta("face", f"{number}.{word}")
            yield DONE
        finally:
            self.closed.append(number)

    def asked(self, number: int, budget_s: float = 0.0) -> None:
        self.chains.asked((number, number), budget_s)

    def turn(self, number: int, budget_s: float = 0.0) -> list[str]:
        steps = self.chains.turn((number, number), budget_s)
        return [step.text if isinstance(step, ReasonDelta) else "done" for step in steps]


def test_a_chain_alone_is_written_step_by_step_or_in_bundles() -> None:
    script = Script()
    script.begin(1)
    assert script.turn(1) == ["1.0"]
    assert script.turn(1, budget_s=1.0) == ["1.1", "1.2", "done"]
    assert script.written == [1] * 6
    assert script.chains.stats()["chain_tokens"] == 7
    with pytest.raises(KeyError):
        script.turn(1)


def test_chains_that_are_waited_for_are_written_together_and_the_others_not() -> None:
    script = Script()
    for number in (1, 2, 3):
        script.begin(number)
    for number in (1, 3):
        script.asked(number)
    assert script.turn(1) == ["1.0"]
    assert script.written == [1, 3, 1, 3], "nobody waits for the second"
    assert script.turn(3) == ["3.0"]
    assert script.written == [1, 3, 1, 3], "it was there already"
    assert script.chains.stats()["rounds_of_2"] == 2


def test_what_comes_to_be_wanted_joins_the_turn_that_is_under_way() -> None:
    script = Script()
    script.begin(1, per_word=4)
    script.begin(2)
    script.asked(1, 1.0)
    steps = script.chains._chains[1, 1].steps

    def late() -> Iterator[Step | None]:
        yield next(steps)
        script.asked(2)
        yield from steps

    script.chains._chains[1, 1].steps = late()
    script.turn(1, 1.0)
    # From the round after it was asked for; its word is due at once, and so the turn ends as soon as both have one.
    assert script.written == [1, 1, 1, 2, 1, 2]
    assert script.turn(2) == ["2.0"]


def test_whoever_waits_longest_is_in_and_no_round_is_larger_than_its_bound() -> None:
    script = Script()
    numbers = range(1, MAX_TOGETHER + 4)
    for number in numbers:
        script.begin(number, n_words=20)
    waiting = list(numbers)
    words = dict.fromkeys(numbers, 0)
    for number in waiting:
        script.asked(number)
    for _ in range(10 * len(numbers)):
        number = waiting.pop(0)
        script.clock.now_s += 0.001
        words[number] += len(script.turn(number))
        script.asked(number)
        waiting.append(number)
    assert max(words.values()) - min(words.values()) <= 1
    stats = script.chains.stats()
    assert stats[f"rounds_of_{MAX_TOGETHER}"] > 0
    assert stats["chains_left_out"] == 3
    assert 0 < stats["chain_longest_wait_s"] < 0.1


def test_something_urgent_waits_for_one_token_each() -> None:
    script = Script(urgent=True)
    for number in (1, 2):
        script.begin(number)
        script.asked(number, 1.0)
    assert script.turn(1, 1.0) == []
    assert script.written == [1, 2]
    script.urgent = False
    script.asked(1)
    assert script.turn(2, 1.0)[:1] == ["2.0"]


def test_what_one_raises_is_told_to_whoever_asked_for_it() -> None:
    script = Script()
    script.begin(1)
    script.begin(2, fails=True)
    script.asked(1)
    script.asked(2)
    assert script.turn(1) == ["1.0"]
    with pytest.raises(ValueError, match="chain 2"):
        script.turn(2)
    assert script.turn(1, 1.0) == ["1.1", "1.2", "done"]


def test_a_chain_that_is_given_up_is_closed_and_no_longer_written() -> None:
    script = Script()
    for number in (1, 2, 3):
        script.begin(number)
        script.asked(number)
    script.turn(1)
    script.chains.give_up((2, 2))
    script.chains.close(3)
    assert script.closed == [2, 3]
    script.written.clear()
    script.turn(1)
    assert set(script.written) == {1}


def test_rounds_and_waits_are_metrics() -> None:
    script, metrics = Script(), Metrics()
    for number in (1, 2):
        script.begin(number)
        script.asked(number)
    script.turn(1)
    metrics.registry.register(ChainMetrics(script.chains.stats))
    lines = metrics.text().decode().splitlines()
    assert 'emothinker_chain_rounds_total{chains="2"} 2.0' in lines
    assert "emothinker_chains_wanted 1.0" in lines
    assert "emothinker_chains_left_out 0.0" in lines
