"""One frame a second, by media time."""

from __future__ import annotations

import pytest

from realtime.ingest.sampler import FrameSampler, Sampler


def kept(times_s: list[float], period_s: float = 1.0) -> list[float]:
    sampler = Sampler(period_s)
    return [at_s for at_s in times_s if sampler.wants(at_s)]


def test_the_first_frame_of_each_second_is_kept() -> None:
    assert kept([index / 30 for index in range(91)]) == pytest.approx([0.0, 1.0, 2.0, 3.0])


def test_a_gap_is_skipped_not_caught_up_with() -> None:
    assert kept([0.5, 0.9, 1.2, 7.6, 7.7, 7.9, 8.0, 8.1]) == [0.5, 1.2, 7.6, 8.0]


def test_slower_than_the_period_keeps_everything() -> None:
    assert kept([0.0, 2.5, 5.0]) == [0.0, 2.5, 5.0]


def test_other_periods() -> None:
    assert kept([0.0, 0.3, 0.5, 0.9, 1.0], period_s=0.5) == [0.0, 0.5, 1.0]
    with pytest.raises(ValueError, match="positive"):
        Sampler(0.0)


def test_cue_frames_lie_between_those_that_the_model_reads() -> None:
    sampler = FrameSampler(4.0)
    wanted = {round(index / 20, 2): sampler.wants(index / 20) for index in range(30)}
    assert [at_s for at_s, what in wanted.items() if what == "read"] == [0.0, 1.0]
    assert [at_s for at_s, what in wanted.items() if what == "measured"] == [0.25, 0.5, 0.75, 1.25]


def test_without_cue_frames_only_the_first_of_each_second_is_wanted() -> None:
    sampler = FrameSampler(0.0)
    assert {sampler.wants(index / 20) for index in range(1, 40)} == {"read", None}
