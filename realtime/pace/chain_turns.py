"""When a session's chain goes on, waits, or gives way.

- Chains about speech come before those about quiet moments.
- None goes on while the session is behind (`degradation.py`). A newer window then takes the place of one that waits.
- In a live session, an argument that contradicts what its chain found is written again for a limited time only.
- In a live session, a chain about an earlier question gives way to the question that was asked since: at once if it is
  not begun, and else once it is late.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from realtime.pace.mailbox import Mailbox

T = TypeVar("T")

FINISHED_WITHIN_S = 5.0
"Media time after its window in which a chain about an earlier question may still be finished."

ARGUED_AGAIN_S = 5.0
"""Wall time for which a live chain's argument may be written again where it contradicts: as long as a chain may be
late, and from one sentence to the next. `small` breaks most of its tries off after a few tokens, so at its 17 to 22 a
second there is time for several. Without a limit, 16 of them took so long on a slow machine that the next chain was
left out.
"""


class ChainTurns:
    """Of the chains of one session."""

    def __init__(self, *, live: bool) -> None:
        self._live = live
        self._go_on = asyncio.Event()
        self._nothing_spoken = asyncio.Event()
        self._go_on.set()
        self._nothing_spoken.set()

    @property
    def argued_again_s(self) -> float | None:
        """Seconds for writing an argument again. A recording waits, so that its words do not depend on the machine."""
        return ARGUED_AGAIN_S if self._live else None

    def let(self, chains: bool) -> None:
        """Let chains go on, or have them wait before their next step."""
        if chains:
            self._go_on.set()
        else:
            self._go_on.clear()

    @contextmanager
    def about_speech(self) -> Iterator[None]:
        """While a chain about speech is written."""
        self._nothing_spoken.clear()
        try:
            yield
        finally:
            self._nothing_spoken.set()

    async def newest(self, item: T, waiting: Mailbox[T]) -> tuple[T, list[T]]:
        """Wait until chains may go on. Returns the newest item by then, and those whose place it took."""
        replaced = []
        while not self._go_on.is_set():
            await self._go_on.wait()
            if (newer := waiting.newer()) is not None:
                replaced.append(item)
                item = newer
        return item, replaced

    async def next_step(self, *, spoken: bool) -> None:
        """Wait until the next step of a chain may be asked for."""
        await self._go_on.wait()
        if not spoken:
            # One about speech comes first; this one goes on afterwards.
            await self._nothing_spoken.wait()

    def gives_way(self, *, outdated: bool, begun: bool, age_s: float) -> bool:
        """Whether a chain is given up. `outdated`: another question was asked since; `age_s` is that of its window.

        One that is not begun would have to read its evidence for the earlier question first.
        """
        return self._live and outdated and (not begun or age_s > FINISHED_WITHIN_S)
