"""Whose chain goes on, which one waits, and which one gives way."""

from __future__ import annotations

import asyncio

import pytest

from realtime.pace.chain_turns import FINISHED_WITHIN_S, ChainTurns
from realtime.pace.mailbox import Mailbox
from tests.waiting import eventually


async def waits(task: asyncio.Task[object]) -> bool:
    for _ in range(5):
        await asyncio.sleep(0)
    return not task.done()


async def test_none_goes_on_while_the_session_is_behind() -> None:
    turns = ChainTurns(live=True)
    await turns.next_step(spoken=True)
    turns.let(False)
    step: asyncio.Task[object] = asyncio.create_task(turns.next_step(spoken=True))
    assert await waits(step)
    turns.let(True)
    await step


async def test_speech_comes_before_quiet_moments() -> None:
    turns = ChainTurns(live=True)
    with turns.about_speech():
        await turns.next_step(spoken=True)
        quiet: asyncio.Task[object] = asyncio.create_task(turns.next_step(spoken=False))
        assert await waits(quiet)
    await quiet


async def test_a_chain_about_speech_that_fails_holds_up_nothing() -> None:
    turns = ChainTurns(live=True)
    with pytest.raises(RuntimeError), turns.about_speech():
        raise RuntimeError("out of memory")
    await turns.next_step(spoken=False)


async def test_a_newer_window_takes_the_place_of_one_that_waits() -> None:
    turns, waiting = ChainTurns(live=True), Mailbox[str]()
    assert await turns.newest("first", waiting) == ("first", [])
    turns.let(False)
    taken = asyncio.create_task(turns.newest("first", waiting))
    assert await waits(taken)
    await waiting.put("second")
    assert await waiting.put("third") == "second"
    turns.let(True)
    await eventually(taken.done)
    assert taken.result() == ("third", ["first"])


@pytest.mark.parametrize(
    ("live", "outdated", "begun", "age_s", "wanted"),
    [
        (True, False, False, 60.0, False),
        (True, True, False, 0.0, True),
        (True, True, True, FINISHED_WITHIN_S, False),
        (True, True, True, FINISHED_WITHIN_S + 0.1, True),
        (False, True, False, 60.0, False),
    ],
    ids=["its question stands", "not begun", "begun", "late", "a recording waits for each"],
)
def test_a_chain_about_an_earlier_question_gives_way(
    live: bool, outdated: bool, begun: bool, age_s: float, wanted: bool
) -> None:
    assert ChainTurns(live=live).gives_way(outdated=outdated, begun=begun, age_s=age_s) == wanted
