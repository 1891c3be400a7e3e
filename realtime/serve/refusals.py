"""What a request is answered with that fails: always a problem body (RFC 9457), whoever refused it."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from realtime.errors import BadRequest, NotFound, RealtimeError, WrongMethod
from realtime.serve.guard import problem


async def _problem_of(request: Request, error: Exception) -> Response:
    assert isinstance(error, RealtimeError)
    return problem(error)


async def _http(request: Request, error: Exception) -> Response:
    """Starlette's own refusals (no such path, wrong method) as problem bodies."""
    assert isinstance(error, HTTPException)
    answer = problem(_refusal(request.url.path, error))
    answer.headers.update(error.headers or {})
    return answer


def _refusal(path: str, error: HTTPException) -> RealtimeError:
    match error.status_code:
        case HTTPStatus.NOT_FOUND:
            return NotFound(f"There is nothing at {path[:200]}.", "docs/api.md and /openapi.json name what there is.")
        case HTTPStatus.METHOD_NOT_ALLOWED:
            return WrongMethod(f"{path[:200]} does not take that method.", "Use one that the header Allow names.")
    return BadRequest(HTTPStatus(error.status_code).description, "docs/api.md says what the server takes.")


async def _broken(request: Request, error: Exception) -> Response:
    # Starlette logs the traceback; the caller only learns that the server failed.
    return problem(RealtimeError("The server failed on this request.", "Try again; the log says why."))


HANDLERS: Mapping[Any, Any] = {RealtimeError: _problem_of, HTTPException: _http, Exception: _broken}
"By the class of what was raised, as Starlette takes them."
