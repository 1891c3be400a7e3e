"""The whole way of a session on a GPU, or on the stand-in for one (`tests/card.py`), against the same on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from realtime.bench.paired import SpokenWindow, collect_windows
from realtime.engine import loading
from realtime.evidence.perceive import Perception
from realtime.model.products import Narrow, Weights
from realtime.records import SAMPLE_RATE_HZ, FrameEvidence, Question, ReasonDone, SpeechEvidence, SpeechSoFar, Window
from realtime.sample import SAMPLE
from realtime.settings import Settings
from tests.card import inserted

# Torch's compiler warns of torch itself when it is imported.
pytestmark = pytest.mark.filterwarnings("ignore:.*script_method.*:DeprecationWarning")

NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU, and none is here")
STAND_IN = pytest.param(True, marks=pytest.mark.slow, id="stand-in")
REAL = pytest.param(False, marks=[pytest.mark.gpu, NO_GPU], id="real")


@contextmanager
def on_card(patch: pytest.MonkeyPatch, *, stand_in: bool) -> Iterator[Callable[[int], None]]:
    """A card in this machine, and a check of the number of CUDA graphs that the stand-in captured."""
    if not stand_in:
        # Convolutions in TF32 keep ten bits: right for serving, and not what is compared here.
        patch.setattr(torch.backends.cudnn, "allow_tf32", False)
        yield lambda n: None
        return
    with inserted(patch) as card:

        def captured(n: int) -> None:
            assert card.n_captures == n

        yield captured


@pytest.fixture(scope="module")
def spoken() -> SpokenWindow:
    found = collect_windows([str(SAMPLE)], Settings(), 1)[0]
    return SpokenWindow(found.frames[:2], found.segment)


@dataclass(frozen=True)
class Answered:
    """What a session tells of a window."""

    probabilities: Mapping[str, float]
    sections: Mapping[str, str]


def answered(spoken: SpokenWindow, device: loading.Device, weights: Weights, narrow: Narrow | None) -> Answered:
    model = loading.load("nano", device=device, engine="torch", weights=weights, narrow=narrow)
    assert model.weights.device.type == device
    perceiver, question = model.perceiver(0), Question(labels=model.labels)
    frames = tuple(perceiver.see(frame) for frame in spoken.frames)
    perceiver.hear_ahead(SpeechSoFar(spoken.segment, paused=True))
    speech = perceiver.hear(spoken.segment)
    window = Window(0, frames[0].at_s, spoken.segment.end_s, frames, (speech,))
    label = model.thinker.fast_label(window, question)
    done = list(model.thinker.reason(window, question))[-1]
    assert isinstance(done, ReasonDone)
    perceiver.close()
    return Answered(label.probabilities, done.sections)


@pytest.mark.parametrize("stand_in", [STAND_IN, REAL])
@pytest.mark.parametrize(
    ("weights", "narrow", "dtype"),
    [("full", None, torch.float32), ("int4", None, torch.bfloat16), ("int8", "fp8", torch.bfloat16)],
)
def test_a_session_on_a_card_tells_what_one_on_a_cpu_tells(
    spoken: SpokenWindow,
    monkeypatch: pytest.MonkeyPatch,
    weights: Weights,
    narrow: Narrow | None,
    dtype: torch.dtype,
    stand_in: bool,
) -> None:
    """Towers and decode steps run as CUDA graphs, and tokens are read one step late."""
    monkeypatch.setattr(loading, "gpu_dtype", lambda: dtype)
    monkeypatch.setattr(loading, "cpu_dtype", lambda *, large: dtype)
    with monkeypatch.context() as patch, on_card(patch, stand_in=stand_in) as captured:
        ours = answered(spoken, "cuda", weights, narrow)
        # The frames, the sound, and a decode step of 8, 4, 2 and 1 lanes.
        captured(6)
    theirs = answered(spoken, "cpu", weights, narrow)
    # A GPU adds in another order.
    exact = stand_in and dtype is torch.float32
    assert ours.probabilities == pytest.approx(theirs.probabilities, abs=1e-6 if exact else 0.02)
    assert ours.sections.keys() == theirs.sections.keys()
    if exact:
        assert ours.sections == theirs.sections


def told(
    model: loading.LoadedModel, frames: tuple[FrameEvidence, ...], speech: tuple[SpeechEvidence, ...]
) -> Mapping[str, float]:
    """What the label of a window says, which is read from the ring of its session."""
    return model.thinker.fast_label(Window(0, 0.0, 9.0, frames, speech), Question()).probabilities


@pytest.mark.parametrize("stand_in", [STAND_IN, REAL])
def test_frames_of_several_sessions_share_a_call_on_a_card(
    spoken: SpokenWindow, monkeypatch: pytest.MonkeyPatch, stand_in: bool
) -> None:
    """Measured in threads, padded to a size that has a CUDA graph, and told apart again."""
    monkeypatch.setattr(loading, "gpu_dtype", lambda: torch.float32)
    frame, other = spoken.frames

    def seen(model: loading.LoadedModel) -> list[FrameEvidence]:
        perceivers = [model.perceiver(seed) for seed in range(3)]
        return [each.see(picture) for each, picture in zip(perceivers, (frame, other, frame), strict=True)]

    with monkeypatch.context() as patch, on_card(patch, stand_in=stand_in) as captured:
        model = loading.load("nano", device="cuda", engine="torch")
        assert model.together is not None
        looks = [
            (perceiver, picture, model.together.measure(perceiver, picture))
            for perceiver, picture in zip(map(model.perceiver, range(3)), (frame, other, frame), strict=True)
        ]
        captured(0)
        ours = model.together.see(looks)
        captured(1)
        assert (model.appends.n_chunks, model.appends.n_passes) == (3, 1)
        labels = [told(model, (mine,), ()) for mine in ours if isinstance(mine, FrameEvidence)]
    plainly = loading.load("nano", device="cpu", engine="torch")
    theirs = seen(plainly)
    assert labels == [pytest.approx(told(plainly, (plain,), ()), abs=1e-4) for plain in theirs]
    for mine, plain in zip(ours, theirs, strict=True):
        assert isinstance(mine, FrameEvidence)
        assert (mine.counts, mine.map) == (plain.counts, plain.map)
        np.testing.assert_allclose(mine.tokens_ND, plain.tokens_ND, atol=2e-4)


@pytest.mark.parametrize("stand_in", [STAND_IN, REAL])
def test_sounds_of_several_sessions_share_a_call_on_a_card(
    spoken: SpokenWindow, monkeypatch: pytest.MonkeyPatch, stand_in: bool
) -> None:
    """The whole utterance, its beginning, and two questions of other lengths."""
    monkeypatch.setattr(loading, "gpu_dtype", lambda: torch.float32)
    whole = spoken.segment
    begun = replace(whole, end_s=whole.start_s + 1, samples_N=whole.samples_N[:SAMPLE_RATE_HZ])
    asked = Question(), Question(query="How does the voice sound, and what else is there to hear?"), Question()

    def perceivers(model: loading.LoadedModel) -> list[Perception]:
        return [model.perceiver(seed, question) for seed, question in enumerate(asked)]

    with monkeypatch.context() as patch, on_card(patch, stand_in=stand_in) as captured:
        model = loading.load("nano", device="cuda", engine="torch")
        together = model.hears_together
        assert together is not None
        listening = perceivers(model)
        sounds = [SpeechSoFar(segment, paused=True) for segment in (whole, begun, begun)]
        measured = [together.measure(one, sound) for one, sound in zip(listening, sounds, strict=True)]
        captured(0)
        assert together.hear_ahead(list(zip(listening, sounds, measured, strict=True))) == [True] * 3
        captured(1)
        ours = [one.hear(sound.segment) for one, sound in zip(listening, sounds, strict=True)]
        # Nothing was left to encode.
        captured(1)
        assert (model.appends.n_chunks, model.appends.n_passes) == (3, 1)
        labels = [told(model, (), (mine,)) for mine in ours]
    plainly = loading.load("nano", device="cpu", engine="torch")
    plain = perceivers(plainly)
    for mine, label, one, sound in zip(ours, labels, plain, sounds, strict=True):
        theirs = one.hear(sound.segment)
        assert label == pytest.approx(told(plainly, (), (theirs,)), abs=1e-4)
        assert mine.cues.values == theirs.cues.values
        np.testing.assert_allclose(mine.tokens_ND, theirs.tokens_ND, atol=2e-4)
