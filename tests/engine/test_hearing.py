"""Sounds of several sessions, measured in threads and encoded in one call, as on a GPU: with nano on the CPU."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Sequence
from concurrent.futures import wait
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from torch import Tensor

from realtime.engine import loading
from realtime.engine.loading import LoadedModel
from realtime.engine.local import LocalEngine
from realtime.engine.metrics import EngineMetrics
from realtime.engine.worker import ModelWorker
from realtime.evidence import listen
from realtime.evidence.perceive import Perception
from realtime.evidence.together import SoundsTogether
from realtime.evidence.voice import measure_voice
from realtime.records import SAMPLE_RATE_HZ, Float32, Question, SpeechEvidence, SpeechSegment, SpeechSoFar, Window
from tests.engine.waiting import CountedTowers, counted, held, opened, refuse, ring_of
from tests.ingest.media_files import room, voice

ASK = Question()
OTHER = Question(query="How bright and how loud is it, and what else can be told of the room?")
TALK_N = np.concatenate([voice(2.6), room(0.3), voice(1.6)]).astype(np.float32)


def talk(seconds: float, start_s: float = 3.0, gain: float = 1.0) -> SpeechSegment:
    sound_N: Float32 = (gain * TALK_N[: round(seconds * SAMPLE_RATE_HZ)]).astype(np.float32)
    return SpeechSegment(start_s, start_s + seconds, sound_N)


SAID = [talk(2.6), talk(1.1, gain=0.3), talk(4.4)]
"Of two chunks, one, and three."


@pytest.fixture(scope="module")
def nano() -> LoadedModel:
    return loading.load("nano", engine="torch")


@pytest.fixture
def model(nano: LoadedModel, towers: CountedTowers) -> LoadedModel:
    return replace(nano, towers=towers, hears_together=SoundsTogether(towers, nano.appends, n_sounds=4, n_threads=2))


async def measured(engine: LocalEngine) -> None:
    """Let the calls be made that were begun, and wait until their sounds are measured."""
    await asyncio.sleep(0)
    waiting = [one.measured for sounds in engine._host._hearing._sessions.values() for one in sounds]
    await asyncio.to_thread(wait, waiting)


async def at_once(engine: LocalEngine, worker: ModelWorker, calls: Sequence[Coroutine[Any, Any, Any]]) -> list[Any]:
    with held(worker):
        made = [asyncio.create_task(call) for call in calls]
        await measured(engine)
    return await asyncio.gather(*made, return_exceptions=True)


def alone(nano: LoadedModel, *segments: SpeechSegment, question: Question = ASK) -> SpeechEvidence:
    """The evidence of the last of these utterances in a session of its own."""
    perceiver = nano.perceiver(0, question)
    *_, last = [perceiver.hear(segment) for segment in segments]
    perceiver.close()
    return last


def window_of(heard: SpeechEvidence) -> Window:
    return Window(0, heard.start_s, heard.end_s, (), (heard,))


def assert_alike(heard: SpeechEvidence | BaseException, expected: SpeechEvidence) -> None:
    assert isinstance(heard, SpeechEvidence)
    assert (heard.start_s, heard.end_s) == (expected.start_s, expected.end_s)
    assert (heard.cues.values, heard.cues.relative) == (expected.cues.values, expected.cues.relative)
    assert (heard.cues.kind, heard.cues.narrow_band) == (expected.cues.kind, expected.cues.narrow_band)
    np.testing.assert_array_equal(heard.cues.features_P, expected.cues.features_P)
    np.testing.assert_allclose(heard.tokens_ND, expected.tokens_ND, atol=2e-4)
    np.testing.assert_array_equal(heard.positions_3N, expected.positions_3N)


async def test_sounds_that_wait_share_a_call(
    nano: LoadedModel, model: LoadedModel, towers: CountedTowers, worker: ModelWorker
) -> None:
    engine = LocalEngine(model, worker)
    clients = await opened(engine, [ASK] * 3)
    calls = [client.hear(segment) for client, segment in zip(clients, SAID, strict=True)]
    heard = await at_once(engine, worker, calls)
    # Six chunks are filled up to eight, for which a GPU has a graph.
    assert towers.chunks == [8]
    for mine, segment in zip(heard, SAID, strict=True):
        assert_alike(mine, alone(nano, segment))
    told = {metric.name: metric.samples[0].value for metric in EngineMetrics(engine.stats).collect()}
    assert told["emothinker_sounds_together"] == 3
    assert told["emothinker_sound_calls"] == 1


async def test_sounds_that_share_a_call_are_prefilled_in_one_pass(
    nano: LoadedModel, model: LoadedModel, worker: ModelWorker
) -> None:
    """Whatever was asked: each session's label, from its own ring, is that of a session alone."""
    engine = LocalEngine(model, worker)
    questions = [ASK, OTHER, ASK]
    clients = await opened(engine, questions)
    before = counted(engine)
    calls = [client.hear(segment) for client, segment in zip(clients, SAID, strict=True)]
    heard = await at_once(engine, worker, calls)
    assert [now - then for now, then in zip(counted(engine), before, strict=True)] == [3, 1]
    for mine, client, segment, question in zip(heard, clients, SAID, questions, strict=True):
        plain = nano.perceiver(0, question)
        expected = nano.thinker.fast_label(window_of(plain.hear(segment)), question)
        told = await client.fast_label(window_of(mine), question)
        assert told.probabilities == pytest.approx(expected.probabilities, abs=1e-4)
        plain.close()


async def test_a_ring_that_takes_nothing_keeps_nothing_from_the_others(
    model: LoadedModel, worker: ModelWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = LocalEngine(model, worker)
    clients = await opened(engine, [ASK] * 3)
    monkeypatch.setattr(ring_of(engine, clients[1]).ring, "keep", refuse)
    heard = await at_once(engine, worker, [c.hear(segment) for c, segment in zip(clients, SAID, strict=True)])
    assert [isinstance(one, SpeechEvidence) for one in heard] == [True, False, True]
    assert str(heard[1]) == "not kept"
    for mine, client in ((heard[0], clients[0]), (heard[2], clients[2])):
        assert mine.number in ring_of(engine, client).ring


async def test_sounds_of_other_questions_do_too(
    nano: LoadedModel, model: LoadedModel, towers: CountedTowers, worker: ModelWorker
) -> None:
    """Their texts have other lengths, and each chunk attends to its own."""
    engine = LocalEngine(model, worker)
    questions = [ASK, OTHER, ASK]
    clients = await opened(engine, questions)
    calls = [client.hear(segment) for client, segment in zip(clients, SAID, strict=True)]
    heard = await at_once(engine, worker, calls)
    assert towers.chunks == [8]
    for mine, segment, question in zip(heard, SAID, questions, strict=True):
        assert_alike(mine, alone(nano, segment, question=question))


async def test_no_more_chunks_share_a_call_than_may(
    nano: LoadedModel, model: LoadedModel, towers: CountedTowers, worker: ModelWorker
) -> None:
    engine = LocalEngine(model, worker)
    clients = await opened(engine, [ASK] * 4)
    said = [SAID[2], talk(4.0), talk(4.2, gain=0.5), talk(4.4, gain=0.2)]
    heard = await at_once(engine, worker, [c.hear(segment) for c, segment in zip(clients, said, strict=True)])
    assert towers.chunks == [8, 4], "three, two, three and three"
    for mine, segment in zip(heard, said, strict=True):
        assert_alike(mine, alone(nano, segment))


async def test_speech_that_goes_on_is_encoded_chunk_by_chunk(
    nano: LoadedModel, model: LoadedModel, towers: CountedTowers, worker: ModelWorker
) -> None:
    """One session goes on talking, another pauses, a third has ended. What the first says then is encoded in part."""
    engine = LocalEngine(model, worker)
    going, pausing, ended = await opened(engine, [ASK] * 3)
    calls: list[Coroutine[Any, Any, Any]] = [
        going.hear_ahead(SpeechSoFar(talk(2.1), paused=False)),
        pausing.hear_ahead(SpeechSoFar(SAID[0], paused=True)),
        ended.hear(SAID[1]),
    ]
    _, _, heard = await at_once(engine, worker, calls)
    assert towers.chunks == [4], "one complete chunk, two, and one"
    assert_alike(heard, alone(nano, SAID[1]))
    assert_alike(await pausing.hear(SAID[0]), alone(nano, SAID[0]))
    assert towers.chunks == [4], "nothing was left to do"
    assert_alike(await going.hear(SAID[0]), alone(nano, SAID[0]))
    assert towers.chunks == [4, 1], "the rest after the first 2 s"


async def test_the_voice_is_measured_in_a_thread_and_once(
    model: LoadedModel, worker: ModelWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    names: list[str] = []
    plain = measure_voice

    def noted(samples_N: Float32) -> object:
        names.append(threading.current_thread().name)
        return plain(samples_N)

    monkeypatch.setattr(listen, measure_voice.__name__, noted)
    engine = LocalEngine(model, worker)
    clients = await opened(engine, [ASK] * 2)
    await at_once(engine, worker, [c.hear_ahead(SpeechSoFar(SAID[0], paused=True)) for c in clients])
    await at_once(engine, worker, [client.hear(SAID[0]) for client in clients])
    assert sorted(name.rpartition("_")[0] for name in names) == ["voice", "voice"]


async def test_a_session_hears_in_its_order(nano: LoadedModel, model: LoadedModel, worker: ModelWorker) -> None:
    """What it says next waits behind what it said: the voice's usual, told of the first, moves before the second."""
    engine = LocalEngine(model, worker)
    first, other = await opened(engine, [ASK] * 2)
    later = talk(2.6, start_s=9.0, gain=0.5)
    calls: list[Coroutine[Any, Any, Any]] = [
        other.hear(SAID[1]),
        first.hear(SAID[2]),
        first.hear_ahead(SpeechSoFar(later, paused=True)),
    ]
    _, before, _ = await at_once(engine, worker, calls)
    assert_alike(before, alone(nano, SAID[2]))
    expected = alone(nano, SAID[2], later)
    assert_alike(await first.hear(later), expected)
    assert not np.allclose(expected.cues.features_P, alone(nano, later).cues.features_P)


async def test_without_memory_for_a_batch_each_is_encoded_alone(
    nano: LoadedModel, model: LoadedModel, towers: CountedTowers, worker: ModelWorker
) -> None:
    towers.full = True
    engine = LocalEngine(model, worker)
    clients = await opened(engine, [ASK] * 2)
    said = [SAID[1], talk(1.4)]
    heard = await at_once(engine, worker, [c.hear(segment) for c, segment in zip(clients, said, strict=True)])
    assert towers.chunks == [1, 1]
    for mine, segment in zip(heard, said, strict=True):
        assert_alike(mine, alone(nano, segment))


async def test_a_fault_of_one_session_is_its_own(
    nano: LoadedModel, model: LoadedModel, towers: CountedTowers, worker: ModelWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one that cannot be measured, and of one whose tokens cannot be made."""
    engine = LocalEngine(model, worker)
    clients = await opened(engine, [ASK] * 4)
    broken = SpeechSegment(3.0, 4.0, np.zeros((2, 2), np.float32))
    failing = engine._host._sessions[clients[2].session].perceiver
    assert isinstance(failing, Perception)

    def fail(*_: object, **__: object) -> tuple[Tensor, Tensor]:
        raise RuntimeError("no tokens")

    monkeypatch.setattr(failing._listener, "_voice_cues", fail)
    said = [SAID[0], broken, SAID[1], SAID[2]]
    heard = await at_once(engine, worker, [c.hear(segment) for c, segment in zip(clients, said, strict=True)])
    assert [isinstance(one, SpeechEvidence) for one in heard] == [True, False, False, True]
    assert str(heard[2]) == "no tokens"
    assert towers.chunks[0] == 8, "the other three, of six chunks, shared a call"
    assert_alike(heard[0], alone(nano, SAID[0]))
    assert_alike(heard[3], alone(nano, SAID[2]))


async def test_a_question_asked_meanwhile_is_what_is_heard_with(
    nano: LoadedModel, model: LoadedModel, worker: ModelWorker
) -> None:
    engine = LocalEngine(model, worker)
    first, other = await opened(engine, [ASK] * 2)
    calls: list[Coroutine[Any, Any, Any]] = [
        other.hear(SAID[1]),
        first.hear_ahead(SpeechSoFar(SAID[0], paused=True)),
        first.set_question(OTHER),
    ]
    await at_once(engine, worker, calls)
    assert_alike(await first.hear(SAID[0]), alone(nano, SAID[0], question=OTHER))


async def test_a_session_that_ends_while_its_sound_waits_keeps_nothing_from_the_others(
    nano: LoadedModel, model: LoadedModel, worker: ModelWorker
) -> None:
    engine = LocalEngine(model, worker)
    first, second = await opened(engine, [ASK] * 2)
    with held(worker):
        gone = asyncio.create_task(first.hear(SAID[0]))
        await asyncio.sleep(0)
        gone.cancel()
        first.close()
        waiting = asyncio.create_task(second.hear(SAID[1]))
        await measured(engine)
    assert_alike(await waiting, alone(nano, SAID[1]))
    with pytest.raises(asyncio.CancelledError):
        await gone
    await engine.ready()
    assert not engine._host._hearing._sessions.keys() & {first.session}


async def test_a_sound_that_no_thread_has_begun_to_measure_is_not_waited_for(
    nano: LoadedModel, model: LoadedModel, worker: ModelWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both threads are busy with others: the job of a third measures for itself."""
    free = threading.Event()
    plain = Perception.measure_sound

    def slow(self: Perception, so_far: SpeechSoFar) -> object:
        if so_far.segment is not SAID[0]:
            free.wait(30)
        return plain(self, so_far)

    monkeypatch.setattr(Perception, "measure_sound", slow)
    engine = LocalEngine(model, worker)
    *busy, third = await opened(engine, [ASK] * 3)
    with held(worker):
        heard = asyncio.create_task(third.hear(SAID[0]))
        # Jobs of one rank run in their order; the threads are taken before.
        for client in busy:
            engine._host._announce_sound(client.session, SpeechSoFar(SAID[1], paused=False), ended=False)
        await asyncio.sleep(0)
    assert_alike(await asyncio.wait_for(heard, 20), alone(nano, SAID[0]))
    free.set()
