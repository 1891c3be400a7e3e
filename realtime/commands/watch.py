"""`realtime watch URL#SECRET`: prints a live session, across lost connections: JSON lines, or words at a terminal.

It shows what any client has to do: keep the `seq` of the last event, get a ticket with the secret that came with the
answer to the offer, and connect again with `after=` that number. Then no event is lost.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from http import HTTPStatus
from urllib.error import HTTPError
from urllib.parse import urlsplit, urlunsplit
from urllib.request import ProxyHandler, Request, build_opener

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.frames import CloseCode

from realtime.commands.readable import printer
from realtime.errors import BadSettings, NotAllowed, Unreachable
from realtime.publish.open_sinks import opened
from realtime.publish.parse import parse

GIVE_UP_AFTER = 6
"Failed attempts in a row, which take about half a minute."
FIRST_WAIT_S = 1.0
"Before the second attempt. Each later wait is twice as long, up to 8 s."
CLOSED_WITHIN_S = 0.5
"""For a loop that is left early. What it has not read stands before the server's answer, so it would wait for nothing;
by websockets' usual 10 s a `break` hung for as long."""
ADDRESS_HINT = (
    "It looks like http://localhost:8080/sessions/ID#SECRET, in quotes. The page makes one under “Follow from a "
    "program”; a sender finds both parts in the answer to its offer, in Location and Session-Secret."
)


async def watch(
    url: str,
    *,
    after: int = 0,
    lsl: bool = False,
    mqtt: str | None = None,
    osc: str | None = None,
    in_words: bool = False,
) -> None:
    """Print the events after number `after` until the session has closed, and send them to the sinks asked for.

    They are printed as lines of JSON, or as what a person reads of them (`in_words`).
    Raises as `follow` and `open_sinks.opened` do.
    """
    write = printer(sys.stdout, in_words=in_words)
    with opened(lsl=lsl, mqtt=mqtt, osc=osc) as sinks:
        async with aclosing(follow(url, after=after, on_link=_say_link)) as lines:
            async for line in lines:
                write(line)
                if sinks and (event := parse(line)) is not None:
                    for sink in sinks:
                        sink.send(event)


def _say_link(connected: bool) -> None:
    words = "connected again." if connected else "no connection; trying again for half a minute …"
    print(f"realtime: {words}", file=sys.stderr)


async def follow(
    url: str, *, after: int = 0, on_link: Callable[[bool], None] = lambda connected: None
) -> AsyncGenerator[str]:
    """Yield the lines after number `after` until the session has closed: each event once, in order.

    `on_link` is called with False once there is no connection, and with True once there is one again; the attempts in
    between are not told. Raises BadSettings for what is no address with a secret, Unreachable if there is no such
    session, or no server for half a minute, and NotAllowed if the secret is wrong.
    """
    address, secret = events_url(url), urlsplit(url).fragment
    if not secret:
        raise BadSettings("The address has no secret after a #.", ADDRESS_HINT)
    if not isinstance(after, int) or after < 0:
        raise BadSettings(f"The number of an event is {after!r}.", "Give a whole number from 0 on, such as a `seq`.")
    n_failed = 0
    connected = True
    while n_failed < GIVE_UP_AFTER:
        if n_failed:
            await asyncio.sleep(min(FIRST_WAIT_S * 2 ** (n_failed - 1), 8.0))
        try:
            ticket = await asyncio.to_thread(ask_for_ticket, address, secret)
            url = f"{address}?ticket={ticket}&after={after}"
            async with connect(url, max_size=1 << 20, close_timeout=CLOSED_WITHIN_S) as socket:
                n_failed = 0
                if not connected:
                    connected = True
                    on_link(True)
                async for message in socket:
                    line = message if isinstance(message, str) else message.decode()
                    after = json.loads(line)["seq"]
                    yield line
            if socket.close_code == CloseCode.NORMAL_CLOSURE:
                # The server closed the socket: the session is over.
                return
            n_failed = 1
        except HTTPError as error:
            error.close()
            if error.code == HTTPStatus.NOT_FOUND:
                raise Unreachable(
                    f"{urlsplit(url)._replace(fragment='').geturl()} is no session of that server.",
                    "It may have ended.",
                ) from error
            if error.code == HTTPStatus.UNAUTHORIZED:
                raise NotAllowed(
                    "The session's secret, or the ticket in its place, is missing, wrong or revoked.",
                    "Add it to the address: …/sessions/ID#SECRET, as the answer's Session-Secret says.",
                ) from error
            n_failed += 1
        except (ConnectionClosed, InvalidHandshake, OSError, TimeoutError):
            n_failed += 1
        if connected:
            connected = False
            on_link(False)
    raise Unreachable(
        f"{urlsplit(url).netloc} does not answer.", "Is the server running? Its first line names the address."
    )


def ask_for_ticket(address: str, secret: str) -> str:
    """A ticket for the event socket at `address`. Blocks. Raises HTTPError when the server gives none."""
    # ws becomes http, wss https.
    tickets = address.replace("ws", "http", 1).removesuffix("/events") + "/tickets"
    request = Request(tickets, method="POST", headers={"Authorization": f"Bearer {secret}"})
    # Never through a proxy of the environment, which would see the secret.
    with build_opener(ProxyHandler({})).open(request, timeout=10) as answer:
        return str(json.load(answer)["ticket"])


def events_url(url: str) -> str:
    """The address of a session's events, from any address of the session. Raises BadSettings."""
    # A program may give anything.
    if not isinstance(url, str):
        raise BadSettings(f"{url!r} is not a session's address.", ADDRESS_HINT)
    parts = urlsplit(url if "//" in url else f"http://{url}")
    scheme = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}.get(parts.scheme)
    path = parts.path.rstrip("/").removesuffix("/events")
    if scheme is None or not parts.netloc or "/sessions/" not in path:
        raise BadSettings(f"{url} is not a session's address.", ADDRESS_HINT)
    return urlunsplit((scheme, parts.netloc, f"{path}/events", "", ""))
