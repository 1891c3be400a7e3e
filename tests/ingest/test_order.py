"""Items of two tracks, in media-time order."""

from __future__ import annotations

import numpy as np

from realtime.ingest.order import Interleaver
from realtime.records import ClockTick, Item, SpeechStarted, VideoFrame

PICTURE = np.zeros((2, 2, 3), np.uint8)


def described(items: list[Item]) -> list[str]:
    names = {VideoFrame: "frame", SpeechStarted: "speech", ClockTick: "tick"}
    return [names[type(item)] for item in items if not isinstance(item, ClockTick)]


def ticks(items: list[Item]) -> list[float]:
    return [item.at_s for item in items if isinstance(item, ClockTick)]


def test_an_item_waits_for_the_other_track() -> None:
    order = Interleaver(["video", "audio"], skew_s=2.0)
    order.add(1.0, VideoFrame(1.0, PICTURE))
    first = list(order.reached("video", 1.0))
    order.add(0.5, SpeechStarted(0.4))
    second = list(order.reached("audio", 1.2))
    assert described(first) == []
    assert described(second) == ["speech", "frame"]
    assert ticks(first + second) == [0.0, 0.25, 0.5, 0.75, 1.0]
    kinds = [type(item) for item in first + second]
    assert kinds == [ClockTick] * 3 + [SpeechStarted] + [ClockTick] * 2 + [VideoFrame], "the clock is never behind"


def test_a_track_that_ended_is_not_waited_for() -> None:
    order = Interleaver(["video", "audio"], skew_s=2.0)
    items: list[Item] = []
    for second in range(10):
        order.add(float(second), VideoFrame(float(second), PICTURE))
        items += order.reached("video", float(second))
    assert described(items) == ["frame"] * 8
    items += order.finish()
    assert described(items) == ["frame"] * 10
    assert ticks(items) == sorted(ticks(items))
    assert ticks(items)[-1] == 9.0


def test_one_track_alone_is_not_held_up() -> None:
    order = Interleaver(["audio"], skew_s=2.0)
    order.add(0.5, SpeechStarted(0.4))
    assert described(list(order.reached("audio", 0.5))) == ["speech"]


def test_the_last_tick_is_at_the_very_end() -> None:
    order = Interleaver(["audio"], skew_s=2.0)
    assert ticks([*order.reached("audio", 0.6), *order.finish()]) == [0.0, 0.25, 0.5, 0.6]
