"""Who may do what: the keys that a request brings, against those that are known.

    token            opens sessions, and ends them
    operator token   the same; lists sessions, follows, marks and asks them
    secret           all of one session: whoever opened it
    lasting ticket   follows one session

Where the operator gave no token, whoever reaches the server may open sessions. Nobody lists them then, unless there is
an operator token.
"""

from __future__ import annotations

import hmac
from weakref import WeakKeyDictionary

from starlette.requests import HTTPConnection, Request

from realtime.errors import NotAllowed
from realtime.serve.guard import bearer
from realtime.serve.sessions import Sessions
from realtime.serve.tickets import Grant, Opener
from realtime.session import Session
from realtime.settings import ServerSettings


class Access:
    """Looks up the session of a request, and checks that the request may have it."""

    def __init__(self, sessions: Sessions, server: ServerSettings) -> None:
        self.openers: WeakKeyDictionary[Session, Opener] = WeakKeyDictionary()
        "The opener of every session whose events can still be read."
        self._sessions = sessions
        self._server = server

    def may_open(self, request: HTTPConnection) -> bool:
        return self._opens(bearer(request))

    def check_open(self, request: HTTPConnection, *, key: str | None = None) -> None:
        """Raises NotAllowed. `key` is what the request brings in another header than that of bearer tokens."""
        if not self._opens(key or bearer(request)):
            raise NotAllowed("The token is missing or wrong.", "Send it as: Authorization: Bearer TOKEN")

    def is_operator(self, request: HTTPConnection) -> bool:
        wanted = self._server.operator_token
        return wanted is not None and _same(bearer(request), wanted)

    def check_operator(self, request: HTTPConnection) -> None:
        """Raises NotAllowed."""
        if self._server.operator_token is None:
            raise NotAllowed(
                "This server has no operator token, so nobody lists its sessions.",
                "Start it with --operator-token-file FILE.",
            )
        if not self.is_operator(request):
            raise NotAllowed("Only the operator may do this.", "Send the operator token as a bearer token.")

    def held(self, request: Request) -> Session:
        """The session of the path, for whoever opened it. Raises UnknownSession, NotAllowed."""
        session = self._session(request)
        if not self._is_holder(request, session):
            raise NotAllowed("Only who opened a session may do this.", "Send its Session-Secret as a bearer token.")
        return session

    def steered(self, request: Request) -> Session:
        """The session of the path, for whoever opened it or the operator. Raises UnknownSession, NotAllowed."""
        session = self._session(request)
        if not (self._is_holder(request, session) or self.is_operator(request)):
            raise NotAllowed(
                "Only who opened a session, or the operator, may do this.",
                "Send its Session-Secret or the operator token as a bearer token.",
            )
        return session

    def ended(self, request: Request) -> Session:
        """The session of the path, for whoever may end it. Raises UnknownSession, NotAllowed."""
        session = self._session(request)
        # WHIP senders end a session with the token they opened it with; they do not know the secret.
        if not self._is_holder(request, session):
            self.check_open(request)
        return session

    def followed(self, request: Request) -> tuple[Session, Grant]:
        """The session of the path, for whoever may read its events. Raises UnknownSession, NotAllowed."""
        session = self._session(request)
        opener = self.openers[session]
        if opener.is_holder(bearer(request)):
            return session, opener.own
        if self.is_operator(request):
            return session, opener.operator
        if grant := opener.grant_of(bearer(request)):
            return session, grant
        raise NotAllowed(
            "The session's secret or the lasting ticket is missing, wrong or revoked.",
            "Ask whoever opened the session for another one, and send it as a bearer token.",
        )

    def _opens(self, given: str | None) -> bool:
        token, operator_token = self._server.token, self._server.operator_token
        return token is None or _same(given, token) or (operator_token is not None and _same(given, operator_token))

    def _session(self, request: Request) -> Session:
        return self._sessions.get(request.path_params["id"])

    def _is_holder(self, request: Request, session: Session) -> bool:
        return self.openers[session].is_holder(bearer(request))


def _same(given: str | None, wanted: str) -> bool:
    return hmac.compare_digest((given or "").encode(), wanted.encode())
