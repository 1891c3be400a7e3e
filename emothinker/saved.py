"""`emothinker.read`: events that were saved as lines of JSON."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from functools import partial
from pathlib import Path

from emothinker.stream import Events
from realtime.errors import BadEvent, BadSettings
from realtime.publish.events import Event
from realtime.publish.parse import parse


def read(path: Path | str) -> Events:
    """The events of a file that `to_jsonl`, `realtime analyze --out` or `realtime watch` wrote.

    The loop over the events raises BadSettings for a file that cannot be read or holds none, and BadEvent for a line
    that is none.
    """
    return Events(partial(_read, path), path)


async def _read(given: Path | str) -> AsyncGenerator[Event]:
    if not isinstance(given, str | os.PathLike):
        raise BadSettings(f"{given!r} is no path of a file.", "Give the name of a file that holds events.")
    path = Path(given)
    try:
        text = await asyncio.to_thread(path.read_text, "utf-8", errors="replace")
    except OSError as error:
        raise BadSettings(f"{path} cannot be read: {error.strerror}.", "Check the path.") from error
    n_events = 0
    # Not splitlines: a mark or a sentence may hold one of the other characters that Unicode calls a line's end.
    for number, line in enumerate(text.split("\n"), start=1):
        try:
            event = parse(line) if line.strip() else None
        except BadEvent as error:
            raise BadEvent(f"{path}, line {number}: {error.message}", error.hint) from error
        if event is not None:
            n_events += 1
            yield event
    if not n_events:
        raise BadSettings(f"{path} holds no events.", "Give a file of lines of JSON, such as `realtime watch` prints.")
