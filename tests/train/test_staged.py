"""Windows that are staged for questions of time and of two people, with nano's own perception."""

from __future__ import annotations

import numpy as np
import pytest

from realtime.engine.loading import LoadedModel
from realtime.records import SpeechSegment, UInt8, VideoFrame
from tests.ingest.media_files import voice
from train.evaluation.questions import observed
from train.evaluation.samples import Sample
from train.evaluation.staged import WINDOW_S, changing, side_by_side, timed, two_people


@pytest.fixture
def sample(portrait: UInt8) -> Sample:
    """The smiling portrait and a sentence of a second and a half."""
    picture = np.ascontiguousarray(portrait[:300, 80:380])
    speech = SpeechSegment(40.0, 41.5, voice(1.5).astype(np.float32))
    return Sample("a", "happy", "a", {}, frame=VideoFrame(41.5, picture), speech=speech)


def darker(sample: Sample) -> VideoFrame:
    assert sample.frame is not None
    return VideoFrame(0.0, (sample.frame.rgb_HW3 * 0.6).astype(np.uint8))


def test_a_face_changes_in_one_second_of_a_window_that_holds_the_sentence(nano: LoadedModel, sample: Sample) -> None:
    for seed in range(3):
        perception = nano.perceiver(seed=0)
        staged = changing(perception, sample, darker(sample), np.random.default_rng(seed))
        perception.close()
        assert staged is not None
        window, changed_s = staged
        assert [len(frame.cues) for frame in window.frames] == [1] * WINDOW_S
        assert window.start_s <= window.speech[0].start_s < window.speech[0].end_s <= window.end_s
        light = [frame.scene.brightness for frame in window.frames]
        onset = next(at for at in range(1, WINDOW_S) if light[at] > light[0] + 0.1)
        assert light == [light[0]] * onset + [light[onset]] * (WINDOW_S - onset), "it changes once, and stays so"
        assert changed_s == pytest.approx(window.end_s - window.frames[onset].at_s)
        known = timed(observed(window, "happy", agree=True), window, changed_s)
        assert known.people[0].appeared_s == changed_s
        assert known.voice is not None
        assert known.voice.began_s == pytest.approx(window.end_s - window.speech[0].start_s)


def test_two_faces_in_view_are_measured_both(nano: LoadedModel, sample: Sample) -> None:
    perception = nano.perceiver(seed=0)
    other = Sample("b", "happy", "a", {}, frame=darker(sample))
    window = two_people(perception, sample, other)
    perception.close()
    assert window is not None
    assert len(observed(window, "happy", agree=True).people) == 2
    assert sample.frame is not None
    both = side_by_side(sample.frame, darker(sample))
    assert both.rgb_HW3.shape == (300, 600, 3)
    assert both.at_s == 41.5
