"""What a second look at a face changes in the answer, and what it leaves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from realtime.engine.loading import LoadedModel
from realtime.evidence.judging import LOOKS
from realtime.reason.parts import judged
from realtime.reason.second_look import looked_again
from realtime.records import LABELS, FaceCues, Label, Question, UInt8, VideoFrame, Window
from realtime.towers import preprocess
from tests.reason.people import cues, frame
from tests.reason.windows import ASK, FACE_ONLY, NOTHING

CLOSE = {name: {"sad": 0.5, "fear": 0.4}.get(name, 0.02) for name in LABELS}
LABEL = Label("sad", CLOSE, "fast", None, calibrated=True)


def seen_twice(track: int, factor: float, *, yaw: float = 0.0) -> FaceCues:
    """A face that the second look takes for fear so many times as often as the first."""
    once = cues(track, "sad", yaw=yaw)
    assert once.verdict_7 is not None
    return replace(once, second_7=once.verdict_7 + np.log(factor) * np.eye(7, dtype=np.float32)[LABELS.index("fear")])


def window(*faces: FaceCues) -> Window:
    return replace(NOTHING, frames=tuple(frame(float(at_s), face) for at_s, face in enumerate(faces)))


def test_what_the_second_look_says_more_often_becomes_as_much_likelier() -> None:
    again = looked_again(LABEL, window(seen_twice(1, 1.5)))
    assert again["fear"] / again["sad"] == pytest.approx(1.5 * 0.4 / 0.5)
    assert again["happy"] / again["sad"] == pytest.approx(0.02 / 0.5)
    assert sum(again.values()) == pytest.approx(1.0)


def test_newer_and_more_frontal_faces_count_more() -> None:
    newer = looked_again(LABEL, window(seen_twice(1, 1.0), seen_twice(1, 1.5)))
    older = looked_again(LABEL, window(seen_twice(1, 1.5), seen_twice(1, 1.0)))
    aside = looked_again(LABEL, window(seen_twice(1, 1.0), seen_twice(1, 1.5, yaw=80.0)))
    assert older["fear"] < newer["fear"] < looked_again(LABEL, window(seen_twice(1, 1.5)))["fear"]
    assert aside["fear"] < newer["fear"]


def test_without_a_second_look_with_several_people_or_uncalibrated_nothing_changes() -> None:
    assert looked_again(LABEL, window(cues(1, "sad"))) == CLOSE
    assert looked_again(LABEL, NOTHING) == CLOSE
    assert looked_again(LABEL, window(seen_twice(1, 9.0), seen_twice(2, 9.0))) == CLOSE
    assert looked_again(replace(LABEL, calibrated=False), window(seen_twice(1, 9.0))) == CLOSE


def test_the_chain_argues_for_what_the_second_look_makes_likeliest(nano: LoadedModel) -> None:
    calibration = nano.weights.config.emotion.calibration
    labelled = nano.thinker.label_window(FACE_ONLY, ASK)
    labelled.label = LABEL
    assert judged(labelled, calibration) == "sad"
    (face,) = window(seen_twice(0, 2.0)).frames[0].cues
    labelled.window = replace(FACE_ONLY, frames=tuple(replace(each, cues=(face,)) for each in FACE_ONLY.frames))
    assert judged(labelled, calibration) == "fear"
    sections = {"face": "The expression is sad.", "fine": "It is sad.", "answer": "fear, slight"}
    concluded = nano.thinker.conclude(labelled, sections)
    assert concluded.probabilities["fear"] > concluded.probabilities["sad"]
    assert labelled.label.probabilities == CLOSE, "the fast label stays what was told"
    assert concluded.turned_by == (), "it contradicts what it found, so it is unsure"
    labelled.judged, labelled.argued_for = dict.fromkeys(LABELS, 0.0), "fear"
    assert nano.thinker.conclude(labelled, {"answer": "fear, slight"}).turned_by == ("second_look",)


@pytest.mark.slow
def test_one_face_is_looked_at_again_and_several_are_not(nano: LoadedModel, portrait: UInt8) -> None:
    perceiver = nano.perceiver(seed=0, question=Question(labels=nano.labels))
    (alone,) = perceiver.see(VideoFrame(0.0, portrait)).cues
    (face,) = perceiver.see(VideoFrame(0.0, portrait)).faces
    assert alone.verdict_7 is not None
    assert alone.second_7 is not None
    assert face.mesh_N3 is not None
    grey = preprocess.to_grey(portrait)
    assert nano.weights.emotion.face_expert is not None
    judge = nano.judge_faces or nano.weights.emotion.face_expert

    crops = [preprocess.crop_face(grey, face.mesh_N3, closer=by) for by in LOOKS]
    with torch.inference_mode():
        each_37 = judge(torch.from_numpy(np.stack(crops))[:, None]).float()
    np.testing.assert_allclose(alone.verdict_7, each_37[0].numpy(), atol=1e-4)
    np.testing.assert_allclose(alone.second_7, each_37.mean(0).log_softmax(0).numpy(), atol=1e-4)
    assert not np.allclose(alone.second_7, alone.verdict_7, atol=1e-4)
    two = nano.perceiver(seed=0, question=Question(labels=nano.labels))
    beside = two.see(VideoFrame(0.0, np.concatenate([portrait, portrait[:, ::-1]], axis=1)))
    assert len(beside.cues) == 2
    assert [each.second_7 for each in beside.cues] == [None, None]
    perceiver.close()
    two.close()
