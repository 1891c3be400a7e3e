"""Frames of several sessions, measured in threads and encoded in one call, as on a GPU: with nano on the CPU."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from realtime.engine import loading
from realtime.engine.client import HostClient
from realtime.engine.loading import LoadedModel
from realtime.engine.local import LocalEngine
from realtime.engine.worker import ModelWorker
from realtime.evidence.perceive import Perception
from realtime.evidence.together import FramesTogether
from realtime.records import CueFrame, FrameEvidence, Question, UInt8, VideoFrame, Window
from tests.engine.waiting import CountedTowers, counted, held, opened, refuse, ring_of

ASK = Question()
OTHER = Question(query="How bright is it?")


@pytest.fixture(scope="module")
def nano() -> LoadedModel:
    return loading.load("nano", engine="torch")


@pytest.fixture
def model(nano: LoadedModel, towers: CountedTowers) -> LoadedModel:
    return replace(nano, towers=towers, together=FramesTogether(towers, nano.appends, n_frames=4, n_threads=2))


@pytest.fixture
def pictures(portrait: UInt8) -> list[VideoFrame]:
    """A person, the same mirrored, and nobody, of two sizes."""
    mirrored = np.ascontiguousarray(portrait[:, ::-1])
    return [VideoFrame(0.0, portrait), VideoFrame(0.5, mirrored), VideoFrame(1.0, np.zeros((240, 320, 3), np.uint8))]


async def measured(engine: LocalEngine, *clients: HostClient) -> None:
    """Let the clients' calls be made, and wait until their frames are measured."""
    await asyncio.sleep(0)
    for client in clients:
        await asyncio.to_thread(engine._host._seeing.settle, client.session)


async def seen_at_once(
    engine: LocalEngine, worker: ModelWorker, clients: Sequence[HostClient], frames: Sequence[VideoFrame]
) -> list[FrameEvidence | BaseException]:
    with held(worker):
        calls = [asyncio.create_task(client.see(frame)) for client, frame in zip(clients, frames, strict=True)]
        await measured(engine, *clients)
    return await asyncio.gather(*calls, return_exceptions=True)


def alone(nano: LoadedModel, seed: int, question: Question, frame: VideoFrame) -> FrameEvidence:
    perceiver = nano.perceiver(seed, question)
    seen = perceiver.see(frame)
    perceiver.close()
    return seen


def window_of(seen: FrameEvidence) -> Window:
    return Window(0, seen.at_s - 1, seen.at_s, (seen,), ())


def assert_alike(seen: FrameEvidence | BaseException, expected: FrameEvidence) -> None:
    assert isinstance(seen, FrameEvidence)
    assert seen.at_s == expected.at_s
    assert [face.box for face in seen.faces] == [face.box for face in expected.faces]
    assert (seen.counts, seen.map) == (expected.counts, expected.map)
    np.testing.assert_allclose(seen.tokens_ND, expected.tokens_ND, atol=2e-4)
    np.testing.assert_array_equal(seen.positions_3N, expected.positions_3N)
    for mine, theirs in zip(seen.cues, expected.cues, strict=True):
        assert mine.intensities == theirs.intensities
        assert mine.verdict_7 is not None
        assert theirs.verdict_7 is not None
        np.testing.assert_allclose(mine.verdict_7, theirs.verdict_7, atol=1e-5)


async def test_frames_that_wait_share_a_call(
    nano: LoadedModel, model: LoadedModel, towers: CountedTowers, worker: ModelWorker, pictures: list[VideoFrame]
) -> None:
    engine = LocalEngine(model, worker)
    clients = await opened(engine, [ASK] * 3)
    seen = await seen_at_once(engine, worker, clients, pictures)
    # Three frames are filled up to four, for which a GPU has a graph.
    assert towers.batches == [4]
    assert {name: engine.stats()[name] for name in ("seen_calls", "seen_frames")} == {"seen_calls": 1, "seen_frames": 3}
    for seed, (mine, frame) in enumerate(zip(seen, pictures, strict=True)):
        assert_alike(mine, alone(nano, seed, ASK, frame))


async def test_frames_that_share_a_call_are_prefilled_in_one_pass(
    nano: LoadedModel, model: LoadedModel, worker: ModelWorker, pictures: list[VideoFrame]
) -> None:
    """Whatever was asked: each session's label, from its own ring, is that of a session alone."""
    engine = LocalEngine(model, worker)
    questions = [ASK, OTHER, ASK]
    clients = await opened(engine, questions)
    before = counted(engine)
    seen = await seen_at_once(engine, worker, clients, pictures)
    assert [now - then for now, then in zip(counted(engine), before, strict=True)] == [3, 1]
    for seed, (mine, frame) in enumerate(zip(seen, pictures, strict=True)):
        assert isinstance(mine, FrameEvidence)
        plain = nano.perceiver(seed, questions[seed])
        expected = nano.thinker.fast_label(window_of(plain.see(frame)), questions[seed])
        told = await clients[seed].fast_label(window_of(mine), questions[seed])
        assert told.probabilities == pytest.approx(expected.probabilities, abs=1e-4)
        plain.close()


async def test_a_ring_that_takes_nothing_keeps_nothing_from_the_others(
    nano: LoadedModel,
    model: LoadedModel,
    worker: ModelWorker,
    pictures: list[VideoFrame],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = LocalEngine(model, worker)
    clients = await opened(engine, [ASK] * 3)
    monkeypatch.setattr(ring_of(engine, clients[1]).ring, "keep", refuse)
    seen = await seen_at_once(engine, worker, clients, pictures)
    assert [isinstance(one, FrameEvidence) for one in seen] == [True, False, True]
    assert str(seen[1]) == "not kept"
    for mine, client in ((seen[0], clients[0]), (seen[2], clients[2])):
        assert isinstance(mine, FrameEvidence)
        assert mine.number in ring_of(engine, client).ring


async def test_frames_of_other_questions_do_not(
    nano: LoadedModel, model: LoadedModel, towers: CountedTowers, worker: ModelWorker, pictures: list[VideoFrame]
) -> None:
    engine = LocalEngine(model, worker)
    clients = await opened(engine, [ASK, OTHER, ASK])
    seen = await seen_at_once(engine, worker, clients, pictures)
    assert sorted(towers.batches) == [1, 2]
    for seed, question in enumerate([ASK, OTHER, ASK]):
        assert_alike(seen[seed], alone(nano, seed, question, pictures[seed]))


async def test_no_more_share_a_call_than_may(
    model: LoadedModel, towers: CountedTowers, worker: ModelWorker, pictures: list[VideoFrame]
) -> None:
    engine = LocalEngine(model, worker)
    clients = await opened(engine, [ASK] * 6)
    frames = [*pictures, *(replace(frame, at_s=frame.at_s + 5) for frame in pictures)]
    assert all(isinstance(one, FrameEvidence) for one in await seen_at_once(engine, worker, clients, frames))
    assert towers.batches == [4, 2]


async def test_without_memory_for_a_batch_each_is_encoded_alone(
    nano: LoadedModel, model: LoadedModel, towers: CountedTowers, worker: ModelWorker, pictures: list[VideoFrame]
) -> None:
    towers.full = True
    engine = LocalEngine(model, worker)
    clients = await opened(engine, [ASK] * 3)
    seen = await seen_at_once(engine, worker, clients, pictures)
    assert towers.batches == [1, 1, 1]
    for seed, frame in enumerate(pictures):
        assert_alike(seen[seed], alone(nano, seed, ASK, frame))


async def test_a_fault_of_one_session_is_its_own(
    model: LoadedModel, worker: ModelWorker, pictures: list[VideoFrame]
) -> None:
    engine = LocalEngine(model, worker)
    clients = await opened(engine, [ASK] * 3)
    broken = VideoFrame(0.0, np.zeros((0, 0, 3), np.uint8))
    seen = await seen_at_once(engine, worker, clients, [pictures[0], broken, pictures[1]])
    assert [isinstance(one, FrameEvidence) for one in seen] == [True, False, True]
    assert isinstance(seen[1], Exception)


async def test_a_label_does_not_wait_while_a_frame_is_measured(
    nano: LoadedModel, worker: ModelWorker, pictures: list[VideoFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As nano is loaded on a CPU, where no two frames share a call."""
    assert nano.together is not None
    assert nano.together.n_frames == 1
    engine = LocalEngine(nano, worker)
    (client,) = await opened(engine, [ASK])
    first = await client.see(pictures[0])
    begun, free = threading.Event(), threading.Event()
    plain = Perception.measure

    def slowly(self: Perception, frame: VideoFrame) -> object:
        begun.set()
        free.wait(30)
        return plain(self, frame)

    monkeypatch.setattr(Perception, "measure", slowly)
    seeing = asyncio.create_task(client.see(pictures[1]))
    assert await asyncio.to_thread(begun.wait, 30)
    label = await asyncio.wait_for(client.fast_label(window_of(first), ASK), 30)
    assert not seeing.done()
    free.set()
    second = await seeing
    expected = nano.perceiver(0)
    seen = [expected.see(frame) for frame in pictures[:2]]
    assert_alike(first, seen[0])
    assert_alike(second, seen[1])
    told = nano.thinker.fast_label(window_of(seen[0]), ASK)
    assert label.probabilities == pytest.approx(told.probabilities, abs=1e-6)
    # Frames that can share no call are not counted.
    assert "seen_calls" not in engine.stats()


async def test_faces_are_measured_in_the_sessions_own_lane(
    model: LoadedModel, worker: ModelWorker, portrait: UInt8, monkeypatch: pytest.MonkeyPatch
) -> None:
    names: list[str] = []
    plain = Perception.glimpse

    def noted(self: Perception, frame: CueFrame) -> object:
        names.append(threading.current_thread().name)
        return plain(self, frame)

    monkeypatch.setattr(Perception, "glimpse", noted)
    engine = LocalEngine(model, worker)
    clients = await opened(engine, [ASK] * 2)
    for at_s in (0.2, 0.4):
        found = await asyncio.gather(*(client.glimpse(CueFrame(at_s, portrait)) for client in clients))
        assert [len(glimpse.cues) for glimpse in found] == [1, 1]
    lanes = {name.rpartition("_")[0] for name in names}
    assert lanes == {"faces 1", "faces 2"}


async def test_a_question_asked_meanwhile_is_read_with_a_still_picture(
    nano: LoadedModel, model: LoadedModel, worker: ModelWorker, portrait: UInt8
) -> None:
    """The second frame was found to be the first again, and then all that was read of the first was dropped."""
    engine = LocalEngine(model, worker)
    (client,) = await opened(engine, [ASK])
    await client.see(VideoFrame(0.0, portrait))
    with held(worker):
        asking = asyncio.create_task(client.set_question(OTHER))
        await asyncio.sleep(0)
        seeing = asyncio.create_task(client.see(VideoFrame(1.0, portrait)))
        await measured(engine, client)
    await asking
    seen = await seeing
    perceiver = nano.perceiver(0)
    perceiver.see(VideoFrame(0.0, portrait))
    perceiver.set_question(OTHER)
    assert_alike(seen, perceiver.see(VideoFrame(1.0, portrait)))


async def test_a_session_that_ends_while_its_frame_waits_keeps_nothing_from_the_others(
    nano: LoadedModel, model: LoadedModel, worker: ModelWorker, pictures: list[VideoFrame]
) -> None:
    engine = LocalEngine(model, worker)
    first, second = await opened(engine, [ASK] * 2)
    with held(worker):
        gone = asyncio.create_task(first.see(pictures[0]))
        await asyncio.sleep(0)
        gone.cancel()
        first.close()
        waiting = asyncio.create_task(second.see(pictures[1]))
        await measured(engine, second)
    assert_alike(await waiting, alone(nano, 1, ASK, pictures[1]))
    with pytest.raises(asyncio.CancelledError):
        await gone
    await engine.ready()
