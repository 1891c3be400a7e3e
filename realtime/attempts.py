"""The steps of a session as attempts: each is timed and traced, and one that fails costs no more than its item."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from realtime.errors import RealtimeError
from realtime.observe import tracing
from realtime.publish.events import ErrorEvent

logger = logging.getLogger(__name__)


class Attempts:
    """Those of one session. They hold nothing of it, so that it is freed with its last reference."""

    def __init__(self, session: str, now_s: Callable[[], float]) -> None:
        self._session = session
        self._now_s = now_s
        self._failing: set[str] = set()
        "Codes of the steps whose last attempt failed. Each is told once when it begins and once when it is over."

    @asynccontextmanager
    async def at(
        self,
        publish: Callable[[ErrorEvent], None],
        stage: str,
        timings_ms: dict[str, float],
        parent: tracing.Span = tracing.NOTHING,
    ) -> AsyncIterator[None]:
        """Time a stage, including its wait for the model. A failure gives one error event, and the session goes on."""
        code = f"{stage}_failed"
        began_s = self._now_s()
        trace = tracing.begin(stage, parent)
        try:
            yield
        # A model can fail in ways nobody listed (out of memory, a driver, a bug). Only this item is lost.
        except Exception as error:
            trace.fail(error)
            # The traceback of an error of ours adds nothing.
            named = isinstance(error, RealtimeError)
            logger.error(
                "session %s: %s failed: %s", self._session[:8], stage, error, exc_info=None if named else error
            )
            if code not in self._failing:
                self._failing.add(code)
                hint = error.hint if isinstance(error, RealtimeError) else "It goes on with what comes next."
                what = (
                    error.message if isinstance(error, RealtimeError) else f"The model failed ({type(error).__name__})."
                )
                publish(ErrorEvent(code, f"{what} It was in the step “{stage}”.", hint))
        else:
            if code in self._failing:
                self._failing.discard(code)
                publish(ErrorEvent(code, f"The step “{stage}” works again.", "", over=True))
        finally:
            trace.end()
        timings_ms[stage] = (self._now_s() - began_s) * 1000
