"""JSON Schema (2020-12) of every event, derived from the dataclasses in `events.py`; see `/schema/events.json`."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import Any

from realtime.publish.events import VERSION, Between, Event, OneOf

PLAIN: dict[Any, dict[str, Any]] = {
    str: {"type": "string"},
    float: {"type": "number"},
    int: {"type": "integer"},
    bool: {"type": "boolean"},
    types.NoneType: {"type": "null"},
}


@cache
def event_schema(*, strict: bool = False) -> dict[str, Any]:
    """The schema of any event. `strict` also refuses fields it doesn't name: for our own tests, not for readers."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Event of a live session",
        "description": "Fields may be added within version 1; skip those you don't know.",
        "oneOf": [_event(kind, strict) for kind in typing.get_args(Event)],
    }


def _event(kind: Any, strict: bool) -> dict[str, Any]:
    body = _object(kind, strict)
    common = {
        "v": {"const": VERSION},
        "session": {"type": "string", "minLength": 1},
        "seq": {"type": "integer", "minimum": 1, "description": "Without gaps."},
        "t": {"type": "number", "minimum": 0, "description": "Media seconds."},
        "type": {"const": kind.type},
    }
    return body | {
        "title": kind.type,
        "properties": common | body["properties"],
        "required": [*common, *body["required"]],
    }


def _object(kind: Any, strict: bool) -> dict[str, Any]:
    hints = typing.get_type_hints(kind, include_extras=True)
    parts = fields(kind)
    schema: dict[str, Any] = {
        "type": "object",
        "description": inspect.cleandoc(kind.__doc__ or ""),
        "properties": {part.name: _type(hints[part.name], strict) for part in parts},
        "required": [p.name for p in parts if p.default is MISSING and p.default_factory is MISSING],
    }
    if strict:
        schema["additionalProperties"] = False
    return schema


def _type(hint: Any, strict: bool) -> dict[str, Any]:
    if hint in PLAIN:
        return PLAIN[hint]
    if is_dataclass(hint):
        return _object(hint, strict)
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return _type(args[0], strict) | _bounds(args[1])
    if origin is typing.Literal:
        return {"enum": list(args)}
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [_type(part, strict) for part in args]}
    if origin is Mapping:
        return {
            "type": "object",
            "propertyNames": _type(args[0], strict),
            "additionalProperties": _type(args[1], strict),
        }
    if origin is tuple and args[-1] is Ellipsis:
        return {"type": "array", "items": _type(args[0], strict)}
    if origin is tuple:
        parts = [_type(part, strict) for part in args]
        return {"type": "array", "prefixItems": parts, "items": False, "minItems": len(parts)}
    raise TypeError(f"{hint!r} has no JSON Schema here; teach _type about it")


def _bounds(between: Between | OneOf) -> dict[str, Any]:
    if isinstance(between, OneOf):
        return {"enum": list(between.words)}
    return {"minimum": between.low} if between.high is None else {"minimum": between.low, "maximum": between.high}
