"""Who may open a session, and what ends one that nobody ended."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from realtime.engine.local import LocalEngine
from realtime.engine.worker import ModelWorker
from realtime.errors import ServerBusy, ServerFull, ServerStopping, UnknownSession
from realtime.observe import heap
from realtime.observe.metrics import Metrics
from realtime.records import ClockTick
from realtime.serve import sessions
from realtime.serve.sessions import Sessions
from realtime.session import Session
from realtime.settings import PublishSettings, ServerSettings, Settings
from tests.scripted import Hold, Scripted, ScriptedModel, ScriptedPerceiver, ScriptedSource, ScriptedThinker, picture
from tests.waiting import eventually

WITHIN_S = 10


class Clock:
    """Seconds that a test sets. The watch reads it once a round."""

    def __init__(self) -> None:
        self.at_s = 0.0
        self.n_reads = 0

    def __call__(self) -> float:
        self.n_reads += 1
        return self.at_s

    async def watched(self, at_s: float) -> None:
        """Set the time, and wait for a whole round of the watch at it: one that began, and the next one's beginning."""
        self.at_s = at_s
        n_reads = self.n_reads
        await eventually(lambda: self.n_reads >= n_reads + 2)


async def for_ever() -> None:
    await asyncio.Event().wait()


def call(*items: Scripted) -> ScriptedSource:
    """A call that goes on after that."""
    return ScriptedSource([*items, for_ever])


@asynccontextmanager
async def held(
    model: ScriptedModel | None = None,
    now_s: Callable[[], float] = lambda: 0.0,
    *,
    linger_s: float = 60,
    **server: float,
) -> AsyncIterator[Sessions]:
    publish = PublishSettings(linger_s=linger_s)
    settings, metrics = Settings(publish=publish, server=ServerSettings(**server)), Metrics()  # type: ignore[arg-type]
    with ModelWorker(metrics) as worker:
        engine = LocalEngine(model or ScriptedModel(), worker)
        held = Sessions(engine=engine, settings=settings, metrics=metrics, now_s=now_s)
        watching = asyncio.create_task(held.watch())
        try:
            yield held
        finally:
            watching.cancel()
            await held.stop_all("The test is over.")


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "WATCH_S", 0.001)


async def events_of(held: Sessions, session_id: str) -> list[dict[str, object]]:
    return [json.loads(line) async for line in held.get(session_id).log.read()]


async def test_while_those_there_are_behind_no_other_is_taken_and_then_again() -> None:
    hold = Hold()
    model = ScriptedModel(perceivers=ScriptedPerceiver(hold=hold))
    async with held(model) as all_of_them:
        session = all_of_them.start(call(picture(0.0), ClockTick(2.0)))
        await eventually(lambda: session.lag_s == 2.0)
        with pytest.raises(ServerBusy, match=r"2\.0 s behind") as refused, all_of_them.place():
            pass
        assert (refused.value.status, refused.value.retry_after_s) == (503, 10)
        hold.set()
        await eventually(lambda: session.lag_s == 0.0)
        with all_of_them.place():
            pass


async def test_while_a_cluster_is_behind_with_sessions_of_others_none_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    behind = {"behind_s": 2.0}
    monkeypatch.setattr(LocalEngine, "stats", lambda engine: behind)
    async with held() as all_of_them:
        with pytest.raises(ServerBusy, match=r"2\.0 s behind"), all_of_them.place():
            pass
        behind["behind_s"] = 0.1
        with all_of_them.place():
            pass


async def test_while_a_session_there_is_overloaded_no_other_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    async with held() as all_of_them:
        all_of_them.start(call())
        with all_of_them.place():
            pass
        monkeypatch.setattr(Session, "overloaded", True)
        with pytest.raises(ServerBusy), all_of_them.place():
            pass


async def test_an_offer_that_is_being_answered_has_its_place() -> None:
    async with held(max_sessions=1) as all_of_them:
        with all_of_them.place(), pytest.raises(ServerFull, match="All 1 session is taken"), all_of_them.place():
            pass
        with all_of_them.place():
            pass


async def test_a_session_that_nobody_reads_is_ended_and_one_that_is_read_is_not() -> None:
    clock = Clock()
    clock.at_s = 1000.0  # As of a machine that has been up for a while.
    async with held(now_s=clock, idle_s=60) as all_of_them:
        alone, followed = all_of_them.start(call(picture(0.0))), all_of_them.start(call(picture(0.0)))
        reading = asyncio.create_task(events_of(all_of_them, followed.id))
        await eventually(lambda: followed.log.n_readers == 1)
        await clock.watched(1000.0)
        await clock.watched(1059.0)
        assert len(all_of_them.open) == 2
        clock.at_s = 1060.0
        await eventually(lambda: all_of_them.open == (followed,))
        assert (await events_of(all_of_them, alone.id))[-1]["reason"] == "Nobody has read its events for 60 s."
        # From its last reader on it counts anew.
        reading.cancel()
        await eventually(lambda: followed.log.n_readers == 0)
        await clock.watched(1119.0)
        assert all_of_them.open == (followed,)
        clock.at_s = 1121.0
        await eventually(lambda: all_of_them.open == ())


async def test_no_session_lasts_for_ever() -> None:
    clock = Clock()
    async with held(now_s=clock, max_session_s=100) as all_of_them:
        session = all_of_them.start(call(picture(0.0)))
        reading = asyncio.create_task(events_of(all_of_them, session.id))
        await eventually(lambda: session.log.n_readers == 1)
        await clock.watched(99.0)
        assert all_of_them.open == (session,)
        clock.at_s = 100.0
        assert (await reading)[-1]["reason"] == "A session lasts 100 s at most."


async def test_the_longest_session_finishes_its_windows() -> None:
    clock, hold = Clock(), Hold()
    model = ScriptedModel(thinker=ScriptedThinker(hold=hold))
    async with held(model, now_s=clock, max_session_s=100, drain_s=WITHIN_S) as all_of_them:
        session = all_of_them.start(call(picture(0.0), ClockTick(4.0)))
        reading = asyncio.create_task(events_of(all_of_them, session.id))
        await eventually(lambda: len(model.thinker.windows) == 1 and session.log.n_readers == 1)
        await clock.watched(100.0)
        hold.set()
        assert [event["type"] for event in (await reading)[-2:]] == ["reason.done", "session.closed"]


async def test_whoever_ends_a_session_waits_until_it_is_free() -> None:
    async with held() as all_of_them:
        session = all_of_them.start(call(picture(0.0)))
        await all_of_them.stop(session.id, "Enough.")
        assert all_of_them.open == ()
        assert all_of_them.get(session.id) is session


async def test_a_session_that_has_ended_is_forgotten_and_its_memory_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[str] = []
    monkeypatch.setattr(heap, "trim", lambda: threads.append(threading.current_thread().name))
    async with held(linger_s=0) as all_of_them:
        session = all_of_them.start(call(picture(0.0)))
        await all_of_them.stop(session.id, "Enough.")
        await eventually(lambda: not all_of_them._ended)
        with pytest.raises(UnknownSession):
            all_of_them.get(session.id)
        # The model's thread trims too, as it closes what the session held.
        await eventually(lambda: any(name != "model" for name in threads))


async def test_a_bug_in_one_session_is_logged_and_ends_no_other(caplog: pytest.LogCaptureFixture) -> None:
    def bug() -> None:
        raise ZeroDivisionError

    async with held() as all_of_them:
        other, broken = all_of_them.start(call(picture(0.0))), all_of_them.start(call(bug))
        await eventually(lambda: all_of_them.open == (other,))
        assert f"session {broken.id[:8]} broke" in caplog.text


async def test_a_server_that_stops_lets_its_windows_finish_and_takes_no_session() -> None:
    hold = Hold()
    model = ScriptedModel(thinker=ScriptedThinker(hold=hold))
    async with held(model) as all_of_them:
        session = all_of_them.start(call(picture(0.0), ClockTick(4.0)))
        await eventually(lambda: len(model.thinker.windows) == 1)
        stopping = asyncio.create_task(all_of_them.stop_all("Stopped.", finish_within_s=WITHIN_S))
        await eventually(lambda: all_of_them.stopping)
        with pytest.raises(ServerStopping), all_of_them.place():
            pass
        hold.set()
        await stopping
        events = await events_of(all_of_them, session.id)
        assert [event["type"] for event in events[-2:]] == ["reason.done", "session.closed"]


async def test_a_window_that_does_not_finish_in_time_is_given_up() -> None:
    hold = Hold()
    model = ScriptedModel(thinker=ScriptedThinker(hold=hold))
    async with held(model) as all_of_them:
        session = all_of_them.start(call(picture(0.0), ClockTick(4.0)))
        await eventually(lambda: len(model.thinker.windows) == 1)
        async with asyncio.timeout(WITHIN_S):
            await all_of_them.stop_all("Stopped.", finish_within_s=0.01)
        hold.set()
        kinds = [event["type"] for event in await events_of(all_of_them, session.id)]
        assert kinds[-1] == "session.closed"
        assert "reason.done" not in kinds
