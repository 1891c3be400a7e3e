"""Tickets: keys that open the events of one session, and nothing else.

    POST /whip                                  201, Session-Secret: SECRET
    POST /sessions/{id}/tickets                 Authorization: Bearer SECRET ─► {"ticket": …, "expires_in_s": 30}
    WS   /sessions/{id}/events?after=SEQ&ticket=TICKET

A browser can put nothing but an address into the request for a WebSocket, and addresses end up in logs, histories and
proxies. So an address holds a ticket that is good for one socket and worthless a moment later. The secret itself is
sent in headers only.

A program that follows a session across lost connections needs a ticket for each socket. It gets them with a lasting
ticket, which whoever opened the session may hand on, and take back:

    POST   /sessions/{id}/tickets?lasting=true  Bearer SECRET  ─► {"ticket": LASTING, "id": "3f…", "expires_in_s": null}
    POST   /sessions/{id}/tickets               Bearer LASTING ─► {"ticket": …, "expires_in_s": 30}
    DELETE /sessions/{id}/tickets/3f…           Bearer SECRET; its sockets are closed
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable

from realtime.errors import TooManyTickets, UnknownTicket
from realtime.recording.settings import Kept

TICKET_S = 30.0
"Seconds within which the socket has to be opened."
MAX_TICKETS = 16
"Unused tickets of one holder. The oldest is dropped for another one."
MAX_LASTING = 16
"Lasting tickets of one session."


class Grant:
    """The right to follow a session, of one holder: its opener, the operator, or whoever has a lasting ticket."""

    def __init__(self, now_s: Callable[[], float], *, of_opener: bool = False) -> None:
        self.of_opener = of_opener
        self.revoked = asyncio.Event()
        self._now_s = now_s
        self._expires_s: dict[bytes, float] = {}
        "Of tickets for one socket, by digest, oldest first. Looking one up takes as long however good a guess is."

    def ticket(self) -> str:
        """A ticket for one socket."""
        while len(self._expires_s) >= MAX_TICKETS:
            del self._expires_s[next(iter(self._expires_s))]
        ticket = secrets.token_urlsafe(24)
        self._expires_s[_digest(ticket)] = self._now_s() + TICKET_S
        return ticket

    def admits(self, ticket: bytes) -> bool:
        """Whether the ticket of that digest is good. It is used up now."""
        return self._expires_s.pop(ticket, 0.0) > self._now_s()


class Opener:
    """What the server knows about whoever opened a session: the secret, and the tickets that were given out."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic, kept: Kept | None = None) -> None:
        self.kept = kept
        "What is recorded of the session."
        self.secret = secrets.token_urlsafe(24)
        "Sent once, with the answer to the offer."
        self.own = Grant(now_s, of_opener=True)
        self.operator = Grant(now_s)
        self._now_s = now_s
        self._lasting: dict[str, tuple[bytes, Grant]] = {}
        "Digest of each lasting ticket and what it grants, by id."

    def is_holder(self, given: str | None) -> bool:
        """Whether that is the secret."""
        return given is not None and hmac.compare_digest(given.encode(), self.secret.encode())

    def grant_of(self, given: str | None) -> Grant | None:
        """What the lasting ticket grants; None if it is none, or was revoked."""
        digest = _digest(given or "")
        return next((grant for known, grant in self._lasting.values() if hmac.compare_digest(known, digest)), None)

    def lasting_ticket(self) -> tuple[str, str]:
        """A ticket that is good until the session ends or it is revoked, and its id. Raises TooManyTickets."""
        if len(self._lasting) >= MAX_LASTING:
            raise TooManyTickets(f"{MAX_LASTING} lasting tickets are out for this session.", "Revoke one of them.")
        ticket, name = secrets.token_urlsafe(24), secrets.token_hex(8)
        self._lasting[name] = _digest(ticket), Grant(self._now_s)
        return ticket, name

    def revoke(self, name: str) -> None:
        """Make that lasting ticket worthless and close its sockets. Raises UnknownTicket."""
        if name not in self._lasting:
            raise UnknownTicket("There is no such lasting ticket.", "It may have been revoked already.")
        _, grant = self._lasting.pop(name)
        grant.revoked.set()

    def revoke_all(self) -> None:
        """Make every lasting ticket worthless."""
        for name in list(self._lasting):
            self.revoke(name)

    def admits(self, ticket: str) -> Grant | None:
        """What a ticket for one socket grants; None if it isn't good. It is used up now."""
        digest = _digest(ticket)
        grants = [self.own, self.operator, *(grant for _, grant in self._lasting.values())]
        return next((grant for grant in grants if grant.admits(digest)), None)


def _digest(ticket: str) -> bytes:
    return hashlib.sha256(ticket.encode()).digest()
