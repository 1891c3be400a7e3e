"""For schemathesis: how a generated text becomes the body of an offer, and a session for calls that need one.

A generated id is nobody's, so every answer behind `/sessions/{id}` would be 404: each second call is given a session
that is there, and the secret that opened it.
"""

from __future__ import annotations

import itertools
import os
import urllib.request
from pathlib import Path
from typing import Any

import schemathesis

OFFER = (Path(__file__).parent / "offer.sdp").read_bytes()
calls = itertools.count()
sessions: list[tuple[str, str]] = []
"Id and secret of the one that is open."


def sdp(context: Any, value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")


def before_call(context: Any, case: Any, kwargs: Any) -> None:
    if "id" not in (case.path_parameters or {}) or next(calls) % 2:
        return
    if not sessions:
        sessions.append(_opened())
    session, secret = sessions[0]
    case.path_parameters["id"] = session
    case.headers["Authorization"] = f"Bearer {secret}"
    if case.method.upper() == "DELETE" and case.path == "/sessions/{id}":
        sessions.clear()


# Called, not written as decorators: without the package these have no type that mypy could keep for the functions.
schemathesis.serializer("application/sdp")(sdp)
schemathesis.hook(before_call)


def _opened() -> tuple[str, str]:
    offer = urllib.request.Request(
        f"{os.environ['SERVER_URL']}/whip", OFFER, headers={"Content-Type": "application/sdp"}
    )
    with urllib.request.urlopen(offer) as answer:
        return answer.headers["Location"].removeprefix("/sessions/"), answer.headers["Session-Secret"]
