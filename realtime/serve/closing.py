"""Closes a WebSocket whose program may have stopped reading."""

from __future__ import annotations

import asyncio
import logging

from starlette.websockets import WebSocket, WebSocketDisconnect

logger = logging.getLogger(__name__)

CLOSE_S = 1.0


async def close(socket: WebSocket, code: int, reason: str) -> None:
    """Close the socket; give up after `CLOSE_S`. Whoever holds it has to leave its handler then.

    A program that takes nothing does not take the closing frame either. Without a limit, the place of its session was
    held until the keepalive gave the connection up, 40 s later.
    """
    try:
        async with asyncio.timeout(CLOSE_S):
            await socket.close(code, reason)
    except (TimeoutError, WebSocketDisconnect, RuntimeError):
        logger.info("a reader was cut off")
