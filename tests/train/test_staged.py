"""Windows that are staged for questions of time and of two people, with nano's own perception."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from realtime.engine.loading import LoadedModel
from realtime.records import SpeechSegment, UInt8, VideoFrame
from tests.ingest.media_files import voice
from tests.reason.seconds import becomes, seconds, stretch
from train.coet.wordings import ASKED, HELD_OUT, all_wordings
from train.evaluation.samples import Sample
from train.evaluation.staged import (
    FACE,
    FACE_PARTS,
    STAGED,
    WINDOW_S,
    FaceMeter,
    Paraphrase,
    Staged,
    changing,
    is_right,
    of_two,
    paraphrases,
    right_of_time,
    shown_alone,
    side_by_side,
    told,
    twice,
    two_people,
)


@pytest.fixture
def sample(portrait: UInt8) -> Sample:
    """The smiling portrait and a sentence of a second and a half."""
    picture = np.ascontiguousarray(portrait[:300, 80:380])
    speech = SpeechSegment(40.0, 41.5, voice(1.5).astype(np.float32))
    return Sample("a", "happy", "a", {}, frame=VideoFrame(41.5, picture), speech=speech)


def darker(sample: Sample) -> Sample:
    assert sample.frame is not None
    return replace(sample, key="b", frame=VideoFrame(0.0, (sample.frame.rgb_HW3 * 0.6).astype(np.uint8)))


@pytest.mark.parametrize("changes", [True, False])
def test_a_face_changes_once_in_a_window_that_holds_the_sentence_or_not(
    nano: LoadedModel, sample: Sample, changes: bool
) -> None:
    for seed in range(3):
        perception = nano.perceiver(seed=0)
        found = changing(perception, sample, darker(sample), np.random.default_rng(seed), changes=changes)
        perception.close()
        assert found is not None
        window, at_s = found
        assert [len(frame.cues) for frame in window.frames] == [1] * WINDOW_S
        assert window.start_s <= window.speech[0].start_s < window.speech[0].end_s <= window.end_s
        light = [frame.scene.brightness for frame in window.frames]
        assert len(set(light)) == WINDOW_S, "no two pictures of a camera are the same"
        bright = [each > min(light) + 0.1 for each in light]
        if not changes:
            assert at_s is None
            assert not any(bright)
            continue
        assert at_s is not None
        assert bright == [frame.at_s >= at_s for frame in window.frames]


def test_faces_are_measured_as_a_session_measures_them(nano: LoadedModel, sample: Sample) -> None:
    assert sample.frame is not None
    perception, measuring = nano.perceiver(seed=0), FaceMeter()
    for picture in (sample.frame, darker(sample).frame, sample.frame):
        assert picture is not None
        live, staged = perception.see(picture), measuring.see(picture)
        assert live.cues
        assert [each.intensities for each in staged.cues] == [each.intensities for each in live.cues]
        assert [face.box for face in staged.faces] == [face.box for face in live.faces]
    perception.close()


def test_two_faces_in_view_are_measured_both(nano: LoadedModel, sample: Sample) -> None:
    perception = nano.perceiver(seed=0)
    window = two_people(perception, sample, darker(sample))
    perception.close()
    assert window is not None
    assert len(window.frames[0].cues) == 2
    assert all(cues.verdict_7 is not None for cues in window.frames[0].cues), "who looks happier is told from it"
    other = darker(sample).frame
    assert sample.frame is not None
    assert other is not None
    both = side_by_side(sample.frame, other)
    assert both.rgb_HW3.shape == (300, 600, 3)
    assert both.at_s == 41.5


def test_of_two_the_one_is_asked_for_who_clearly_shows_more(sample: Sample) -> None:
    shown = shown_alone(sample)
    assert shown["happy"] == 1.0, "as is known"
    cues = {name: value for name, value in shown.items() if name not in ("happy", FACE)}
    assert shown[FACE] == pytest.approx(sum(cues.values()) / FACE_PARTS)
    said = [Paraphrase("Who looks happier?", "happy"), Paraphrase("Who is more expressive?", FACE)]
    left, right = {"happy": 1.0, FACE: 0.5}, {"sad": 1.0, FACE: 0.4}
    assert of_two(said, left, right, 0) == (said[0], ("Person A, on the left", "Person B, on the left"))
    assert of_two(said[1:], left, right, 0) is None, "which is too close"
    assert of_two(said[1:], {FACE: 0.1}, {FACE: 0.5}, 0) == (
        said[1],
        ("Person A, on the right", "Person B, on the right"),
    )


def test_a_sentence_comes_twice_and_the_second_time_as_the_truth_says(nano: LoadedModel, sample: Sample) -> None:
    for seed in range(6):
        perception = nano.perceiver(seed=0)
        staged = twice(
            perception, sample, [Paraphrase("Is it louder than before?", "loudness")], np.random.default_rng(seed)
        )
        perception.close()
        first, second = (part.cues.values["loudness_db"] for part in staged.window.speech)
        apart_db = {"About as before": 0.0, "Louder than before": 6.0, "Quieter than before": -6.0}[staged.right[0]]
        assert second - first == pytest.approx(apart_db, abs=1.0)
        assert is_right(staged, told(staged))


def test_a_moment_may_be_told_a_second_off_and_an_order_not_at_all() -> None:
    window = seconds(becomes({"jaw_drop": 0.0}, {"jaw_drop": 0.8}, 4), speech=[stretch(6.0, 7.0)])
    right = right_of_time("when", window, 3.6)
    assert right == ("Three seconds ago,", "Four seconds ago,", "Five seconds ago,")
    when = Staged("when", window, Paraphrase("When did the face change?"), right)
    assert is_right(when, told(when))
    assert not is_right(when, "Six seconds ago, at 0:02: jaw strongly dropped")
    order = Staged("order", window, Paraphrase("What came first, face or voice?"), right_of_time("order", window, 3.6))
    assert is_right(order, told(order))
    assert not is_right(order, "The voice first, at 0:03; then the face, at 0:06")
    assert not is_right(order, "Within about a second, at 0:03: what came first cannot be told")
    assert is_right(replace(order, right=right_of_time("order", window, 5.5)), "Within about a second, at 0:05: what")
    assert not is_right(replace(order, right=right_of_time("order", window, None)), told(order))


def test_a_wording_that_is_read_as_another_kind_is_not_right() -> None:
    window = seconds(becomes({"jaw_drop": 0.0}, {"jaw_drop": 0.8}, 4))
    for text in ("Is the mouth open?", "Where is she?", "How old is she?", "Pourquoi ?"):
        assert told(Staged("when", window, Paraphrase(text), ("",))) is None
    assert not is_right(Staged("when", window, Paraphrase(""), ("",)), None)


def test_paraphrases_are_no_wordings_that_rules_or_models_were_made_from() -> None:
    known = {
        text.lower() for patterns in (*ASKED.values(), *HELD_OUT.values()) for p in patterns for text in all_wordings(p)
    }
    for kind in STAGED:
        texts = [each.text for each in paraphrases()[kind]]
        assert len(set(texts)) == len(texts) >= 19
        assert not known & {text.lower() for text in texts}
