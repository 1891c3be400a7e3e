"""Streaming metrics on hand-worked events."""

from __future__ import annotations

from typing import Any

import pytest

from train.evaluation.streaming import measure


def window(index: int, end_s: float, label: str) -> list[dict[str, Any]]:
    chain = {"type": "label", "window": index, "label": label, "source": "chain", "t": end_s + 2}
    return [
        {"type": "window", "window": index, "start": end_s - 4, "end": end_s, "t": end_s},
        {"type": "label", "window": index, "label": "sad", "source": "fast", "t": end_s + 0.25},
        {"type": "reason.delta", "window": index, "section": "face", "text": "a", "t": end_s + 0.5},
        {"type": "reason.delta", "window": index, "section": "face", "text": "b", "t": end_s + 0.75},
        chain,
    ]


def test_latencies_flips_and_lag_by_hand() -> None:
    events = [*window(0, 8, "sad"), *window(1, 18, "sad"), *window(2, 28, "happy")]
    lag = {"type": "lag", "seconds": 1.5, "skipped_frames": 0, "skipped_windows": 0, "t": 29}
    result = measure([*events, lag])
    assert result["first_label_s"] == pytest.approx(0.25)
    assert result["first_word_s"] == pytest.approx(0.5)
    assert result["flips_per_minute"] == pytest.approx(2.0)
    assert result["lag_max_s"] == 1.5
    assert (result["windows"], result["unanswered_windows"]) == (3, 0)


def test_a_session_without_windows_says_none() -> None:
    assert measure([])["first_label_s"] is None
