"""When a face changed, from what was measured each second."""

from __future__ import annotations

import numpy as np
import pytest

from realtime.reason.onsets import changes, enough_seen
from realtime.records import Glimpse
from tests.reason.seconds import LENGTH_S, becomes, face, second, seconds

REST = {"lip_corner_pull": 0.05, "cheek_raise": 0.0, "jaw_drop": 0.1}
SMILE = {"lip_corner_pull": 0.7, "cheek_raise": 0.5, "jaw_drop": 0.1}


@pytest.mark.parametrize("at", range(1, LENGTH_S))
def test_a_change_lies_between_two_seconds_and_names_what_moved_most_first(at: int) -> None:
    (change,) = changes(seconds(becomes(REST, SMILE, at)), 0)
    assert (change.after_s, change.by_s) == (at - 1, at)
    assert [moved.cue for moved in change.moved] == ["lip_corner_pull", "cheek_raise"]
    assert change.moved[0].before == pytest.approx(0.05)
    assert change.moved[0].after == pytest.approx(0.7)


def test_two_changes_are_told_and_a_small_one_beside_a_large_one_is_not() -> None:
    back = [REST, REST, REST, SMILE, SMILE, SMILE, REST, REST]
    assert [change.by_s for change in changes(seconds(back), 0)] == [3, 6]
    echo = [REST, REST, REST, SMILE, SMILE, SMILE, {**SMILE, "jaw_drop": 0.46}, {**SMILE, "jaw_drop": 0.46}]
    assert [change.by_s for change in changes(seconds(echo), 0)] == [3]


def test_noise_a_blink_and_a_mouth_that_speaks_are_no_change() -> None:
    rng = np.random.default_rng(0)
    still = [{cue: value + float(rng.normal(0, 0.04)) for cue, value in SMILE.items()} for _ in range(LENGTH_S)]
    assert changes(seconds(still), 0) == ()
    blink = [{**REST, "eyes_closed": 0.9 if at == 4 else 0.0} for at in range(LENGTH_S)]
    assert changes(seconds(blink), 0) == ()
    at_the_end = [{**REST, "eyes_closed": 0.9 if at == 7 else 0.0} for at in range(LENGTH_S)]
    assert changes(seconds(at_the_end), 0) == ()
    speaks = [{**REST, "jaw_drop": (0.1, 0.6, 0.2, 0.5, 0.05, 0.55, 0.3, 0.5)[at]} for at in range(LENGTH_S)]
    assert changes(seconds(speaks), 0) == ()


def test_a_head_that_turns_away_has_not_changed_its_face() -> None:
    window = seconds(becomes(REST, SMILE, 5))
    frames = tuple(second(at, REST if at < 5 else SMILE, yaw=50.0 if at >= 5 else 0.0) for at in range(LENGTH_S))
    assert changes(window, 0)
    turned = type(window)(0, 0.0, 8.0, frames, ())
    assert changes(turned, 0) == ()


def test_one_cue_is_followed_by_itself_and_too_few_seconds_tell_nothing() -> None:
    window = seconds(becomes(REST, SMILE, 4))
    assert changes(window, 0, ("jaw_drop",)) == ()
    assert [moved.cue for moved in changes(window, 0, ("lip_corner_pull",))[0].moved] == ["lip_corner_pull"]
    short = seconds(becomes(REST, SMILE, 1)[:2])
    assert not enough_seen(short, 0)
    assert changes(short, 0) == ()
    assert changes(window, 7) == (), "nobody has this track"


def test_frames_in_between_narrow_it_down() -> None:
    between = [Glimpse(3 + tenth / 10, (face(0, REST if tenth < 7 else SMILE),)) for tenth in range(1, 10)]
    (change,) = changes(seconds(becomes(REST, SMILE, 4), glimpses=between), 0)
    assert (change.after_s, change.by_s) == (3.6, 3.7)
    assert change.at_s == pytest.approx(3.65)
