"""The rolling buffer: what a window holds, and what is forgotten."""

from __future__ import annotations

import numpy as np
import pytest

from realtime.pace.buffer import BufferSettings, RollingBuffer
from realtime.records import FrameEvidence, Scene, SpeechEvidence, TokenCounts, VoiceCues

TOKENS_ND = np.zeros((1, 2), np.float32)
POSITIONS_3N = np.zeros((3, 1), np.int64)


def seen(at_s: float) -> FrameEvidence:
    return FrameEvidence(at_s, (), (), Scene(0.5, 0.5), TokenCounts(0, 1, 0), TOKENS_ND, POSITIONS_3N)


def heard(start_s: float, end_s: float) -> SpeechEvidence:
    return SpeechEvidence(start_s, end_s, VoiceCues({}, {}, np.zeros(1, np.float32)), TOKENS_ND, POSITIONS_3N)


def filled(settings: BufferSettings, seconds: int) -> RollingBuffer:
    buffer = RollingBuffer(settings)
    for second in range(seconds):
        buffer.add_frame(seen(float(second)))
    return buffer


def test_a_window_looks_back_eight_seconds_and_not_ahead() -> None:
    window = filled(BufferSettings(), 20).window(3, end_s=12.5)
    assert (window.index, window.start_s, window.end_s) == (3, 4.5, 12.5)
    assert [frame.at_s for frame in window.frames] == [5, 6, 7, 8, 9, 10, 11, 12]


def test_a_window_at_the_beginning_is_short() -> None:
    window = filled(BufferSettings(), 3).window(0, end_s=2.5)
    assert window.start_s == 0.0
    assert len(window.frames) == 3


def test_speech_that_overlaps_belongs_to_the_window() -> None:
    buffer = RollingBuffer(BufferSettings())
    for start_s, end_s in ((0.0, 1.0), (1.0, 3.0), (5.0, 6.0), (9.5, 12.0), (14.0, 15.0)):
        buffer.add_speech(heard(start_s, end_s))
    assert [part.start_s for part in buffer.window(0, end_s=10.0).speech] == [1.0, 5.0, 9.5]


def test_what_is_old_is_forgotten_by_media_time() -> None:
    buffer = RollingBuffer(BufferSettings(span_s=10, window_s=10))
    buffer.add_speech(heard(0.0, 2.0))
    for second in range(12):
        buffer.add_frame(seen(float(second)))
    assert buffer.window(0, end_s=11.0).frames[0].at_s == 1.0
    buffer.add_frame(seen(13.0))
    assert buffer.window(0, end_s=10.0).speech == ()
    buffer.add_speech(heard(90.0, 100.0))
    assert buffer.window(0, end_s=20.0).frames == ()
    assert buffer.n_crowded_out == 0


def test_memory_is_bounded_even_when_time_stands_still() -> None:
    buffer = RollingBuffer(BufferSettings(span_s=0.5, window_s=0.5))
    for _ in range(12):
        buffer.add_frame(seen(1.0))
    assert len(buffer.window(0, end_s=1.0).frames) == 5
    assert buffer.n_crowded_out == 7
    for _ in range(7):
        buffer.add_speech(heard(0.0, 1.0))
    assert len(buffer.window(0, end_s=1.0).speech) == 5
    assert buffer.n_crowded_out == 9


def test_clearing_forgets_at_once() -> None:
    buffer = filled(BufferSettings(), 3)
    buffer.add_speech(heard(1.0, 2.0))
    buffer.clear()
    window = buffer.window(0, end_s=3.0)
    assert (window.frames, window.speech) == ((), ())


def test_settings_that_cannot_work_are_refused() -> None:
    with pytest.raises(ValueError, match="window_s"):
        BufferSettings(span_s=5, window_s=8)
