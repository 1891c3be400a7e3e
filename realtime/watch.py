"""`realtime watch URL`: a live session's events as JSON lines, across lost connections.

A client in a few lines: keep the `seq` of the last event, connect again with `after=` that number, and nothing is lost.
"""

from __future__ import annotations

import asyncio
import json
import sys
from urllib.parse import urlsplit, urlunsplit

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from realtime.errors import BadSettings, Unreachable

GIVE_UP_AFTER = 6
"Attempts in a row, about half a minute."


async def watch(url: str, *, after: int = 0) -> None:
    """Until the session has closed. Raises Unreachable when there is none, or no server for half a minute."""
    address = events_url(url)
    n_failed = 0
    while n_failed < GIVE_UP_AFTER:
        if n_failed:
            await asyncio.sleep(min(0.5 * 2**n_failed, 8.0))
        try:
            async with connect(f"{address}?after={after}", max_size=1 << 20) as socket:
                n_failed = 0
                async for line in socket:
                    event = json.loads(line)
                    print(line if isinstance(line, str) else line.decode(), flush=True)
                    after = event["seq"]
                # Closed in order: the session is over.
                return
        except InvalidStatus as error:
            if error.response.status_code == 404:
                raise Unreachable(f"{url} is no session of that server.", "It may have ended.") from error
            n_failed += 1
        except (ConnectionClosed, InvalidHandshake, OSError, TimeoutError):
            n_failed += 1
        if n_failed:
            print(f"realtime: no connection, trying again after event {after} …", file=sys.stderr)
    raise Unreachable(f"{url} does not answer.", "Is the server running? Its first line names the address.")


def events_url(url: str) -> str:
    """The address of a session's events from any of the addresses it goes by. Raises BadSettings."""
    parts = urlsplit(url if "//" in url else f"http://{url}")
    scheme = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}.get(parts.scheme)
    path = parts.path.rstrip("/").removesuffix("/events")
    if scheme is None or not parts.netloc or "/sessions/" not in path:
        raise BadSettings(f"{url} is not a session's address.", "It looks like http://localhost:8080/sessions/ID.")
    return urlunsplit((scheme, parts.netloc, f"{path}/events", "", ""))
