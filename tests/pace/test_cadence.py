from __future__ import annotations

from realtime.pace.cadence import Cadence, Due


def dues(cadence: Cadence, *clock_s: float) -> list[float]:
    return [due.end_s for at_s in clock_s if (due := cadence.clock(at_s))]


def test_every_four_seconds_whatever_the_ticks() -> None:
    assert dues(Cadence(4), 0, 3.9, 4.1, 4.3, 7.9, 8.0, 12.2) == [4, 8, 12]


def test_speech_holds_the_cadence_and_starts_it_anew() -> None:
    cadence = Cadence(4)
    cadence.speech_started()
    assert dues(cadence, 4, 8) == []
    assert cadence.speech_ended(8.5) == Due(8.5, spoken=True)
    assert dues(cadence, 9, 12, 12.5) == [12.5]


def test_a_gap_is_skipped_not_caught_up_with() -> None:
    assert dues(Cadence(4), 21, 21.25, 24) == [20, 24]


def test_the_end_of_a_recording_is_looked_at_once() -> None:
    cadence = Cadence(4)
    assert dues(cadence, 4) == [4]
    assert cadence.finish(4) is None
    assert cadence.finish(5.5) == Due(5.5, spoken=False)
    assert cadence.finish(5.5) is None


def test_a_mere_tail_is_not_worth_an_analysis_but_a_short_recording_is() -> None:
    cadence = Cadence(4)
    cadence.speech_ended(1.4)
    assert cadence.finish(1.9) is None
    assert Cadence(4).finish(0.5) == Due(0.5, spoken=False)


def test_speech_cut_late_does_not_bring_old_windows_back() -> None:
    cadence = Cadence(4)
    assert dues(cadence, 4) == [4]
    assert cadence.speech_ended(3.8).end_s == 3.8
    assert dues(cadence, 7.9, 8) == [8]
