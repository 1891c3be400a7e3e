"""A few generated inputs at every door, with every `make test`; `python -m tests.fuzz` tries 100,000."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.application import REQUESTS, behind
from tests.fuzz.doors import DOORS

# The same inputs every time: what a test finds once, it finds again.
few = settings(max_examples=60, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name == "checkpoint")) for name in sorted(DOORS)]
)
def test_what_comes_in_is_taken_or_refused_by_name(name: str) -> None:
    door = DOORS[name]

    @few
    @given(door.values)
    def enter(value: object) -> None:
        door.try_(value)

    enter()


def test_the_server_answers_any_request_in_its_own_words() -> None:
    with behind() as server:

        @few
        @given(REQUESTS)
        def enter(value: dict[str, st.SearchStrategy[object]]) -> None:
            server.enter(value)

        enter()
