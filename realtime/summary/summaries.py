"""The summaries of one session: one at a time, of the newest wish for one, in a model's words or as the statements.

A model has only so long for one, and gives it up as soon as something else is asked: nobody waits for it then.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

from realtime.publish.events import SummaryEvent
from realtime.summary.recall import recall
from realtime.summary.statements import statements, too_early

logger = logging.getLogger(__name__)

Write = Callable[[Sequence[str], Sequence[str]], Awaitable[str | None]]
"`EngineClient.summarise`."

WRITTEN_WITHIN_S = 20.0
"Wall time in which a model writes a summary. A person waits for it; then the statements are told as they are."


@dataclass(frozen=True, slots=True)
class SummaryAsked:
    """A wish for a summary."""

    query: str
    start_s: float
    end_s: float
    "When it was asked for."
    number: int
    "Of all that was asked in the session."


class Summaries:
    """Of one session. `turn` returns once the model has time for it."""

    def __init__(self, session: str, turn: Callable[[], Awaitable[None]]) -> None:
        self._session = session
        self._turn = turn
        self._n_asked = 0
        "Questions and summaries that were asked for."
        self._limit: asyncio.Timeout | None = None
        "That of the summary that the model is writing."

    def ask(self, query: str, start_s: float, end_s: float) -> SummaryAsked:
        """Note a wish for a summary of these seconds. An earlier one is given up."""
        self.give_up()
        return SummaryAsked(query, start_s, end_s, self._n_asked)

    def give_up(self) -> None:
        """Something else is asked: the summary that is being written is not told any more."""
        self._n_asked += 1
        if self._limit is not None and not self._limit.expired():
            self._limit.reschedule(asyncio.get_running_loop().time())

    async def summary(
        self, asked: SummaryAsked, lines: Iterable[str], start_s: float, write: Write | None
    ) -> SummaryEvent | None:
        """The summary of these lines of the log, which are those from `start_s` on; None where it was given up.

        `write` has the model write it, where it can.
        """
        # Ten minutes of events are thousands of lines, for which no event of another session should wait.
        recap = await asyncio.to_thread(recall, lines, start_s=start_s, end_s=asked.end_s)
        told = statements(recap)
        written = None
        if write is not None and too_early(recap) is None:
            labels = sorted({each.label for each in recap.told})
            written = await self._written(write, told, labels)
            if asked.number != self._n_asked:
                return None
        if written is None:
            return SummaryEvent(asked.query, start_s, asked.end_s, "measured", " ".join(told), told)
        return SummaryEvent(asked.query, start_s, asked.end_s, "model", written, told)

    async def _written(self, write: Write, told: Sequence[str], labels: Sequence[str]) -> str | None:
        """What the model writes from these statements in time, and only where it holds to them."""
        self._limit = limit = asyncio.timeout(WRITTEN_WITHIN_S)
        try:
            async with limit:
                # As a chain does, it waits while the session is behind.
                await self._turn()
                return await write(told, labels)
        # A model can fail in ways nobody listed. The statements are told then.
        except Exception as error:
            if not limit.expired():
                logger.error("session %s: the model wrote no summary: %s", self._session[:8], error)
            return None
        finally:
            self._limit = None
