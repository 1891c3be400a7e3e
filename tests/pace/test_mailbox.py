from __future__ import annotations

import asyncio

from realtime.pace.mailbox import Mailbox


async def test_live_newest_wins_and_what_was_dropped_is_told() -> None:
    box: Mailbox[int] = Mailbox(2)
    assert [await box.put(item) for item in range(5)] == [None, None, 0, 1, 2]
    assert [await anext(box), await anext(box)] == [3, 4]


async def test_a_newer_item_takes_the_place_of_one_that_was_not_begun() -> None:
    box: Mailbox[int] = Mailbox(2)
    await box.put(1)
    assert await anext(box) == 1
    assert box.newer() is None
    await box.put(2)
    assert (box.newer(), box.newer()) == (2, None)


async def test_recorded_the_writer_waits_until_the_item_was_dealt_with() -> None:
    box: Mailbox[int] = Mailbox(waits=True)
    dealt_with: list[int] = []

    async def read() -> None:
        async for item in box:
            # The writer, were it not waiting, would go on in one of these turns of the loop.
            for _ in range(5):
                await asyncio.sleep(0)
            dealt_with.append(item)

    reading = asyncio.create_task(read())
    for item in range(3):
        assert await box.put(item) is None
        assert dealt_with == list(range(item + 1))
    reading.cancel()


async def test_a_reader_waits_for_the_first_item() -> None:
    box: Mailbox[str] = Mailbox()
    reading = asyncio.ensure_future(anext(box))
    await asyncio.sleep(0)
    await box.put("here")
    assert await reading == "here"
