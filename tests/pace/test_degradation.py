from __future__ import annotations

from itertools import pairwise

from realtime.pace.degradation import CALM_S, STEPS, Load
from realtime.records import Reduced


def steps(load: Load, lags_s: list[float], from_s: float = 0.0) -> list[Reduced]:
    """What is done without after each quarter of a second of the given lags."""
    told: list[Reduced] = []
    for index, lag_s in enumerate(lags_s):
        load.update(lag_s, from_s + index / 4)
        told.append(load.reduced)
    return told


def test_it_goes_down_in_order_and_back_up_by_itself() -> None:
    load = Load()
    down = steps(load, [index / 4 for index in range(24)])
    assert list(dict.fromkeys(down)) == list(STEPS)
    up = steps(load, [0.1] * round(4 * 4 * CALM_S), from_s=6.0)
    assert list(dict.fromkeys(up)) == list(STEPS)[::-1]


def test_a_hiccup_costs_nothing_and_a_second_of_lag_one_step() -> None:
    assert set(steps(Load(), [0, 0, 3, 3, 0, 0, 0])) == {"nothing"}
    assert set(steps(Load(), [0, 0, 3, 3, 3, 3, 0, 0, 0])) == {"nothing", "chains"}


def test_hiccups_seconds_apart_do_not_add_up() -> None:
    assert set(steps(Load(), [3, 0, 0, 0, 0, 0] * 4)) == {"nothing"}


def test_steps_down_are_a_second_apart_however_large_the_lag() -> None:
    down = steps(Load(), [9.0] * 13)
    assert [down.index(step) / 4 for step in STEPS] == [0.0, 0.5, 1.5, 2.5]


def test_each_step_back_up_is_tried_for_a_while_before_the_next() -> None:
    load = Load()
    steps(load, [9.0] * 13)
    up = steps(load, [0.0] * round(4 * 4 * CALM_S), from_s=3.25)
    taken_s = [up.index(step) / 4 for step in STEPS[::-1]]
    assert taken_s[0] == 0.0
    assert all(later - sooner >= CALM_S for sooner, later in pairwise(taken_s))


def test_an_unsteady_machine_is_not_trusted_at_once() -> None:
    load = Load()
    steps(load, [1.0] * 4)
    assert load.reduced == "chains"
    assert set(steps(load, [0.1, 0.1, 0.1, 0.8] * 20, from_s=1.0)) == {"chains"}
    assert set(steps(load, [0.1, 0.6, 0.6, 0.6] * 20, from_s=21.0)) == {"chains"}


def test_a_machine_that_is_behind_for_a_moment_with_each_frame_comes_back() -> None:
    load = Load()
    steps(load, [2.0] * 8)
    assert load.reduced == "windows"
    up = steps(load, [0.1, 0.1, 0.1, 0.6] * 8, from_s=2.0)
    assert list(dict.fromkeys(up)) == ["windows", "chains", "nothing"]
    assert up.index("nothing") / 4 <= 3 * CALM_S
    assert not load.cue_frames


def test_what_each_step_does_without() -> None:
    load = Load()
    allowed = [(load.chains, load.quiet_windows, load.wants_frame(1), load.wants_frame(2))]
    for index in range(3):
        load.update(9.0, 2.0 * index)
        assert load.update(9.0, 2.0 * index + 1)
        allowed.append((load.chains, load.quiet_windows, load.wants_frame(1), load.wants_frame(2)))
    assert allowed == [
        (True, True, True, True),
        (False, True, True, True),
        (False, False, True, True),
        (False, False, False, True),
    ]


def test_measurements_between_frames_stop_first_and_come_back_last() -> None:
    load, measured = Load(), []
    load.update(0.3, 0.0)
    measured.append(load.cue_frames)
    load.update(0.6, 0.25)
    measured.append(load.cue_frames)
    assert load.reduced == "nothing"
    steps(load, [0.1] * round(4 * CALM_S), from_s=0.5)
    measured.append(load.cue_frames)
    load.update(0.1, 0.5 + CALM_S)
    measured.append(load.cue_frames)
    assert measured == [True, False, False, True]
