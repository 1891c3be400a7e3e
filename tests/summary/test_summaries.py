"""One summary at a time, which gives way to whatever is asked next."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from realtime.publish.channel import EventLog
from realtime.publish.events import LabelEvent, WindowEvent
from realtime.summary import summaries
from realtime.summary.recall import TYPES
from realtime.summary.summaries import Summaries
from tests.waiting import eventually

TOLD = (
    "All 2 moments were happy.",
    "The likeliest label had a probability of 60% on average.",
    "No picture was there.",
    "No speech was heard.",
)


class Model:
    """Writes for ever, or what it is told to."""

    def __init__(self, writes: str | Exception | None = None) -> None:
        self.writes = writes
        self.n_begun = 0
        self.n_given_up = 0

    async def summarise(self, statements: Sequence[str], labels: Sequence[str]) -> str | None:
        assert (statements[0], list(labels)) == (TOLD[0], ["happy"])
        self.n_begun += 1
        if isinstance(self.writes, Exception):
            raise self.writes
        try:
            if self.writes is None:
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.n_given_up += 1
            raise
        return self.writes


def lines() -> list[str]:
    """Two moments of a session, a minute apart."""
    log = EventLog("a session", kept_s=600.0, kept_events=100)
    for window, at_s in enumerate((10.0, 70.0)):
        log.publish(WindowEvent(window, at_s - 8, at_s, 8, 0.0), at_s=at_s)
        log.publish(LabelEvent(window, "happy", {"happy": 0.6, "sad": 0.4}, "fast", None), at_s=at_s)
    return log.since(0.0, TYPES)


async def at_once() -> None:
    pass


async def test_what_is_asked_next_ends_the_one_that_is_written() -> None:
    model = Model()
    made = Summaries("a session", at_once)
    first = asyncio.create_task(made.summary(made.ask("Sum up", 0.0, 75.0), lines(), 0.0, model.summarise))
    await eventually(lambda: model.n_begun)
    second = made.ask("Sum up again", 0.0, 75.0)
    # The first has been told to end, and has not ended yet.
    await asyncio.sleep(0)
    made.give_up()
    assert await first is None
    assert model.n_given_up == 1
    # Neither has a summary that was asked for before a question.
    model.writes = "All 2 moments were happy."
    assert await made.summary(second, lines(), 0.0, model.summarise) is None


@pytest.mark.parametrize("writes", [None, TimeoutError("a collector"), RuntimeError("out of memory")])
async def test_where_none_is_written_in_time_the_statements_are_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, writes: Exception | None
) -> None:
    monkeypatch.setattr(summaries, "WRITTEN_WITHIN_S", 0.02)
    model = Model(writes)
    made = Summaries("a session", at_once)
    summary = await made.summary(made.ask("Sum up", 0.0, 75.0), lines(), 0.0, model.summarise)
    assert summary is not None
    assert (summary.source, summary.text, summary.statements) == ("measured", " ".join(TOLD), TOLD)
    assert model.n_given_up == (writes is None)
    assert [record.message.rpartition(": ")[2] for record in caplog.records] == ([str(writes)] if writes else [])


async def test_while_a_session_is_behind_a_summary_waits() -> None:
    model = Model("Happy.")
    in_time = asyncio.Event()

    async def turn() -> None:
        await in_time.wait()

    made = Summaries("a session", turn)
    task = asyncio.create_task(made.summary(made.ask("Sum up", 0.0, 75.0), lines(), 0.0, model.summarise))
    await eventually(lambda: made._limit)
    assert not model.n_begun
    in_time.set()
    summary = await task
    assert summary is not None
    assert (summary.source, summary.text) == ("model", "Happy.")
