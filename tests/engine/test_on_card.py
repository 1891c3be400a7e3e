"""The whole way of a session on the stand-in for a GPU (`tests/card.py`), against the same on the CPU."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from realtime.bench.paired import SpokenWindow, collect_windows
from realtime.engine import loading
from realtime.evidence.perceive import Perception
from realtime.model.products import Narrow, Weights
from realtime.records import SAMPLE_RATE_HZ, FrameEvidence, Question, ReasonDone, SpeechSoFar, Window
from realtime.sample import SAMPLE
from realtime.settings import Settings
from tests.card import inserted

pytestmark = [
    pytest.mark.slow,
    # Torch's compiler warns of torch itself when it is imported.
    pytest.mark.filterwarnings("ignore:.*script_method.*:DeprecationWarning"),
]


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


@pytest.mark.parametrize(
    ("weights", "narrow", "dtype"),
    [("full", None, torch.float32), ("int4", None, torch.bfloat16), ("int8", "fp8", torch.bfloat16)],
)
def test_a_session_on_a_card_tells_what_one_on_a_cpu_tells(
    spoken: SpokenWindow, monkeypatch: pytest.MonkeyPatch, weights: Weights, narrow: Narrow | None, dtype: torch.dtype
) -> None:
    """Towers and decode steps run as CUDA graphs, and tokens are read one step late."""
    monkeypatch.setattr(loading, "gpu_dtype", lambda: dtype)
    monkeypatch.setattr(loading, "cpu_dtype", lambda *, large: dtype)
    with monkeypatch.context() as patch, inserted(patch) as card:
        ours = answered(spoken, "cuda", weights, narrow)
        # The frames, the sound, and a decode step of 8, 4, 2 and 1 lanes.
        assert card.n_captures == 6
    theirs = answered(spoken, "cpu", weights, narrow)
    exact = dtype is torch.float32
    assert ours.probabilities == pytest.approx(theirs.probabilities, abs=1e-6 if exact else 0.02)
    assert ours.sections.keys() == theirs.sections.keys()
    if exact:
        assert ours.sections == theirs.sections


def test_frames_of_several_sessions_share_a_call_on_a_card(
    spoken: SpokenWindow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Measured in threads, padded to a size that has a CUDA graph, and told apart again."""
    monkeypatch.setattr(loading, "gpu_dtype", lambda: torch.float32)
    frame, other = spoken.frames

    def seen(model: loading.LoadedModel) -> list[FrameEvidence]:
        perceivers = [model.perceiver(seed) for seed in range(3)]
        return [each.see(picture) for each, picture in zip(perceivers, (frame, other, frame), strict=True)]

    with monkeypatch.context() as patch, inserted(patch) as card:
        model = loading.load("nano", device="cuda", engine="torch")
        assert model.together is not None
        looks = [
            (perceiver, picture, model.together.measure(perceiver, picture))
            for perceiver, picture in zip(map(model.perceiver, range(3)), (frame, other, frame), strict=True)
        ]
        before = card.n_captures
        ours = model.together.see(looks)
        assert card.n_captures == before + 1
    theirs = seen(loading.load("nano", device="cpu", engine="torch"))
    for mine, plain in zip(ours, theirs, strict=True):
        assert isinstance(mine, FrameEvidence)
        assert (mine.counts, mine.map) == (plain.counts, plain.map)
        np.testing.assert_allclose(mine.tokens_ND, plain.tokens_ND, atol=2e-4)


def test_sounds_of_several_sessions_share_a_call_on_a_card(
    spoken: SpokenWindow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole utterance, its beginning, and two questions of other lengths."""
    monkeypatch.setattr(loading, "gpu_dtype", lambda: torch.float32)
    whole = spoken.segment
    begun = replace(whole, end_s=whole.start_s + 1, samples_N=whole.samples_N[:SAMPLE_RATE_HZ])
    asked = Question(), Question(query="How does the voice sound, and what else is there to hear?"), Question()

    def perceivers(model: loading.LoadedModel) -> list[Perception]:
        return [model.perceiver(seed, question) for seed, question in enumerate(asked)]

    with monkeypatch.context() as patch, inserted(patch) as card:
        model = loading.load("nano", device="cuda", engine="torch")
        together = model.hears_together
        assert together is not None
        listening = perceivers(model)
        sounds = [SpeechSoFar(segment, paused=True) for segment in (whole, begun, begun)]
        measured = [together.measure(one, sound) for one, sound in zip(listening, sounds, strict=True)]
        before = card.n_captures
        assert together.hear_ahead(list(zip(listening, sounds, measured, strict=True))) == [True] * 3
        assert card.n_captures == before + 1
        ours = [one.hear(sound.segment) for one, sound in zip(listening, sounds, strict=True)]
        assert card.n_captures == before + 1, "nothing was left to encode"
    plain = perceivers(loading.load("nano", device="cpu", engine="torch"))
    for mine, one, sound in zip(ours, plain, sounds, strict=True):
        theirs = one.hear(sound.segment)
        assert mine.cues.values == theirs.cues.values
        np.testing.assert_allclose(mine.tokens_ND, theirs.tokens_ND, atol=2e-4)
