"""Media time from stamps that do what stamps do."""

from __future__ import annotations

import pytest

from realtime.ingest.clock import ArrivalClock, Timeline


def test_a_recording_begins_at_its_first_packet() -> None:
    timeline = Timeline(zero_s=100.0)
    assert [timeline.place(100.0 + index, duration_s=1.0) for index in range(3)] == [0.0, 1.0, 2.0]
    assert timeline.expected_s == 3.0


def test_missing_stamps_follow_from_the_durations() -> None:
    timeline = Timeline(zero_s=0.0)
    assert [timeline.place(stamp_s, duration_s=0.5) for stamp_s in (None, None, 1.0, None)] == [0.0, 0.5, 1.0, 1.5]


def test_a_hole_stays_a_hole_but_a_broken_stamp_does_not() -> None:
    timeline = Timeline(zero_s=0.0)
    stamps_s = [0.0, 1.0, 20.0, 95_443.7, 95_444.7]
    assert [timeline.place(stamp_s, duration_s=1.0) for stamp_s in stamps_s] == pytest.approx([0, 1, 20, 21, 22])
    assert timeline.n_rebased == 1


def test_joined_clips_go_on_and_disorder_never_goes_back() -> None:
    timeline = Timeline(zero_s=0.0)
    stamps_s = [0.0, 1.0, 0.9, 2.0, 0.0, 1.0]
    assert [timeline.place(stamp_s, duration_s=1.0) for stamp_s in stamps_s] == [0.0, 1.0, 1.0, 2.0, 3.0, 4.0]
    assert timeline.n_rebased == 1


def test_a_hole_of_one_track_beside_another_is_a_hole_however_long() -> None:
    pictures = Timeline(zero_s=0.0)
    sounds = Timeline(zero_s=0.0, others=[pictures])
    for second in range(300):
        pictures.place(float(second), duration_s=1.0)
    assert [sounds.place(stamp_s, duration_s=1.0) for stamp_s in (0.0, 299.0)] == [0.0, 299.0]
    assert sounds.n_rebased == 0


@pytest.mark.parametrize(("stamp_s", "at_s"), [(70.0, 70.0), (95_443.7, 0.0)], ids=["late", "broken"])
def test_a_track_that_begins_after_the_other_has_ended_begins_late(stamp_s: float, at_s: float) -> None:
    """Field report 5: pictures from 70 s on were put beside the voice of the first seconds."""
    pictures = Timeline(zero_s=0.0)
    sounds = Timeline(zero_s=0.0, others=[pictures])
    for second in range(6):
        sounds.place(float(second), duration_s=1.0)
    assert pictures.place(stamp_s, duration_s=1.0) == at_s


def test_a_track_that_is_alone_has_holes_of_minutes() -> None:
    alone = Timeline(zero_s=0.0, leap_s=Timeline.HOLE_S)
    stamps_s = [0.0, 300.0, 95_443.7]
    assert [alone.place(stamp_s, duration_s=1.0) for stamp_s in stamps_s] == pytest.approx([0, 300, 301])


def test_tracks_that_leap_together_stay_together() -> None:
    """The sound leaps first, and its stamps are 40 ms behind those of the pictures on both sides of the leap."""
    pictures = Timeline(zero_s=0.0)
    sounds = Timeline(zero_s=0.0, others=[pictures])
    pictures.place(0.0, duration_s=1.0)
    sounds.place(0.04, duration_s=1.0)
    assert sounds.place(90_001.04, duration_s=1.0) == pytest.approx(1.04)
    assert pictures.place(90_001.0, duration_s=1.0) == pytest.approx(1.0)
    assert pictures.place(90_002.0, duration_s=1.0) == pytest.approx(2.0)


def test_joined_clips_keep_their_tracks_beside_each_other() -> None:
    """The pictures of the second clip come before the last sound of the first, as files are interleaved."""
    pictures = Timeline(zero_s=0.0)
    sounds = Timeline(zero_s=0.0, others=[pictures])
    for second in range(100):
        pictures.place(float(second), duration_s=1.0)
    for second in range(99):
        sounds.place(float(second), duration_s=1.0)
    assert pictures.place(0.0, duration_s=1.0) == 100.0
    assert sounds.place(99.0, duration_s=1.0) == 99.0
    assert sounds.place(0.0, duration_s=1.0) == 100.0
    assert pictures.place(1.0, duration_s=1.0) == 101.0


def test_live_tracks_are_pinned_to_their_arrival() -> None:
    """RTP stamps start anywhere; this track's first frame came 0.3 s after the session's first packet."""
    clock = ArrivalClock()
    times_s = [clock.place(5000.0 + index, arrived_s=0.3 + index) for index in range(3)]
    assert times_s == pytest.approx([0.3, 1.3, 2.3])


def test_jitter_and_a_stall_leave_no_mark() -> None:
    clock = ArrivalClock()
    late_s = [0.0, 0.08, 0.01, 3.0, 2.0, 1.0, 0.0, 0.05]
    times_s = [clock.place(float(index), arrived_s=index + late) for index, late in enumerate(late_s)]
    assert times_s == pytest.approx(list(range(8)))
    assert clock.n_rebased == 0


def test_a_wrapped_or_restarted_stamp_is_pinned_anew_and_time_never_goes_back() -> None:
    clock = ArrivalClock()
    stamps_s = [0.0, 1.0, 2.0, 47_721.9, 47_722.9, 3.0, 4.0]
    times_s = [clock.place(stamp_s, arrived_s=float(index)) for index, stamp_s in enumerate(stamps_s)]
    assert times_s == pytest.approx(list(range(7)))
    assert clock.n_rebased == 2


def test_a_slow_crystal_is_followed() -> None:
    """200 millionths over an hour would be 0.7 s between the tracks."""
    clock = ArrivalClock()
    for second in range(3600):
        at_s = clock.place(second * (1 - 2e-4), arrived_s=float(second))
    assert at_s == pytest.approx(3599, abs=0.02)
    assert clock.n_rebased == 0


def test_falling_behind_is_not_taken_for_a_slow_crystal() -> None:
    """A decoder that does nine seconds in ten falls behind by a second in ten: that is lag, to be seen."""
    clock = ArrivalClock()
    for second in range(22):
        at_s = clock.place(second * 0.9, arrived_s=float(second))
    assert 22 - at_s > 1.5
    assert clock.late_s > 0.5


def test_a_sender_that_slept_is_pinned_anew_within_a_block_or_two() -> None:
    clock = ArrivalClock()
    clock.place(0.0, arrived_s=0.0)
    for second in range(25):
        at_s = clock.place(1.0 + second, arrived_s=61.0 + second)
    assert at_s == pytest.approx(85.0, abs=0.1)
    assert clock.n_rebased == 1


def test_a_network_that_is_late_all_at_once_is_followed_by_a_thousandth_only() -> None:
    clock = ArrivalClock()
    clock.place(0.0, arrived_s=0.0)
    for second in range(1, 26):
        at_s = clock.place(float(second), arrived_s=second + 1.0)
    assert at_s == pytest.approx(25.0, abs=0.03)
    assert clock.late_s == pytest.approx(1.0, abs=0.03)


def test_a_stamp_that_is_a_little_early_does_not_turn_time_back() -> None:
    clock = ArrivalClock()
    assert [clock.place(stamp_s, arrived_s=stamp_s) for stamp_s in (0.0, 1.0)] == [0.0, 1.0]
    assert clock.place(0.5, arrived_s=1.1) == 1.0
