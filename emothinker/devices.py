"""`emothinker.live`: this machine's camera and microphone as events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any

from emothinker.recordings import engine_of, settings_of
from emothinker.stream import Events
from realtime.publish.events import Event
from realtime.publish.parse import parse


def live(
    camera: int | str | None = 0,
    microphone: str | None = "default",
    *,
    question: str | None = None,
    labels: Sequence[str] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Events:
    """Analyse this machine's camera and microphone until the loop is left. Tell those who are seen before it begins.

    `camera` is a number or the system's name of one, `microphone` a name; None does without. A loop that is too slow
    misses events, and gets an ErrorEvent with the code `events_lost` in their place. `question`, `labels` and
    `settings` are those of `analyze`.

    The loop over the events raises DeviceMissing where a device is missing or in use, and what `analyze` raises.
    """
    return Events(partial(_live, camera, microphone, question, labels, settings))


async def _live(
    camera: int | str | None,
    microphone: str | None,
    query: str | None,
    labels: Sequence[str] | None,
    given: Mapping[str, Any] | None,
) -> AsyncGenerator[Event]:
    from realtime.commands.analyze import analysis_of, asked_before_loading
    from realtime.ingest.devices import DeviceSource
    from realtime.words.transcriber import transcribing

    settings = settings_of(given)
    question = await asyncio.to_thread(asked_before_loading, query, labels, settings.model)
    opening = partial(DeviceSource.open, ingest=settings.ingest, speech=settings.speech)
    # Opened before the model loads, so that a missing one is said at once; it gives nothing until it is read.
    source = await asyncio.to_thread(opening, camera, microphone)
    engine = await asyncio.to_thread(engine_of, settings.model, settings.faces.engine)
    async with (
        transcribing(settings.speech, where="thread") as transcriber,
        aclosing(analysis_of(source, engine, settings, question, transcriber)) as lines,
    ):
        async for line in lines:
            if (event := parse(line)) is not None:
                yield event
