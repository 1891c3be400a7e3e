"""nano's labels beside the chains of a composed model: the very labels of nano alone, from towers that run once."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

from realtime.bench.paired import SpokenWindow, collect_windows
from realtime.engine import gpu, pair
from realtime.engine.loading import LoadedModel, with_own_chain
from realtime.engine.local import LocalEngine
from realtime.engine.models import Models
from realtime.engine.pair import PairedModel
from realtime.engine.scheduler.queue import Rank
from realtime.engine.start import load_model
from realtime.engine.worker import ModelWorker
from realtime.errors import BadSettings
from realtime.model.config import Calibration
from realtime.model.thinker import EmoThinker
from realtime.reason import calibrate, decode, rows
from realtime.reason.decode import finished
from realtime.reason.reasoner import Reasoner
from realtime.reason.second_look import looked_again
from realtime.reason.session_ring import UNREAD, apart
from realtime.records import (
    CueFrame,
    FrameEvidence,
    Label,
    OwnLabel,
    Question,
    ReasonDelta,
    ReasonDone,
    SpeechEvidence,
    SpeechSoFar,
    Window,
)
from realtime.roles import Perceiver
from realtime.sample import SAMPLE
from realtime.settings import ModelSettings, Settings
from realtime.towers.shared import SharedTowers, Trunk
from tests.model.backbone_files import composed_on_llama
from train.evaluation.batch import chains
from train.evaluation.served import load_served, writer_of

PLAIN = Question()
OWN = replace(
    PLAIN,
    query="Is she pleased?",
    own=(OwnLabel("pleased", ("happy", "surprise")), OwnLabel("not", ("sad", "angry", "disgust", "fear"))),
)


@pytest.fixture(autouse=True)
def sections_are_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Random weights end no section. The usual limit of 96 tokens made this file the dearest of the quick loop."""
    for module in (decode, rows):
        monkeypatch.setattr(module, "SECTION_TOKENS", 20)


@pytest.fixture(scope="module")
def composed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A model on a small random Llama, before any training."""
    folder = tmp_path_factory.mktemp("pair")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        yield composed_on_llama(folder)


@pytest.fixture(scope="module")
def both(composed: Path) -> PairedModel:
    model = load_model(ModelSettings(name=str(composed), device="cpu"))
    assert isinstance(model, PairedModel)
    return model


@pytest.fixture(scope="module")
def spoken() -> SpokenWindow:
    """The first sentence of the sample."""
    return collect_windows([str(SAMPLE)], Settings(), 1)[0]


def parts_of(window: Window) -> list[FrameEvidence | SpeechEvidence]:
    return [*window.frames, *window.speech]


def perceived(perceiver: Perceiver, spoken: SpokenWindow, *, question: Question | None = None) -> Window:
    """As in a session: some frames, one that did not change, and an utterance that was heard ahead."""
    first, *others = spoken.frames[:4]
    frames: list[FrameEvidence] = [perceiver.see(first)]
    if question is not None:
        perceiver.set_question(question)
    frames += [perceiver.see(frame) for frame in others]
    frames.append(perceiver.see(replace(others[-1], at_s=others[-1].at_s + 1)))
    perceiver.glimpse(CueFrame(first.at_s, first.rgb_HW3))
    perceiver.hear_ahead(SpeechSoFar(spoken.segment, paused=True))
    speech: SpeechEvidence = perceiver.hear(spoken.segment)
    return Window(0, first.at_s, spoken.segment.end_s, tuple(frames), (speech,))


def assert_same(ours: Label, theirs: Label) -> None:
    assert (ours.label, ours.calibrated) == (theirs.label, theirs.calibrated)
    assert ours.probabilities == pytest.approx(theirs.probabilities, abs=1e-5)
    assert (ours.valence, ours.arousal) == pytest.approx((theirs.valence, theirs.arousal), abs=1e-5)
    assert ours.conflict is not None
    assert theirs.conflict is not None
    assert ours.conflict.face == pytest.approx(theirs.conflict.face, abs=1e-5)
    assert ours.conflict.voice == pytest.approx(theirs.conflict.voice, abs=1e-5)
    assert [face.label for face in ours.faces] == [face.label for face in theirs.faces]


@pytest.mark.parametrize("asked", [None, OWN], ids=["plain", "own labels"])
def test_labels_are_those_of_nano_alone(
    both: PairedModel, nano: LoadedModel, spoken: SpokenWindow, asked: Question | None
) -> None:
    labels = []
    for model in (both, nano):
        perceiver = model.perceiver(3)
        window = perceived(perceiver, spoken, question=asked)
        labels.append(model.thinker.fast_label(window, asked or PLAIN))
        perceiver.close()
    assert_same(*labels)
    if asked is not None:
        assert set(labels[0].probabilities) == {"pleased", "not", "unsure"}


def test_towers_run_once(both: PairedModel, spoken: SpokenWindow, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(both.labeller.towers, SharedTowers)
    trunk: Trunk = both.labeller.towers._trunk
    before = trunk.n_runs
    perceiver = both.perceiver(0)
    perceived(perceiver, spoken)
    perceiver.close()
    assert trunk.n_runs - before == 4 + 1, "four pictures and the chunks of one utterance"
    assert trunk._waiting is None, "nothing of a person stays"


def test_a_chain_goes_on_from_nanos_label(
    both: PairedModel, nano: LoadedModel, spoken: SpokenWindow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is scored before it; its probabilities and threshold are of nano's calibration."""
    perceiver = both.perceiver(0)
    window = perceived(perceiver, spoken)
    fast = both.thinker.fast_label(window, PLAIN)
    writer = both.writer.thinker
    monkeypatch.setattr(writer, "label_window", lambda *_: pytest.fail("the writer scored labels"))
    steps = list(both.thinker.reason(window, PLAIN))
    perceiver.close()
    assert any(isinstance(step, ReasonDelta) for step in steps)
    done, label = steps[-1], next(step for step in steps if isinstance(step, Label))
    assert isinstance(done, ReasonDone)
    calibration = nano.weights.config.emotion.calibration
    assert calibration.chain["judged"] == 0, "else the writer's own judgement counts here, too"
    again = looked_again(fast, window)
    nothing = {"any": 0.0} | dict.fromkeys(again, 0.0)
    joined = calibrate.joined(again, None, calibration, judged=nothing)
    most = calibrate.largest("both", fast.conflict, calibration)
    assert label.probabilities == pytest.approx(calibrate.bounded(joined, most))
    # Random weights name no label, so the answer is as unsure as nano's threshold says.
    assert (done.answer.label, done.answer.confidence) == ("unsure", calibration.unsure_below)


def test_a_chain_without_a_label_before_it_gets_one(both: PairedModel, spoken: SpokenWindow) -> None:
    """As after a restart of the model's process, where neither ring nor label is left."""
    perceiver = both.perceiver(0)
    window = perceived(perceiver, spoken)
    fast = both.thinker.fast_label(window, PLAIN)
    perceiver.close()
    alone = replace(
        window,
        frames=tuple(frame.outside() for frame in window.frames),
        speech=tuple(speech.outside() for speech in window.speech),
    )
    for part in parts_of(alone):
        assert part.for_labels is not None
        assert (part.ring, part.for_labels.ring) == (0, 0)
    label = next(step for step in both.thinker.reason(alone, PLAIN) if isinstance(step, Label))
    assert max(label.probabilities, key=lambda name: label.probabilities[name]) == max(
        fast.probabilities, key=lambda name: fast.probabilities[name]
    )


def test_each_model_reads_tokens_of_its_own_width(both: PairedModel, spoken: SpokenWindow) -> None:
    perceiver = both.perceiver(0)
    window = perceived(perceiver, spoken)
    perceiver.close()
    for part in parts_of(window):
        assert part.for_labels is not None
        assert part.tokens_ND.shape[1] == both.writer.weights.config.text.hidden_size
        assert part.for_labels.tokens_ND.shape[1] == both.labeller.weights.config.text.hidden_size
        assert np.isfinite(part.for_labels.tokens_ND).all()


def test_both_models_are_told(both: PairedModel, composed: Path) -> None:
    info = Models(both).info()
    assert (info.name, info.label_model, info.open_labels) == (str(composed), "nano", False)
    assert info.answer_model is None
    own = load_model(ModelSettings(name=str(composed), device="cpu", label="own"))
    assert Models(own).info().label_model is None


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"name": "nano"}, "that is nano itself"),
        ({"engine": "onnx"}, "its towers run on onnx"),
        ({"adapter": Path("some")}, "an adapter is loaded"),
        ({"device": "cuda"}, "it runs on a GPU"),
    ],
)
def test_where_nano_cannot_give_the_labels_auto_does_without(composed: Path, changed: dict[str, Any], why: str) -> None:
    given: dict[str, Any] = {"name": str(composed), "adapter": None, "engine": "auto", "device": "cpu", **changed}
    name = given.pop("name")
    assert not pair.nano_labels("auto", name, **given)
    with pytest.raises(BadSettings, match=why) as raised:
        pair.nano_labels("nano", name, **given)
    assert "model.label" in raised.value.hint


def test_a_gpu_that_works_labels_by_itself(composed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for fault, labelled_by_nano in ((None, False), (gpu.NO_GPU, True)):
        monkeypatch.setattr(gpu, "fault", lambda fault=fault: fault)
        chosen = pair.nano_labels("auto", str(composed), adapter=None, engine="auto", device="auto")
        assert chosen == labelled_by_nano


def changed_copy(composed: Path, other: Path, after: str) -> str:
    other.mkdir()
    for path in composed.iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    described = (other / "emothinker.json").read_text()
    assert '"frame_px": 224' in described
    (other / "emothinker.json").write_text(described.replace('"frame_px": 224', after))
    return str(other)


def test_what_reads_other_evidence_gives_its_own_labels(composed: Path, tmp_path: Path) -> None:
    name = changed_copy(composed, tmp_path / "other", '"frame_px": 448')
    with pytest.raises(BadSettings, match=r"another way \(frame_px\)"):
        pair.nano_labels("nano", name, adapter=None, engine="auto", device="cpu")


def test_words_are_for_the_writer_and_nano_labels_all_the_same(composed: Path, tmp_path: Path) -> None:
    name = changed_copy(composed, tmp_path / "reads", '"frame_px": 224, "words": true')
    assert pair.nano_labels("nano", name, adapter=None, engine="auto", device="cpu")


def test_words_reach_the_writer(both: PairedModel, spoken: SpokenWindow, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = both.writer.weights
    config = replace(weights.config, emotion=replace(weights.config.emotion, words=True))
    perceiver = both.perceiver(0)
    window = perceived(perceiver, spoken)
    reads = [both.words]
    monkeypatch.setattr(weights, "config", config)
    reads.append(both.words)
    assert reads == [False, True]
    monkeypatch.setattr(
        both.writer.thinker, "_chain", lambda _labelled, said, _again_s: iter([ReasonDelta("face", said())])
    )
    steps = [step for step in both.thinker.reason(window, PLAIN, lambda: "I lost it.") if step is not None]
    assert steps == [ReasonDelta("face", "I lost it.")]
    perceiver.close()


def test_no_label_waits_for_what_only_a_chain_reads(both: PairedModel, spoken: SpokenWindow) -> None:
    """The writer's prefill is done after the label, or before by a job of its own; the chain is the same."""
    chains = []
    for at_once in (True, False):
        perceiver = both.perceiver(0)
        frames = [perceiver.see(frame) for frame in spoken.frames[:2]]
        speech = perceiver.hear(spoken.segment)
        work = perceiver.put_off()
        assert work is not None
        if at_once:
            work()
            speech_left = perceiver.put_off()
            assert speech_left is not None, "a frame and an utterance are a piece each"
            speech_left()
            assert perceiver.put_off() is None
        window = Window(0, frames[0].at_s, spoken.segment.end_s, tuple(frames), (speech,))
        both.thinker.fast_label(window, PLAIN)
        assert (perceiver.put_off() is None) == at_once
        steps = both.thinker.reason(window, PLAIN)
        if not at_once:
            assert next(steps) is None, "a piece is read, and a label may come before the next one"
            assert perceiver.put_off() is not None
        while perceiver.put_off() is not None:
            assert next(steps) is None
        next(steps)
        chains.append([step.text for step in itertools.islice(steps, 40) if isinstance(step, ReasonDelta)])
        perceiver.close()
        assert perceiver.put_off() is None
    assert chains[0] == chains[1]


def test_the_writer_reads_a_picture_every_two_seconds_as_in_training(both: PairedModel, spoken: SpokenWindow) -> None:
    """nano reads each of them. A window whose only picture was left out is read as a whole."""
    perceiver = both.perceiver(0)
    ring = max(both.writer.thinker._rings.values(), key=lambda ring: ring.number)
    first = spoken.frames[0]
    frames = []
    for second in range(4):
        changed = np.roll(first.rgb_HW3, 8 * second, axis=1)
        frames.append(perceiver.see(replace(first, at_s=first.at_s + second, rgb_HW3=changed)))
    frames.append(perceiver.see(replace(first, at_s=first.at_s + 3.25, rgb_HW3=changed)))
    assert [frame.number == UNREAD for frame in frames] == [False, True, False, True, True]
    assert all(frame.for_labels is not None and frame.for_labels.number != UNREAD for frame in frames)
    window = Window(0, first.at_s, first.at_s + 4, tuple(frames), ())
    cached = ring.window_cache(window, n_more=1)
    assert cached is not None
    assert len(cached.parts) == 2
    assert ring.ring.n_appended == 2
    left_out = replace(window, frames=(frames[1],))
    assert ring.window_cache(left_out, n_more=1) is None
    (done,) = [s for s in both.thinker.reason(left_out, PLAIN) if isinstance(s, ReasonDone)]
    assert done.sections["answer"]
    perceiver.close()


async def test_the_host_does_it_once_nothing_else_is_due(both: PairedModel, spoken: SpokenWindow) -> None:
    with ModelWorker() as worker:
        client = await LocalEngine(both, worker).open(0, PLAIN)
        ring = max(both.writer.thinker._rings.values(), key=lambda ring: ring.number)
        frame = await client.see(spoken.frames[0])
        await client.hear_ahead(SpeechSoFar(spoken.segment, paused=True))
        for _ in range(2):  # the frame, and then what was heard
            await worker.run("after", lambda: None, rank=Rank.REASON)
        assert ring.put_off() is None, "done by jobs of their own"
        speech = await client.hear(replace(spoken.segment, end_s=spoken.segment.end_s + 0.01))
        await worker.run("after", lambda: None, rank=Rank.REASON)
        assert ring.put_off() is not None, "an utterance's label comes before it"
        window = Window(0, frame.at_s, speech.end_s, (frame,), (speech,))
        assert (await client.fast_label(window, PLAIN)).calibrated
        client.close()
        await worker.run("after", lambda: None, rank=Rank.REASON)
        assert ring.put_off() is None


@pytest.mark.slow
def test_questions_are_nanos_where_the_writer_leaves_them(
    both: PairedModel, spoken: SpokenWindow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The words are those of nano alone; without a question the writer writes."""

    def chain(question: Question) -> ReasonDone:
        perceiver = both.perceiver(0, question)
        window = perceived(perceiver, spoken)
        both.thinker.fast_label(window, question)
        (done,) = [step for step in both.thinker.reason(window, question) if isinstance(step, ReasonDone)]
        (batched,) = chains(both, [window], question)
        assert (batched.sections, batched.answer) == (dict(done.sections), done.answer)
        if question.query and not both.writer.thinker.answers_questions:
            alone = both.labeller.thinker.reason(pair.for_labels(window), question)
            assert [dict(step.sections) for step in alone if isinstance(step, ReasonDone)] == [dict(done.sections)]
        perceiver.close()
        return done

    plain, asked = chain(PLAIN), chain(OWN)
    assert Models(both).info().answer_model is None
    monkeypatch.setattr(Reasoner, "answers_questions", False)
    assert Models(both).info().answer_model == "nano"
    assert chain(PLAIN).sections == plain.sections
    by_nano = chain(OWN)
    assert by_nano.sections != asked.sections
    assert "The expression is" in by_nano.sections["face"]


def test_the_writer_reads_nothing_for_a_question_that_it_leaves_to_nano(
    both: PairedModel, spoken: SpokenWindow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once the question is taken back, it reads again."""
    monkeypatch.setattr(Reasoner, "answers_questions", False)
    perceiver, rings = both.perceiver(0), both.writer.thinker._rings
    n_before = len(rings)
    perceiver.see(spoken.frames[0])
    assert perceiver.put_off() is not None
    perceiver.set_question(OWN)
    assert len(rings) == n_before - 1, "what was read for the usual question is freed"
    asked = perceived(perceiver, spoken)
    assert perceiver.put_off() is None
    assert all(part.ring == 0 for part in parts_of(asked))
    (done,) = [step for step in both.thinker.reason(asked, OWN) if isinstance(step, ReasonDone)]
    assert "The expression is" in done.sections["face"]
    perceiver.set_question(PLAIN)
    assert len(rings) == n_before
    again = perceived(perceiver, spoken)
    assert perceiver.put_off() is not None
    assert all(part.ring > 0 for part in parts_of(again))
    (done,) = [step for step in both.thinker.reason(again, PLAIN) if isinstance(step, ReasonDone)]
    assert perceiver.put_off() is None, "the chain is the writer's, which read it"
    perceiver.close()
    assert len(rings) == n_before - 1


def test_what_is_in_no_ring_is_read_by_parts_before_a_chain(both: PairedModel, spoken: SpokenWindow) -> None:
    """So labels can be given in between. The KV cache is that of one pass."""
    thinker, perceiver = both.writer.thinker, both.perceiver(0)
    window = perceived(perceiver, spoken)
    perceiver.close()
    label = both.thinker.fast_label(window, PLAIN)
    steps = thinker.reason_from(label, window, PLAIN)
    read = apart(window.frames)
    assert [frame.at_s for frame in read] == [frame.at_s for frame in window.frames[::2]]
    n_steps = len([*itertools.takewhile(lambda step: step is None, steps)])
    assert n_steps > 1 + len(read) + len(window.speech), "the prefix, each of these, and then tokens without a word"
    few = replace(window, frames=read)
    at_once = thinker._prefill_whole(few, PLAIN)
    by_parts = finished(thinker._prefilled(few, PLAIN, by_parts=True))
    assert at_once.parts == by_parts.parts
    assert len(at_once.parts) == len(read) + len(window.speech)
    n = at_once.cache.n_used
    assert n == by_parts.cache.n_used
    for name in ("keys_LHSD", "values_LHSD"):
        ours, theirs = (getattr(each.cache, name)[:, :, :n] for each in (by_parts, at_once))
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-3)


def test_evaluation_answers_as_a_session_does(both: PairedModel, spoken: SpokenWindow, composed: Path) -> None:
    """nano's labels and the writer's chain, in a batch."""
    perceiver = both.perceiver(0)
    window = perceived(perceiver, spoken)
    fast = both.thinker.fast_label(window, PLAIN)
    steps = list(both.thinker.reason(window, PLAIN))
    done = next(step for step in steps if isinstance(step, ReasonDone))
    (answer,) = chains(both, [window], PLAIN)
    perceiver.close()
    assert answer.label.probabilities == pytest.approx(fast.probabilities, abs=1e-5)
    assert (answer.sections, answer.answer) == (dict(done.sections), done.answer)
    own, as_served = load_served(str(composed), label="own"), load_served(str(composed))
    assert isinstance(own, LoadedModel)
    assert isinstance(as_served, PairedModel)
    assert writer_of(as_served).name == own.name


def test_a_writer_keeps_what_words_add_and_takes_the_labels_calibration_of_the_other() -> None:
    theirs = Calibration(fast={"both": 0.7}, bias={"both": {"happy": 0.1}}, chain={"fast": 1.1}, unsure_below=0.4)
    mine = Calibration(
        fast={"both": 1.3, "words": 0.9}, bias={"both": {"happy": 0.9}, "words": {"happy": -1.7}}, words={"decide": 0.8}
    )
    writer = cast(EmoThinker, SimpleNamespace(config=SimpleNamespace(emotion=SimpleNamespace(calibration=mine))))
    joined = with_own_chain(theirs, writer)
    assert joined.fast == {"both": 0.7, "words": 0.9}
    assert joined.bias == {"both": {"happy": 0.1}, "words": {"happy": -1.7}}
    assert (joined.chain, joined.words, joined.unsure_below) == ({"fast": 1.1}, {"decide": 0.8}, 0.4)
