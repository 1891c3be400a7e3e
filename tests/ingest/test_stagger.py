from __future__ import annotations

from itertools import pairwise

import pytest

from realtime.ingest.sampler import Sampler
from realtime.ingest.stagger import Stagger


def least_gap_s(moments_s: list[float]) -> float:
    ordered = sorted(moment_s % 1 for moment_s in moments_s)
    return min(later - sooner for sooner, later in pairwise([*ordered, ordered[0] + 1]))


def test_whoever_is_alone_keeps_the_clock_they_came_with() -> None:
    stagger = Stagger(1.0)
    assert stagger.join("first", zero_s=17.3) == 0
    stagger.leave("first")
    assert stagger.join("second", zero_s=18.9) == 0


@pytest.mark.parametrize("zeros_s", [[5.0] * 4, [0.0, 0.1, 0.2, 7.9], [3.3, 9.85, 9.9, 12.31]])
def test_frames_of_four_sessions_are_a_fifth_of_a_second_apart_or_more(zeros_s: list[float]) -> None:
    stagger = Stagger(1.0)
    moments_s = [zero_s + stagger.join(zero_s + index, zero_s=zero_s) for index, zero_s in enumerate(zeros_s)]
    assert least_gap_s(moments_s) >= 0.2


def test_a_place_that_was_left_is_taken_again() -> None:
    stagger = Stagger(1.0)
    phases_s = [stagger.join(index, zero_s=0.0) for index in range(4)]
    assert sorted(phases_s) == [0, 0.25, 0.5, 0.75]
    stagger.leave(2)
    stagger.leave(2)
    assert stagger.join("new", zero_s=0.0) == phases_s[2]


def test_the_sampler_keeps_the_first_frame_of_each_period_from_its_phase_on() -> None:
    sampler = Sampler(1.0, phase_s=0.25)
    kept = [index / 20 for index in range(50) if sampler.wants(index / 20)]
    # The first is kept as it comes: nobody waits for it.
    assert kept == pytest.approx([0.0, 0.25, 1.25, 2.25])
