"""Waiting for what another thread, process or peer brings: until it is there, or a deadline that only faults meet.

No test sleeps for a time that ought to be enough. A busy machine needs longer, and an idle one would lose it. Other
`sleep`s here are a turn of the event loop (`sleep(0)`), the pace of what stands in for a camera or a model, the next
question of a wait with a deadline whose question is itself awaited, or the schedule of `python -m tests.load`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

WITHIN_S = 120.0
"For what takes a second on a machine that does nothing else."
EVERY_S = 0.005


async def eventually(
    reached: Callable[[], object], what: str = "what was waited for", within_s: float = WITHIN_S
) -> None:
    """Return once `reached()` is true. Raises AssertionError after `within_s`."""
    ends_s = time.monotonic() + within_s
    while not reached():
        assert time.monotonic() < ends_s, f"{what}: not within {within_s:g} s"
        await asyncio.sleep(EVERY_S)


def wait_until(reached: Callable[[], object], what: str = "what was waited for", within_s: float = WITHIN_S) -> None:
    """The same where there is no event loop."""
    ends_s = time.monotonic() + within_s
    while not reached():
        assert time.monotonic() < ends_s, f"{what}: not within {within_s:g} s"
        time.sleep(EVERY_S)
