from __future__ import annotations

import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, get_args

import pytest
import torch

from realtime.engine.host import KEPT_EVIDENCE, Host
from realtime.engine.messages import (
    BeginChain,
    CloseSession,
    EndChain,
    Message,
    NextSteps,
    OpenSession,
    Request,
    See,
    WindowParts,
)
from realtime.engine.models import Models
from realtime.engine.process import ModelFailed, ProcessEngine, begun
from realtime.engine.scheduler import Scheduler
from realtime.errors import BadModel, ModelStopped
from realtime.observe.metrics import Metrics
from realtime.records import LABELS, ClockTick, Label, Question, ReasonDone, Window
from realtime.roles import Step
from realtime.session import Session
from realtime.settings import Settings
from tests.scripted import CHAIN, ScriptedModel, ScriptedPerceiver, ScriptedSource, ScriptedThinker, picture, speech
from tests.waiting import eventually

QUESTION = Question(labels=LABELS)


def adapted(folder: Path) -> ScriptedModel:
    return ScriptedModel(perceivers=ScriptedPerceiver(faces=2), name=f"scripted + {folder.name}")


def no_model() -> ScriptedModel:
    raise BadModel("There is no such model.", "Fetch it.")


@pytest.fixture
async def engine() -> AsyncIterator[ProcessEngine]:
    async with ProcessEngine(ScriptedModel, Metrics()) as engine:
        yield engine


async def exhaust(steps: AsyncIterator[Step | None]) -> None:
    async for _ in steps:
        pass


def kill(engine: ProcessEngine) -> None:
    assert engine.pid is not None
    os.kill(engine.pid, signal.SIGKILL)


async def test_a_window_is_labelled_and_reasoned_about_in_another_process(engine: ProcessEngine) -> None:
    assert (engine.model.name, engine.model.labels) == ("scripted", LABELS)
    assert engine.pid != os.getpid()
    client = await engine.open(0, QUESTION)
    frames = tuple([await client.see(picture(at_s)) for at_s in (0.0, 1.0)])
    heard = await client.hear(speech(0.0, 1.0))
    window = Window(0, 0.0, 1.0, frames, (heard,))
    assert (await client.fast_label(window, QUESTION)).source == "fast"
    steps = [step async for step in client.reason(window, QUESTION)]
    assert len(steps) == len(CHAIN) + 2
    assert isinstance(steps[-2], Label)
    assert isinstance(steps[-1], ReasonDone)
    await engine.ready()
    assert engine.stats()["rss_mb"] > 10


async def test_what_was_said_reaches_the_chain_of_its_window_alone(engine: ProcessEngine) -> None:
    client, gone = await engine.open(0, QUESTION), await engine.open(1, QUESTION)
    gone.close()
    frame = await client.see(picture(0.0))
    windows = [Window(index, 0.0, 1.0, (frame,), ()) for index in range(2)]
    gone.tell_words(windows[0], "Nobody waits for this.")
    client.tell_words(windows[1], "I lost it.")
    read = []
    for window in windows:
        await client.fast_label(window, QUESTION)
        done = [step async for step in client.reason(window, QUESTION)][-1]
        assert isinstance(done, ReasonDone)
        read.append(done.words)
    assert read == [False, True]


async def test_a_process_that_was_begun_is_taken_over_and_replaced_when_it_dies() -> None:
    with begun(ScriptedModel) as first:
        async with ProcessEngine(ScriptedModel, Metrics(), first=first) as engine:
            assert engine.pid == first.handle.pid
            kill(engine)
            await eventually(lambda: engine.generation == 2)
            assert engine.pid != first.handle.pid


def test_a_process_that_was_begun_and_is_not_wanted_ends_at_once() -> None:
    with pytest.raises(BadModel), begun(ScriptedModel) as first:
        raise BadModel("Something else is wrong.", "Mend it.")
    assert first.handle.exitcode == -signal.SIGKILL


async def test_what_the_model_raises_reaches_whoever_asked_and_nobody_else() -> None:
    load = partial(ScriptedModel, perceivers=ScriptedPerceiver(fail_at_s=(5.0,)))
    async with ProcessEngine(load, Metrics()) as engine:
        client = await engine.open(0, QUESTION)
        with pytest.raises(ModelFailed, match="RuntimeError: out of memory"):
            await client.see(picture(5.0))
        assert (await client.see(picture(2.0))).at_s == 2.0
        assert engine.restarts == 0


@pytest.mark.slow
async def test_a_model_that_cannot_be_loaded_is_told_with_its_hint() -> None:
    with pytest.raises(BadModel, match="There is no such model"):
        async with ProcessEngine(no_model, Metrics()):
            pass


async def test_after_a_kill_a_window_is_read_again_from_the_records_of_the_session(engine: ProcessEngine) -> None:
    asked = Question("is this sarcasm?", ("sincere", "sarcastic", "happy"))
    client = await engine.open(0, QUESTION)
    await client.set_question(asked)
    evidence = await client.see(picture(0.0))
    kill(engine)
    # In flight, or waiting for the next process: a call either fails by that name or is answered by the next one.
    with suppress(ModelStopped):
        await client.see(picture(0.5))
    later = await client.see(picture(1.0))
    label = await client.fast_label(Window(0, 0.0, 1.0, (evidence, later), ()), asked)
    assert set(label.probabilities) == set(asked.labels)
    assert (engine.restarts, engine.generation) == (1, 2)


@pytest.mark.slow
async def test_a_session_outlives_ten_kills_of_the_process_of_the_model(engine: ProcessEngine) -> None:
    async def lose_it() -> None:
        generation = engine.generation
        kill(engine)
        await eventually(lambda: engine.generation > generation, "the next process")

    async def answered() -> None:
        # The clock is ahead of what came last, so that it counts as lag until it is answered.
        await eventually(lambda: not session.lag_s, "the answer")

    items: list[Any] = []
    for at_s in range(44):
        # In the middle between two windows the frame is under way when the process dies.
        items += [picture(float(at_s)), ClockTick(at_s + 0.5), lose_it if at_s % 4 == 2 else answered]
    metrics = Metrics()
    session = Session(source=ScriptedSource([*items, answered]), engine=engine, settings=Settings(), metrics=metrics)
    await session.run()
    events = [json.loads(line) async for line in session.log.read()]
    assert engine.restarts == 11
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["reason"] == "end of script"
    # Every window that was due got its label, and every frame but those under way its evidence.
    assert len([event for event in events if event["type"] == "label" and event["source"] == "fast"]) == 10
    assert len([event for event in events if event["type"] == "frame"]) >= 33


@pytest.mark.slow
@pytest.mark.parametrize("fault", [MemoryError, torch.AcceleratorError])
async def test_a_device_that_fails_gets_a_new_process_and_its_caller_an_error(fault: type[Exception]) -> None:
    """Out of memory, or a GPU that was taken away: the other session goes on."""
    load = partial(ScriptedModel, perceivers=ScriptedPerceiver(fail_at_s=(5.0,), fails_with=fault))
    async with ProcessEngine(load, Metrics()) as engine:
        client, other = await engine.open(0, QUESTION), await engine.open(0, QUESTION)
        with pytest.raises((ModelFailed, ModelStopped)):
            await client.see(picture(5.0))
        await eventually(lambda: engine.generation > 1, "the next process")
        assert (await client.see(picture(6.0))).at_s == 6.0
        assert (await other.see(picture(6.0))).at_s == 6.0
        assert engine.restarts == 1


@pytest.mark.slow
async def test_an_adapter_stays_the_sessions_own_across_a_restart(tmp_path: Path) -> None:
    async with ProcessEngine(ScriptedModel, Metrics(), load_adapter=adapted) as engine:
        info = await engine.use(tmp_path / "calm")
        assert (info.name, info.adapter) == ("scripted + calm", tmp_path / "calm")
        client, plain = await engine.open(0, QUESTION, info.adapter), await engine.open(0, QUESTION)
        generation = engine.generation
        kill(engine)
        await eventually(lambda: engine.generation > generation, "the next process")
        assert len((await client.see(picture(0.0))).faces) == 2
        assert len((await plain.see(picture(0.0))).faces) == 1


async def test_a_chain_that_is_killed_becomes_an_error_event_and_the_next_one_is_thought() -> None:
    # Longer than anything that could be under way when the process dies.
    load = partial(ScriptedModel, thinker=ScriptedThinker(chain=CHAIN * 500))
    async with ProcessEngine(load, Metrics()) as engine:
        client = await engine.open(0, QUESTION)
        evidence = await client.see(picture(0.0))
        window = Window(0, 0.0, 1.0, (evidence,), ())
        steps = client.reason(window, QUESTION)
        await anext(steps)
        kill(engine)
        with pytest.raises((ModelStopped, ModelFailed)):
            await exhaust(steps)
        assert isinstance([step async for step in client.reason(window, QUESTION)][-1], ReasonDone)


async def test_leaving_ends_the_process() -> None:
    async with ProcessEngine(ScriptedModel, Metrics()) as engine:
        pid = engine.pid
    assert pid is not None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_chain_that_is_ended_is_closed_and_steps_come_in_bundles() -> None:
    model = ScriptedModel()
    host = Host(Models(model), Scheduler())
    host.handle(OpenSession(1, 0, QUESTION))
    window = WindowParts(0, 0.0, 1.0, (host.handle(See(1, picture(0.0))),), ())
    host.handle(BeginChain(1, 7, window, QUESTION))
    assert len(host.handle(NextSteps(1, 7, 0.0))) == 1
    host.handle(EndChain(1, 7))
    assert model.thinker.n_closed == 1
    host.handle(BeginChain(1, 8, window, QUESTION))
    assert len(host.handle(NextSteps(1, 8, 10.0))) == len(CHAIN) + 2
    host.handle(CloseSession(1))
    assert model.perceivers.closed


def test_the_host_keeps_a_buffers_worth_of_a_session() -> None:
    """A session may go on for hours, and its windows name what is kept."""
    host = Host(Models(ScriptedModel()), Scheduler())
    host.handle(OpenSession(1, 0, QUESTION))
    for second in range(KEPT_EVIDENCE + 10):
        host.handle(See(1, picture(float(second))))
    assert list(host._sessions[1].frames) == [float(second) for second in range(10, KEPT_EVIDENCE + 10)]


def test_the_host_knows_every_request() -> None:
    """`Host.handle` casts to `Message`, so a request that is missing there would escape mypy."""
    assert set(get_args(Message)) == set(Request.__subclasses__())
