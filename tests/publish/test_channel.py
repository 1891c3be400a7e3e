from __future__ import annotations

import asyncio
import json
import random
from contextlib import aclosing
from typing import Any

from realtime.publish.channel import EventLog
from realtime.publish.events import LagEvent, ReasonDeltaEvent


def write(log: EventLog, count: int, *, every_s: float = 1.0) -> None:
    for _ in range(count):
        log.publish(LagEvent(0.0, 0, 0), at_s=log.seq * every_s)


async def drain(log: EventLog, after: int = 0) -> list[dict[str, Any]]:
    return [json.loads(line) async for line in log.read(after)]


async def test_a_reader_gets_what_was_before_and_what_comes() -> None:
    log = EventLog("s")
    write(log, 3)
    reader = asyncio.create_task(drain(log))
    await asyncio.sleep(0)
    write(log, 2)
    log.close()
    assert [event["seq"] for event in await reader] == [1, 2, 3, 4, 5]


async def test_reconnecting_with_after_loses_and_repeats_nothing() -> None:
    log = EventLog("s")
    write(log, 10)
    first = []
    async for line in log.read():
        first.append(json.loads(line)["seq"])
        if len(first) == 4:
            break
    write(log, 2)
    log.close()
    rest = [event["seq"] for event in await drain(log, after=first[-1])]
    assert first + rest == list(range(1, 13))


async def test_ten_minutes_of_busy_chains_are_read_once_and_in_order_however_often_a_reader_comes_back() -> None:
    log, seen, dice = EventLog("s"), [0], random.Random(0)
    # 700 s of it, so that the first 100 s are gone.
    for number in range(28_000):
        log.publish(ReasonDeltaEvent(0, "face", "word "), at_s=number / 40)
    log.close()
    seen = [log.seq - 600 * 40 - 1]
    while seen[-1] < log.seq:
        n_left = dice.randint(1, 4_000)
        async with aclosing(log.read(after=seen[-1])) as lines:
            async for line in lines:
                seen.append(json.loads(line)["seq"])
                n_left -= 1
                if not n_left:
                    break
    assert seen == list(range(28_000 - 24_001, 28_001))
    assert log.n_readers == 0


async def test_the_log_is_bounded_in_number_and_in_media_time() -> None:
    by_number = EventLog("s", kept_events=5)
    write(by_number, 12)
    by_time = EventLog("s", kept_s=3.0)
    write(by_time, 12)
    by_number.close()
    by_time.close()
    assert [event["seq"] for event in await drain(by_number, after=7)] == [8, 9, 10, 11, 12]
    assert [event["seq"] for event in await drain(by_time, after=8)] == [9, 10, 11, 12]
    assert (by_number.n_dropped, by_time.n_dropped) == (7, 8)


async def test_a_reader_too_late_is_told_what_it_missed() -> None:
    log = EventLog("s", kept_events=5)
    write(log, 12)
    log.close()
    events = await drain(log, after=2)
    assert (events[0]["code"], events[0]["message"]) == ("events_lost", "Events 3 to 7 are no longer kept.")
    assert [event["seq"] for event in events] == [7, 8, 9, 10, 11, 12]


async def test_a_slow_reader_neither_blocks_the_session_nor_its_neighbour() -> None:
    log = EventLog("s", kept_events=5)
    write(log, 1)
    slow = log.read()
    assert json.loads(await anext(slow))["seq"] == 1
    quick = asyncio.create_task(drain(log))
    for _ in range(20):
        write(log, 1)
        await asyncio.sleep(0)
    log.close()
    assert [event["seq"] for event in await quick] == list(range(1, 22))
    assert [json.loads(line)["seq"] async for line in slow] == [16, 17, 18, 19, 20, 21]


async def test_a_number_from_another_life_counts_as_the_newest() -> None:
    log = EventLog("s")
    write(log, 3)
    reader = asyncio.create_task(drain(log, after=5000))
    await asyncio.sleep(0)
    write(log, 1)
    log.close()
    assert [event["seq"] for event in await reader] == [4]


async def test_nothing_is_written_after_the_end() -> None:
    log = EventLog("s")
    write(log, 2)
    log.close()
    write(log, 1)
    assert log.seq == 2
