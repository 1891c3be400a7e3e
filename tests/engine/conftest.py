"""A model's thread, and towers whose calls are counted, for the tests here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from realtime.engine.loading import LoadedModel
from realtime.engine.worker import ModelWorker
from tests.engine.waiting import CountedTowers


@pytest.fixture
def towers(nano: LoadedModel) -> CountedTowers:
    return CountedTowers(nano.towers)


@pytest.fixture
def worker() -> Iterator[ModelWorker]:
    with ModelWorker() as worker:
        yield worker
