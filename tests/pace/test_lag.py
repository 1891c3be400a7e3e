from __future__ import annotations

from realtime.pace.lag import LagMeter
from realtime.records import Lag


def said(meter: LagMeter, at_s: float, frames: int = 0, windows: int = 0) -> Lag | None:
    return meter.report(at_s, skipped_frames=frames, skipped_windows=windows)


def test_lag_is_the_age_of_the_oldest_thing_not_answered() -> None:
    meter = LagMeter()
    assert meter.seconds(5.0) == 0
    meter.received(3.0)
    meter.received(4.0)
    assert meter.seconds(5.0) == 2
    meter.finished(3.0)
    assert meter.seconds(5.0) == 1
    meter.finished(4.0)
    assert meter.seconds(5.0) == 0


def test_two_things_of_one_moment_are_two() -> None:
    meter = LagMeter()
    meter.received(3.0)
    meter.received(3.0)
    meter.finished(3.0)
    assert meter.seconds(5.0) == 2


def test_it_is_said_when_it_changes_and_at_most_once_a_second() -> None:
    meter = LagMeter()
    assert said(meter, 0.0) == Lag(0, 0, 0)
    assert said(meter, 5.0) is None
    meter.received(4.6)
    assert said(meter, 5.0) is None
    assert said(meter, 5.2) == Lag(5.2 - 4.6, 0, 0)
    assert said(meter, 5.9, frames=1) is None
    assert said(meter, 6.2, frames=1) is not None


def test_what_is_left_out_is_said_at_once_however_small_the_lag() -> None:
    meter = LagMeter()
    assert said(meter, 0.0) is not None
    less = meter.report(0.25, skipped_frames=0, skipped_windows=0, reduced="chains")
    assert less == Lag(0, 0, 0, "chains")
    assert meter.report(2.0, skipped_frames=0, skipped_windows=0, reduced="chains") is None


def test_what_was_skipped_is_said_even_where_the_lag_stays_the_same() -> None:
    meter = LagMeter()
    assert said(meter, 0.0) is not None
    assert said(meter, 2.0, frames=1) == Lag(0, 1, 0)
    assert said(meter, 4.0, frames=1) is None
    assert said(meter, 6.0, frames=1, windows=1) == Lag(0, 1, 1)
