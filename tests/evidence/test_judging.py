"""The face expert beside the vision tower: the same verdicts, from a thread of its own."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from realtime.engine import loading
from realtime.engine.loading import LoadedModel
from realtime.evidence.beside import Beside
from realtime.evidence.perceive import Perception
from realtime.records import Question, UInt8, VideoFrame


@pytest.fixture(scope="module")
def nano() -> LoadedModel:
    return loading.load("nano")


def perceiver(model: LoadedModel) -> Perception:
    return model.perceiver(0, Question(labels=model.labels))


@pytest.mark.slow
def test_faces_are_judged_beside_the_tower_and_as_in_its_thread(nano: LoadedModel, portrait: UInt8) -> None:
    judge = nano.judge_faces
    assert judge is not None
    threads = []

    def noted(crops_B1HW: Tensor) -> Tensor:
        threads.append(threading.current_thread().name)
        return judge(crops_B1HW)

    (beside,) = perceiver(replace(nano, judge_faces=noted)).see(VideoFrame(0.0, portrait)).cues
    in_torch = loading.load("nano", engine="torch")
    assert not isinstance(in_torch.judge_beside, Beside)
    (alone,) = perceiver(in_torch).see(VideoFrame(0.0, portrait)).cues
    assert [name.rpartition("_")[0] for name in threads] == ["face expert"]
    for name in ("verdict_7", "second_7"):
        np.testing.assert_allclose(getattr(beside, name), getattr(alone, name), atol=1e-3)


@pytest.mark.slow
def test_what_the_expert_raises_fails_its_own_frame(nano: LoadedModel, portrait: UInt8) -> None:
    judge = nano.judge_faces
    assert judge is not None
    fails = [True, False]

    def at_first_not(crops_B1HW: Tensor) -> Tensor:
        if fails.pop(0):
            raise torch.OutOfMemoryError("no room")
        return judge(crops_B1HW)

    session = perceiver(replace(nano, judge_faces=at_first_not))
    with pytest.raises(torch.OutOfMemoryError, match="no room"):
        session.see(VideoFrame(0.0, portrait))
    (cues,) = session.see(VideoFrame(1.0, portrait)).cues
    assert cues.second_7 is not None
