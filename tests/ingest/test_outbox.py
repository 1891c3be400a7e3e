"""What waits for a slow consumer: bounded, newest wins, counted."""

from __future__ import annotations

import av

from realtime.ingest.outbox import HALF_FULL, OUTBOX_ITEMS, Outbox, RawFrame, Waiting
from realtime.records import ClockTick, SpeechStarted

PICTURE = av.VideoFrame(16, 16)


def frame(at_s: float, *, only_measured: bool = False) -> RawFrame:
    return RawFrame(at_s, PICTURE, only_measured)


async def taken(outbox: Outbox) -> list[Waiting]:
    outbox.close()
    return [item async for item in outbox]


async def test_a_tick_replaces_a_waiting_one_and_so_pushes_nothing_out() -> None:
    outbox = Outbox(3)
    outbox.put(SpeechStarted(0.1))
    for quarter in range(20):
        outbox.put(ClockTick(quarter / 4))
    assert await taken(outbox) == [SpeechStarted(0.1), ClockTick(4.75)]
    assert outbox.n_skipped == 0


async def test_a_tick_between_items_stays_where_it_is() -> None:
    outbox = Outbox(8)
    items: list[Waiting] = [ClockTick(0.0), SpeechStarted(0.1), ClockTick(0.25), SpeechStarted(0.3)]
    for item in items:
        outbox.put(item)
    assert await taken(outbox) == items


async def test_when_it_is_full_the_oldest_goes_and_is_counted() -> None:
    outbox = Outbox(3)
    for at_s in range(5):
        outbox.put(frame(at_s))
    left = await taken(outbox)
    assert [item.at_s for item in left if isinstance(item, RawFrame)] == [2, 3, 4]
    assert outbox.n_skipped == 2


async def test_a_frame_that_is_only_measured_gives_way_when_much_waits() -> None:
    outbox = Outbox(OUTBOX_ITEMS)
    for at_s in range(HALF_FULL):
        outbox.put(frame(at_s))
    outbox.put(frame(98.0, only_measured=True))
    outbox.put(frame(99.0))
    assert outbox.n_skipped == 1
    assert [item.at_s for item in await taken(outbox) if isinstance(item, RawFrame)] == [*range(HALF_FULL), 99.0]
