"""A label for each person in view, from what the face expert said of their faces."""

from __future__ import annotations

from dataclasses import replace

import pytest

from realtime.model.config import Calibration
from realtime.reason.people import MAX_PEOPLE, face_labels
from realtime.records import LABELS, FrameEvidence, Window
from tests.reason.people import cues, frame
from tests.reason.windows import NOTHING

PLAIN = Calibration(unsure_below=0.4)


def window(*frames: FrameEvidence) -> Window:
    return replace(NOTHING, start_s=0.0, end_s=8.0, frames=frames)


def test_each_person_gets_the_label_of_their_own_face() -> None:
    both = window(frame(1.0, cues(1, "happy"), cues(2, "angry")), frame(2.0, cues(2, "angry"), cues(1, "happy")))
    found = face_labels(both, LABELS, PLAIN)
    assert [(face.track, face.label) for face in found] == [(2, "angry"), (1, "happy")]
    assert found[0].probabilities == pytest.approx({label: 0.9 if label == "angry" else 0.1 / 6 for label in LABELS})


def test_newer_and_more_frontal_faces_count_more() -> None:
    turned = window(frame(1.0, cues(1, "sad")), frame(5.0, cues(1, "happy")))
    (face,) = face_labels(turned, LABELS, PLAIN)
    assert face.label == "happy"
    aside = window(frame(1.0, cues(1, "sad")), frame(1.5, cues(1, "happy", yaw=80.0)))
    (face,) = face_labels(aside, LABELS, PLAIN)
    assert face.label == "sad"


def test_a_face_that_says_little_is_unsure() -> None:
    (face,) = face_labels(window(frame(1.0, cues(1, "fear", 0.3))), LABELS, PLAIN)
    assert face.label == "unsure"
    assert max(face.probabilities, key=lambda label: face.probabilities[label]) == "fear"


def test_the_calibration_is_that_of_a_face_without_a_voice() -> None:
    flat = Calibration(fast={"face": 1e6, "voice": 1.0}, unsure_below=0.0)
    (face,) = face_labels(window(frame(1.0, cues(1, "fear"))), LABELS, flat)
    assert list(face.probabilities.values()) == pytest.approx([1 / 7] * 7, abs=1e-4)


def test_who_left_has_no_label_and_a_head_that_turned_away_keeps_its_own() -> None:
    seen = window(frame(0.0, cues(1, "sad")), frame(5.0, cues(2, "sad")), frame(7.0, cues(3, "sad")))
    assert [face.track for face in face_labels(seen, LABELS, PLAIN)] == [3, 2]


def test_five_people_at_most() -> None:
    crowd = window(frame(0.0, cues(9, "sad")), frame(1.0, *(cues(track, "sad") for track in range(1, 6))))
    assert [face.track for face in face_labels(crowd, LABELS, PLAIN)] == [1, 2, 3, 4, 5]
    assert MAX_PEOPLE == 5


def test_labels_of_ones_own_have_no_faces_and_some_of_the_seven_do() -> None:
    one = window(frame(1.0, cues(1, "happy")))
    assert face_labels(one, ("awake", "tired"), PLAIN) == ()
    (face,) = face_labels(one, ("happy", "sad"), PLAIN)
    assert face.probabilities == pytest.approx({"happy": 0.9 / (0.9 + 0.1 / 6), "sad": 1 / 55}, abs=1e-3)


def test_no_face_expert_no_labels() -> None:
    unread = replace(cues(1, "happy"), verdict_7=None)
    assert face_labels(window(frame(1.0, unread)), LABELS, PLAIN) == ()
