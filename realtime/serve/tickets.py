"""Tickets for event sockets. Whoever opened a session may read its events; a ticket is good for one socket.

    POST /whip                      201, Session-Secret: SECRET
    POST /sessions/{id}/tickets     Authorization: Bearer SECRET ─► {"ticket": …, "expires_in_s": 30}
    WS   /sessions/{id}/events?after=SEQ&ticket=TICKET

A browser can put nothing but an address into the request for a WebSocket, and addresses end up in logs, histories and
proxies. So an address holds a ticket, which is worthless a moment later. The secret itself is sent in headers only.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable

from realtime.recording.settings import Kept

TICKET_S = 30.0
"Seconds within which the socket has to be opened."
MAX_TICKETS = 16
"Unused tickets of one session. The oldest is dropped for another one."


class Opener:
    """What the server knows about whoever opened a session: the secret, and the tickets that are not used yet."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic, kept: Kept | None = None) -> None:
        self.kept = kept
        "What is recorded of the session."
        self.secret = secrets.token_urlsafe(24)
        "Sent once, with the answer to the offer."
        self._now_s = now_s
        self._expires_s: dict[bytes, float] = {}
        "By digest, oldest first. Looking one up takes the same time however much of a guess is right."

    def is_holder(self, given: str | None) -> bool:
        return given is not None and hmac.compare_digest(given.encode(), self.secret.encode())

    def ticket(self) -> str:
        while len(self._expires_s) >= MAX_TICKETS:
            del self._expires_s[next(iter(self._expires_s))]
        ticket = secrets.token_urlsafe(24)
        self._expires_s[_digest(ticket)] = self._now_s() + TICKET_S
        return ticket

    def admits(self, ticket: str) -> bool:
        """Whether the ticket is good. It is used up now."""
        return self._expires_s.pop(_digest(ticket), 0.0) > self._now_s()


def _digest(ticket: str) -> bytes:
    return hashlib.sha256(ticket.encode()).digest()
