"""The facts of a summary as plain sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from realtime.summary.recap import Peak, Recap, ToldMoment
from realtime.summary.statements import course, statements, too_early


def told(*labels: str, share: float = 0.6) -> tuple[ToldMoment, ...]:
    return tuple(ToldMoment(4.0 * (place + 1), label, share) for place, label in enumerate(labels))


TOLD = told("neutral", "neutral", "unsure", "happy", "happy", "happy")
RECAP = Recap(
    start_s=0.0,
    end_s=75.0,
    told=(*TOLD[:4], replace(TOLD[4], face="happy", voice="sad", conflict=0.7), replace(TOLD[5], contradicts=True)),
    n_frames=75,
    n_faceless=12,
    n_people=1,
    cues={"lip_corner_pull": Peak(0.8, 41.0), "jaw_drop": Peak(0.55, 63.5), "brow_lower": Peak(0.2, 3.0)},
    speech=((2.0, 6.0), (40.0, 44.4)),
    voices=((6.0, {"loudness_db": 0.2}), (44.4, {"loudness_db": 2.1, "pitch_hz": -1.5})),
    problems=("The picture is nearly black.",),
    n_left_out=2,
)


def test_each_fact_is_a_sentence() -> None:
    assert statements(RECAP) == (
        "Of 6 moments, 3 were happy, 2 neutral and 1 unsure.",
        "It began as neutral, and changed to happy at 0:16.",
        "Of the face, what stood out: lip corners strongly pulled up, most at 0:41; jaw clearly dropped, most at 1:03.",
        "Speech was heard for 8 seconds, in 2 stretches.",
        "The voice differed most from its usual at 0:44: much louder.",
        "Face and voice disagreed in 1 of 1 moment, most at 0:20: the face pointed to happy, and the voice to sad.",
        "The likeliest label had a probability of 60% on average.",
        "The reasons contradicted themselves in 1 moment.",
        "No face was in view in 12 of 75 pictures.",
        "2 moments were left out, as the machine was slow.",
        "The picture is nearly black.",
    )


@pytest.mark.parametrize(
    ("recap", "says"),
    [
        (Recap(0.0, 23.4, TOLD), "This session has 23 seconds so far; a summary needs a minute."),
        (Recap(30.0, 150.0), "Nothing was told between 0:30 and 2:30."),
    ],
)
def test_where_there_is_nothing_to_sum_up_a_sentence_says_why(recap: Recap, says: str) -> None:
    assert statements(recap) == (says,)
    assert too_early(recap) == says


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        (("happy",) * 3, "All 3 moments were happy."),
        (("happy", "sad", "happy", "happy"), "No other label than happy held for long."),
        (("happy", "sad", "angry"), "No label held for long."),
        (("sad", "sad", "happy", "happy") * 3, "changed 5 times, last to happy at 0:44."),
    ],
)
def test_a_label_has_changed_once_it_holds(labels: Sequence[str], says: str) -> None:
    sentences = statements(Recap(0.0, 75.0, told(*labels)))
    assert any(sentence.endswith(says) for sentence in sentences), sentences


def test_an_unsure_moment_in_between_is_no_change() -> None:
    assert course(told("sad", "sad", "unsure", "sad")) == [(4.0, "sad")]


def test_what_is_missing_and_what_nobody_fitted_is_said() -> None:
    silent = Recap(0.0, 75.0, tuple(replace(each, calibrated=False) for each in TOLD))
    said = statements(silent)
    assert {"No picture was there.", "No speech was heard."} <= set(said)
    assert any("fitted for no people" in sentence for sentence in said)
    assert not any("face" in sentence.lower() for sentence in said)


def test_nothing_that_stood_out_is_said_too() -> None:
    calm = replace(
        RECAP, cues={}, voices=(), n_people=2, told=tuple(replace(each, face="sad", voice="sad") for each in TOLD)
    )
    said = statements(calm)
    assert "Up to 2 faces were in view." in said
    assert "Of the face that was seen most, nothing stood out." in said
    assert "The voice was too new to compare." in said
    assert "Face and voice agreed, or were not far apart, wherever both were there." in said
