"""Marks: moments that a program names in a session, such as the beginning of a trial.

    POST /sessions/{id}/marks     {"name": "trial", "data": {"number": 3, "condition": "A"}}

A mark comes back as an event at its media time, and is kept wherever the session's other events are.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from realtime.errors import BadMark, BadRequest
from realtime.publish.events import MarkValue

MAX_BYTES = 4_096
MAX_NAME_CHARS = 100
MAX_VALUES = 32
PER_S, BURST = 10.0, 50
"Marks that one session takes: so many at once, then so many a second. They share its log with everything else."
MAX_WHOLE = 2**53
"Whole numbers beyond this lose digits in JavaScript."
EXAMPLE = 'Send {"name": "trial", "data": {"number": 3}}.'


def mark_from(body: bytes) -> tuple[str, Mapping[str, MarkValue]]:
    """Read a request's body. Raises BadRequest if it is no JSON object, BadMark if it cannot go onto the wire."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadRequest("The body is not JSON.", EXAMPLE) from error
    if not isinstance(value, dict):
        raise BadRequest("The body is not a JSON object.", EXAMPLE)
    unknown = sorted(set(value) - {"name", "data"})
    if unknown:
        raise BadMark(f"{unknown[0][:40]!r} is not part of a mark.", "It has name and data.")
    name = value.get("name")
    if name is None:
        raise BadMark("The mark has no name.", EXAMPLE)
    if not isinstance(name, str) or not _is_name(name):
        told = f"{name[:40]!r}" if isinstance(name, str) else "What the mark has as its name"
        raise BadMark(f"{told} cannot be a mark's name.", f"Give a text of 1 to {MAX_NAME_CHARS} characters, one line.")
    return name, _data(value.get("data"))


def _data(value: Any) -> Mapping[str, MarkValue]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadMark("data is no object.", EXAMPLE)
    if len(value) > MAX_VALUES:
        raise BadMark(f"data has {len(value)} values.", f"Send {MAX_VALUES} or fewer.")
    for key, part in value.items():
        if not _is_name(key):
            raise BadMark(f"{key[:40]!r} cannot be a name in data.", f"Use 1 to {MAX_NAME_CHARS} characters, one line.")
        if not _is_plain(part):
            raise BadMark(
                f"data's {key[:40]!r} is no plain value.", "Send text, a number up to 2^53, true, false or null."
            )
    return value


def _is_name(text: str) -> bool:
    return 0 < len(text) <= MAX_NAME_CHARS and text.isprintable() and bool(text.strip())


def _is_plain(value: Any) -> bool:
    match value:
        case bool() | None:
            return True
        case int():
            return abs(value) <= MAX_WHOLE
        case float():
            return math.isfinite(value)
        case str():
            # Half of a surrogate pair is no text, and cannot be sent on as UTF-8.
            return not any(0xD800 <= ord(character) <= 0xDFFF for character in value)
    return False
