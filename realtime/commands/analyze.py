"""`realtime analyze`: runs a session over a recording, as fast as the machine can; events as JSON lines."""

from __future__ import annotations

import asyncio
from typing import TextIO

from realtime.engine.local import LocalEngine
from realtime.engine.worker import ModelWorker
from realtime.observe.metrics import Metrics
from realtime.roles import Model, Source
from realtime.session import Session
from realtime.settings import Settings


async def analyze(source: Source, model: Model, settings: Settings, out: TextIO) -> None:
    """Write every event to `out` as it comes. Raises what the source raises, after the events that tell it."""
    metrics = Metrics()
    with ModelWorker(metrics) as worker:
        session = Session(source=source, engine=LocalEngine(model, worker), settings=settings, metrics=metrics)
        running = asyncio.create_task(session.run(), name="session")
        try:
            async for line in session.log.read():
                out.write(line + "\n")
                out.flush()
        finally:
            # Whoever stops reading stops the session.
            session.stop("Nobody reads the events any more.")
            await running
