"""What a request says: its body within bounds of size and time, and its parameters."""

from __future__ import annotations

import asyncio

from starlette.requests import ClientDisconnect, Request

from realtime.errors import BadRequest, TooLarge, TooSlow


async def body_of(request: Request, *, limit: int, too_large: TooLarge, within_s: float) -> bytes:
    """The whole body. Raises `too_large` as soon as it has more than `limit` bytes, TooSlow, or BadRequest."""
    body = bytearray()
    try:
        async with asyncio.timeout(within_s):
            async for part in request.stream():
                body += part
                if len(body) > limit:
                    raise too_large
    except TimeoutError as error:
        raise TooSlow("The request did not arrive in time.", "Send it at once.") from error
    except ClientDisconnect as error:
        raise BadRequest("The request broke off.", "Send all of it.") from error
    return bytes(body)


def agrees(request: Request, name: str) -> bool:
    """Whether a parameter is `true`. Raises BadRequest for what is neither `true` nor `false`."""
    given = request.query_params.get(name, "false")
    if given not in ("true", "false"):
        raise BadRequest(f"{name} is {given[:40]!r}.", "Give true, or leave it out.")
    return given == "true"


def after_of(text: str) -> int:
    """The number of the last event that a reader has seen. Raises BadRequest."""
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise BadRequest(f"after is {text[:40]!r}.", "Give the seq of the last event you have seen, or 0.")
    return int(text)
