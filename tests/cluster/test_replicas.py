"""Replicas without Ray around them: what they answer is what the local engine answers, whoever else they serve."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from realtime.cluster.batcher import Batcher
from realtime.cluster.encoder import EncoderReplica, packed_frames
from realtime.cluster.messages import (
    ChainSteps,
    EncodeRequest,
    MissingEvidence,
    SessionKey,
    TimedLabel,
    WindowRequest,
    slim,
)
from realtime.cluster.thinker import ThinkerReplica
from realtime.engine import loading
from realtime.engine.loading import LoadedModel
from realtime.reason.second_look import looked_again
from realtime.records import FrameEvidence, Label, Question, SpeechEvidence, SpeechSegment, UInt8, VideoFrame, Window
from realtime.roles import Step
from realtime.towers.batch import FrameInput, audio_inputs, drop_noise, selected, vision_inputs
from realtime.towers.preprocess import log_mel
from tests.model.adapter_files import of_language_model
from tests.waiting import eventually

pytestmark = pytest.mark.slow

ASK = Question()


@pytest.fixture(scope="module")
def encoder() -> EncoderReplica:
    return EncoderReplica("nano", engine="torch")


@pytest.fixture
def thinker() -> Iterator[ThinkerReplica]:
    replica = ThinkerReplica("nano", max_sessions=2)
    yield replica
    replica.end()


def frames_of(n: int) -> list[FrameInput]:
    noise = torch.Generator().manual_seed(0)
    found = []
    for index in range(n):
        columns = 112 if index % 2 == 0 else 168
        focal = torch.zeros(columns * 112 // 28**2, dtype=torch.bool)
        focal[:3] = True
        found.append(
            FrameInput(torch.rand(3, 112, columns, generator=noise), focal, drop_noise(focal, seed=index), 0.2)
        )
    return found


def test_frames_of_several_sessions_in_one_batch_are_what_each_would_be_alone(
    nano: LoadedModel, encoder: EncoderReplica
) -> None:
    frames = frames_of(4)
    text_QD = nano.thinker.query_embeddings(ASK)
    alone = [selected(nano.towers.vision(vision_inputs([frame], text_QD)))[0] for frame in frames]
    requests = [EncodeRequest("", ASK, packed_frames(vision_inputs([frame], text_QD))) for frame in frames]
    for expected, outputs in zip(alone, encoder.encode_frames(requests), strict=True):
        got = selected([torch.from_numpy(output) for output in outputs])[0]
        torch.testing.assert_close(got.tokens_ND, expected.tokens_ND, atol=2e-5, rtol=1e-4)
        assert got.order_N.tolist() == expected.order_N.tolist()
        assert got.n_focal == expected.n_focal


def test_sound_of_several_sessions_in_one_batch(nano: LoadedModel, encoder: EncoderReplica) -> None:
    sound = np.random.default_rng(0)
    text_QD = nano.thinker.query_embeddings(ASK)
    n_bins = nano.weights.config.audio.num_mel_bins
    mels = [log_mel(sound.standard_normal(16_000 * s).astype(np.float32), n_bins) for s in (1, 3)]
    inputs = [audio_inputs(torch.from_numpy(mel), text_QD) for mel in mels]
    requests = [EncodeRequest("", ASK, {name: part[name].numpy() for name in ("mel", "n_frames")}) for part in inputs]
    for part, outputs in zip(inputs, encoder.encode_sounds(requests), strict=True):
        for got, expected in zip(outputs, nano.towers.audio(part), strict=True):
            np.testing.assert_allclose(got, expected.numpy(), atol=2e-5, rtol=1e-4)


def window_of(nano: LoadedModel, seed: int = 0) -> Window:
    noise = np.random.default_rng(seed)
    perceiver = nano.perceiver(0)
    frames = [
        perceiver.see(VideoFrame(float(s), noise.integers(0, 256, (240, 320, 3), dtype=np.uint8))) for s in range(3)
    ]
    spoken = perceiver.hear(SpeechSegment(0.5, 2.0, (0.1 * noise.standard_normal(24_000)).astype(np.float32)))
    perceiver.close()
    parts: list[FrameEvidence | SpeechEvidence] = [*frames, spoken]
    numbered = [_numbered(part, number) for number, part in enumerate(parts, start=1)]
    return Window(
        seed,
        0.0,
        3.0,
        tuple(part for part in numbered if isinstance(part, FrameEvidence)),
        tuple(part for part in numbered if isinstance(part, SpeechEvidence)),
    )


def _numbered(part: FrameEvidence | SpeechEvidence, number: int) -> FrameEvidence | SpeechEvidence:
    return replace(part, ring=7, number=number)


def as_here(nano: LoadedModel, window: Window) -> Window:
    """The window as the local engine holds it: in a ring."""
    ring = nano.thinker.open_ring(ASK)
    assert ring is not None
    return replace(
        window,
        frames=tuple(ring.add_frame(part) for part in window.frames),
        speech=tuple(ring.add_speech(part) for part in window.speech),
    )


def test_what_only_the_page_and_the_baselines_need_does_not_travel(nano: LoadedModel, portrait: UInt8) -> None:
    perceiver = nano.perceiver(0)
    seen = replace(perceiver.see(VideoFrame(0.0, portrait)), ring=3, number=7)
    assert seen.faces[0].mesh_N3 is not None
    assert all((seen.cues, seen.focal, seen.map, seen.timings_ms))
    sent = slim(seen)
    assert isinstance(sent, FrameEvidence)
    assert [(face.track, face.box, face.mesh_N3) for face in sent.faces] == [
        (seen.faces[0].track, seen.faces[0].box, None)
    ]
    assert (sent.focal, sent.map, sent.timings_ms, sent.ring) == ((), None, {}, 0)
    assert [each.intensities for each in sent.cues] == [each.intensities for each in seen.cues]
    assert [each.geometry_N.size for each in sent.cues] == [0]
    assert (sent.at_s, sent.scene, sent.counts, sent.number) == (seen.at_s, seen.scene, seen.counts, 7)
    assert sent.tokens_ND is seen.tokens_ND
    spoken = replace(perceiver.hear(SpeechSegment(0.0, 1.0, np.zeros(16_000, np.float32))), ring=3, number=8)
    assert slim(spoken) == replace(spoken, ring=0)


def slimmed(window: Window) -> tuple[FrameEvidence | SpeechEvidence, ...]:
    """The evidence of a window as it goes over the network."""
    return (*map(slim, window.frames), *map(slim, window.speech))


async def test_a_thinker_says_what_it_misses_then_what_the_local_one_says(
    nano: LoadedModel, thinker: ThinkerReplica
) -> None:
    window, who = window_of(nano), SessionKey("a", "", ASK)
    question = WindowRequest.of(window, who)
    parts = slimmed(window)
    await thinker.append(who, parts[:1])
    missed = await thinker.label(question)
    assert missed == MissingEvidence((2, 3, 4))
    await thinker.append(who, parts[1:])
    labelled = await thinker.label(question)
    assert isinstance(labelled, TimedLabel)
    here = as_here(nano, window)
    expected = nano.thinker.fast_label(here, ASK)
    assert labelled.label.label == expected.label
    for name, share in expected.probabilities.items():
        assert labelled.label.probabilities[name] == pytest.approx(share, abs=1e-4)
    steps = await written(thinker, question)
    assert steps[-1].sections == list(nano.thinker.reason(here, ASK))[-1].sections  # type: ignore[union-attr]


async def test_people_in_view_and_a_second_look_are_told_as_here(
    nano: LoadedModel, thinker: ThinkerReplica, portrait: UInt8
) -> None:
    """Verdicts on faces were left out: on a cluster no person had a label of their own."""
    perceiver = nano.perceiver(0)
    seen = replace(perceiver.see(VideoFrame(0.0, portrait)), ring=9, number=1)
    perceiver.close()
    window, who = Window(0, 0.0, 1.0, (seen,), ()), SessionKey("seen", "", ASK)
    labelled = await thinker.label(WindowRequest.of(window, who), slimmed(window))
    assert isinstance(labelled, TimedLabel)
    here = as_here(nano, window)
    expected = nano.thinker.fast_label(here, ASK).faces
    assert [(face.track, face.label) for face in labelled.label.faces] == [
        (face.track, face.label) for face in expected
    ]
    assert expected
    told = [step for step in await written(thinker, WindowRequest.of(window, who)) if isinstance(step, Label)]
    local = [step for step in nano.thinker.reason(here, ASK) if isinstance(step, Label)]
    assert told[-1].probabilities == pytest.approx(local[-1].probabilities, abs=1e-4)
    first = labelled.label.probabilities
    assert looked_again(labelled.label, here) != pytest.approx(first, abs=1e-6), "else the second look shows nothing"


async def test_what_goes_with_a_question_need_not_come_before_it(nano: LoadedModel, thinker: ThinkerReplica) -> None:
    """Asked again, as when an answer was lost on its way, it is read once."""
    window, who = window_of(nano), SessionKey("a", "", ASK)
    parts = slimmed(window)
    await thinker.append(who, parts[:-1])
    first, again = [await thinker.label(WindowRequest.of(window, who), parts[-1:]) for _ in range(2)]
    assert isinstance(first, TimedLabel)
    assert isinstance(again, TimedLabel)
    assert again.label == first.label
    assert thinker.n_prefills == 0
    expected = nano.thinker.fast_label(as_here(nano, window), ASK).probabilities
    assert first.label.probabilities == pytest.approx(expected, abs=1e-4)


async def test_a_replica_keeps_weights_in_eight_bits_as_the_local_engine_does(
    nano: LoadedModel, tmp_path: Path
) -> None:
    """`--weights` was for one machine alone. An adapter beside the narrow backbone works as well."""
    folder = of_language_model(nano.weights, tmp_path / "a", seed=0)
    replica, window = ThinkerReplica("nano", {"a": str(folder)}, weights="int8"), window_of(nano)
    assert replica._backbone.models[""].weights.thinker.model.quantised
    said = {}
    for name in ("", "a"):
        request = WindowRequest.of(window, SessionKey(f"session {name}", name, ASK))
        labelled = await replica.label(request, slimmed(window))
        assert isinstance(labelled, TimedLabel)
        said[name] = labelled.label.probabilities
    replica.end()
    local = loading.load("nano", engine="torch", weights="int8")
    assert said[""] == pytest.approx(local.thinker.fast_label(as_here(local, window), ASK).probabilities, abs=1e-3)
    assert said[""] != pytest.approx(said["a"], abs=1e-3)


async def test_adapters_share_the_backbone_and_answer_as_if_each_were_alone(nano: LoadedModel, tmp_path: Path) -> None:
    folders = {name: of_language_model(nano.weights, tmp_path / name, seed=seed) for seed, name in enumerate("ab")}
    replica = ThinkerReplica("nano", {name: str(folder) for name, folder in folders.items()})
    window = window_of(nano)
    said = {}
    for name in ("", *folders):
        who = SessionKey(f"session {name}", name, ASK)
        labelled = await replica.label(WindowRequest.of(window, who), slimmed(window))
        assert isinstance(labelled, TimedLabel)
        said[name] = labelled.label.probabilities
    variants = replica._backbone.models
    assert tuple(variants) == ("", *folders)
    assert len({id(variant.weights.thinker) for variant in variants.values()}) == 1
    replica.end()
    alone = loading.load("nano", adapter=folders["a"], engine="torch")
    expected = alone.thinker.fast_label(as_here(alone, window), ASK).probabilities
    apart = {name: max(abs(other[key] - expected[key]) for key in expected) for name, other in said.items()}
    # Merged weights are rounded to the 16 bits of the file, those beside the backbone are not.
    assert 4 * apart["a"] < min(apart[""], apart["b"]), apart


async def written(thinker: ThinkerReplica, question: WindowRequest) -> list[Step]:
    steps: list[Step] = []
    async for told in thinker.reason(question):
        assert isinstance(told, ChainSteps)
        steps += told.steps
    return steps


async def test_chains_of_two_sessions_written_together_say_what_each_says_alone(
    nano: LoadedModel, thinker: ThinkerReplica
) -> None:
    questions = []
    for seed, name in enumerate(("a", "b")):
        window, who = window_of(nano, seed), SessionKey(name, "", ASK)
        await thinker.append(who, slimmed(window))
        questions.append(WindowRequest.of(window, who))
    alone = [await written(thinker, question) for question in questions]
    together = await asyncio.gather(*(written(thinker, question) for question in questions))
    for one, other in zip(alone, together, strict=True):
        assert other[-1].sections == one[-1].sections  # type: ignore[union-attr]


async def test_evidence_that_comes_after_its_question_is_waited_for(nano: LoadedModel, thinker: ThinkerReplica) -> None:
    window, who = window_of(nano), SessionKey("a", "", ASK)
    parts = slimmed(window)
    await thinker.append(who, parts[:-1])
    asked = asyncio.create_task(thinker.label(WindowRequest.of(window, who)))
    arrived = thinker._sessions["a"].arrived
    await eventually(lambda: arrived._waiters, "the wait for the missing part")
    await thinker.append(who, parts[-1:])
    assert isinstance(await asked, TimedLabel)
    assert thinker.n_prefills == 0


async def test_one_session_never_reads_another_s_evidence(nano: LoadedModel, thinker: ThinkerReplica) -> None:
    """Both number their evidence from 1; the replica's rings and parts are each session's own."""
    windows = {name: window_of(nano, seed) for seed, name in enumerate(("a", "b"))}
    for name, window in windows.items():
        await thinker.append(SessionKey(name, "", ASK), slimmed(window))
    for name, window in windows.items():
        labelled = await thinker.label(WindowRequest.of(window, SessionKey(name, "", ASK)))
        assert isinstance(labelled, TimedLabel)
        expected = nano.thinker.fast_label(as_here(nano, window), ASK).probabilities
        assert max(abs(labelled.label.probabilities[key] - expected[key]) for key in expected) < 1e-4


async def test_sessions_beyond_the_bound_are_forgotten_oldest_first(nano: LoadedModel, thinker: ThinkerReplica) -> None:
    window = window_of(nano)
    for name in ("a", "b", "c"):
        await thinker.append(SessionKey(name, "", ASK), tuple(slim(part) for part in window.frames))
    assert (await thinker.counts())["sessions"] == 2
    assert isinstance(await thinker.label(WindowRequest.of(window, SessionKey("a", "", ASK))), MissingEvidence)


class Doubler:
    """Work that counts its batches."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []

    def __call__(self, items: Sequence[int]) -> list[int]:
        self.batches.append(list(items))
        if 13 in items:
            raise ValueError("13")
        return [2 * item for item in items]


async def test_what_waits_while_a_batch_runs_is_the_next_and_questions_are_not_mixed() -> None:
    work = Doubler()
    with ThreadPoolExecutor(1) as executor:
        batcher: Batcher[int, int] = Batcher(work, executor, max_batch=3, max_waiting=8)
        asked = [asyncio.create_task(batcher.run(item, "even" if item % 2 == 0 else "odd")) for item in range(1, 7)]
        answers = [(await task)[0] for task in asked]
    assert answers == [2, 4, 6, 8, 10, 12]
    assert work.batches == [[1, 3, 5], [2, 4, 6]]


async def test_a_batch_that_fails_fails_alone_and_too_many_are_refused() -> None:
    work = Doubler()
    with ThreadPoolExecutor(1) as executor:
        batcher: Batcher[int, int] = Batcher(work, executor, max_batch=1, max_waiting=2)
        asked = [asyncio.create_task(batcher.run(item, "")) for item in (13, 1, 2)]
        results = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(result).__name__ for result in results] == ["ValueError", "tuple", "OverflowError"]
    assert batcher.n_refused == 1


def test_a_manifest_is_enough_to_perceive_with(nano: LoadedModel, thinker: ThinkerReplica, tmp_path: Path) -> None:
    """The session's node needs no model files: experts and projectors come with the manifest."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'emothinker[ray]'")
    from realtime.cluster.engine import instruments

    model = instruments(asyncio.run(thinker.manifest()), "")
    for name, tensor in model.emotion.state_dict().items():
        torch.testing.assert_close(tensor, nano.weights.emotion.state_dict()[name])
    assert model.thinker.lm_head.weight.device.type == "meta"
