"""Valence and arousal of windows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from realtime.reason.affect import CIRCUMPLEX, affect, side_of
from realtime.reason.answers import MOODS, mood
from realtime.records import LABELS, Affect, Window
from tests.reason.people import cues, frame
from tests.reason.windows import BOTH, FACE_ONLY, NOTHING, VOICE_ONLY

HAPPY = dict.fromkeys(LABELS, 0.0) | {"happy": 0.75, "sad": 0.25}
EXPECTED = 0.75 * 0.81 - 0.25 * 0.63


def test_every_label_has_its_place() -> None:
    assert set(CIRCUMPLEX) == set(LABELS)


@pytest.mark.parametrize(("window", "basis"), [(BOTH, "both"), (FACE_ONLY, "face"), (VOICE_ONLY, "voice")])
def test_valence_is_what_the_probabilities_expect(window: Window, basis: str) -> None:
    valence, _ = affect(window, HAPPY)
    assert valence is not None
    assert valence.value == pytest.approx(EXPECTED)
    assert valence.basis == basis


def test_the_word_for_valence_is_that_of_the_likeliest_label_and_of_the_answer_about_a_mood() -> None:
    torn = dict.fromkeys(LABELS, 0.0) | {"happy": 0.4, "sad": 0.3, "angry": 0.3}
    valence, _ = affect(FACE_ONLY, torn)
    assert valence is not None
    assert (round(valence.value, 3), valence.side) == (-0.018, "high"), "the mean is in the middle"
    assert mood(torn, *MOODS["valence"]) == "Pleasant"
    assert [side_of(value) for value in (-0.2, 0.1, 0.2)] == ["low", "middle", "high"]


def test_arousal_is_the_voices_where_one_is_heard() -> None:
    (part,) = BOTH.speech
    told = replace(BOTH, speech=(replace(part, cues=replace(part.cues, arousal=-0.3)),))
    assert affect(told, HAPPY)[1] == Affect(-0.3, "voice", "low")


def test_without_a_voice_a_face_that_moves_more_is_more_aroused() -> None:
    def of(strength: float) -> float:
        face = replace(cues(1, "happy"), intensities=dict.fromkeys("abc", strength))
        seen = replace(frame(1.0, face), faces=FACE_ONLY.frames[0].faces)
        _, arousal = affect(replace(FACE_ONLY, frames=(seen,)), HAPPY)
        assert arousal is not None
        assert arousal.basis == "face"
        return arousal.value

    assert 0 < of(0.1) < of(0.9) <= 1


def test_nothing_is_told_of_nothing_nor_of_labels_of_ones_own() -> None:
    assert affect(NOTHING, HAPPY) == (None, None)
    assert affect(FACE_ONLY, {"awake": 0.5, "tired": 0.5}) == (None, None)
