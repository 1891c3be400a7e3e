"""Passes every session's events on to the sinks that the settings name: Lab Streaming Layer, MQTT, OSC."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AbstractContextManager, aclosing
from functools import partial

from realtime.errors import RealtimeError
from realtime.publish.channel import EventLog
from realtime.publish.open_sinks import opened
from realtime.publish.parse import parse
from realtime.publish.sinks import Sink
from realtime.session import Session
from realtime.settings import PublishSettings

logger = logging.getLogger(__name__)

FINISH_S = 5.0
"How long the last events may take to be sent when the server ends."


class PassingOn:
    """Holds a task for each session. A sink that fails costs its session nothing: the log says so."""

    def __init__(self, settings: PublishSettings) -> None:
        self._settings = settings
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._places: dict[str, str | None] = {}
        "By session: what tells it from the others, in the names of its streams."

    @property
    def kinds(self) -> list[str]:
        """Names of the sinks, for people who want to know where their events go."""
        asked = {"lsl": self._settings.lsl, "mqtt": self._settings.mqtt, "osc": self._settings.osc}
        return [kind for kind, wanted in asked.items() if wanted]

    def check(self) -> None:
        """Open each sink once, so that what is wrong is said when the server starts.

        Raises ExtraMissing, BadSettings, Unreachable.
        """
        with self._opened(None):
            pass

    def start(self, session: Session) -> None:
        """Pass this session's events on until it ends."""
        if not self.kinds:
            return
        # One session after another keeps the names that recorders know. Of two at once, one has its own.
        place = session.name or (session.id[:8] if None in self._places.values() else None)
        self._places[session.id] = place
        task = asyncio.create_task(self._pass_on(session.log, place), name=f"pass on {session.id[:8]}")
        self._tasks[session.id] = task
        task.add_done_callback(partial(self._forget, session.id))

    async def finish(self) -> None:
        """Wait until the last events of sessions that have just ended are sent."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks.values(), timeout=FINISH_S)
            for task in late:
                task.cancel()

    async def _pass_on(self, log: EventLog, place: str | None) -> None:
        opening = self._opened(place)
        try:
            # A broker may take seconds to answer, and an outlet some milliseconds.
            sinks = await asyncio.to_thread(opening.__enter__)
        except RealtimeError as error:
            logger.error("session %s is not passed on: %s", log.session[:8], error.message)
            return
        try:
            # A reader: a session that somebody records in a laboratory is not idle.
            async with aclosing(log.read()) as lines:
                async for line in lines:
                    if (event := parse(line)) is not None:
                        for sink in sinks:
                            sink.send(event)
        finally:
            await asyncio.to_thread(opening.__exit__, None, None, None)
            n_dropped = sum(sink.n_dropped for sink in sinks)
            if n_dropped:
                logger.warning("%d events of session %s could not be passed on", n_dropped, log.session[:8])

    def _opened(self, place: str | None) -> AbstractContextManager[list[Sink]]:
        asked = self._settings
        return opened(lsl=asked.lsl, mqtt=asked.mqtt, osc=asked.osc, place=place)

    def _forget(self, session_id: str, task: asyncio.Task[None]) -> None:
        del self._tasks[session_id], self._places[session_id]
        if not task.cancelled() and task.exception() is not None:
            logger.error("passing session %s on broke", session_id[:8], exc_info=task.exception())
