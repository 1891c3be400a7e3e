"""`emothinker.follow`: the events of a session that runs on a server."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial

from emothinker.stream import Events
from realtime.publish.events import Event
from realtime.publish.parse import parse


def follow(url: str, *, after: int = 0) -> Events:
    """Follow a session from its event number `after` to its end, across lost connections.

    `url` is the session's address with its secret: `http://localhost:8080/sessions/ID#SECRET`. The loop over the events
    raises BadSettings where that is no such address, NotAllowed where the secret is wrong, and Unreachable where there
    is no such session or no server answers for half a minute.
    """
    return Events(partial(_follow, url, after))


async def _follow(url: str, after: int) -> AsyncGenerator[Event]:
    from realtime.commands.watch import follow as lines_of

    async with aclosing(lines_of(url, after=after)) as lines:
        async for line in lines:
            if (event := parse(line)) is not None:
                yield event
