"""The JSON Schema (2020-12) of every event, derived from the dataclasses in `events.py`; see `/schema/events.json`.

Each dataclass becomes a definition with its name. Its docstring and the strings beneath its fields describe it.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from typing import Any

from realtime.face_actions import BLENDSHAPES, FACS
from realtime.field_docs import field_docs
from realtime.publish.events import VERSION, Between, CuesEvent, Event, Matches, OneOf, Section, as_json
from realtime.records import Box, Reduced

Schema = dict[str, Any]
PLAIN: dict[Any, Schema] = {
    str: {"type": "string"},
    float: {"type": "number"},
    int: {"type": "integer"},
    bool: {"type": "boolean"},
    types.NoneType: {"type": "null"},
}
NAMED: dict[Any, str] = {Box: "Box", Section: "Section", Reduced: "Reduced"}
"Aliases that get a definition of their own."
COMMON: Schema = {
    "v": {"const": VERSION, "description": "Version of the wire format."},
    "session": {"type": "string", "minLength": 1, "description": "The session's id."},
    "seq": {
        "type": "integer",
        "minimum": 1,
        "description": "Number of the event in its session, from 1, without gaps.",
    },
    "t": {"type": "number", "minimum": 0, "description": "Time of the event in media seconds."},
}
"The fields of every event, besides its `type`."


@cache
def event_schema(*, strict: bool = False) -> Schema:
    """Return the schema of any event. `strict`, for tests only, also refuses fields that it doesn't name."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Event of a live session",
        "description": "Fields may be added within version 1; skip those you don't know.",
        "oneOf": [{"$ref": f"#/$defs/{kind.__name__}"} for kind in typing.get_args(Event)],
        "$defs": definitions(strict=strict),
    }


def definitions(at: str = "#/$defs/", *, strict: bool = False) -> dict[str, Schema]:
    """Return the schema of each event and of each type in events, by name, every one after those it refers to.

    `at` is what references begin with.
    """
    writer = _Writer(at, strict)
    for kind in typing.get_args(Event):
        writer.define_event(kind)
    return writer.found


class _Writer:
    """Turns type hints into schemas and keeps a definition of each named type it meets."""

    def __init__(self, at: str, strict: bool) -> None:
        self.found: dict[str, Schema] = {}
        self._at = at
        self._strict = strict

    def define_event(self, kind: Any) -> None:
        body = self._object(kind)
        common = COMMON | {"type": {"const": kind.type}}
        body["properties"] = common | body["properties"]
        if kind is CuesEvent:
            # JSON Schema lets a schema hold what it does not know; programs look the names up here.
            body["properties"]["face"]["x-cues"] = {
                cue: {"facs": FACS[cue], "blendshapes": list(names)} for cue, names in BLENDSHAPES.items()
            }
        body["required"] = [*common, *body["required"]]
        self.found[kind.__name__] = body

    def _object(self, kind: Any) -> Schema:
        hints = typing.get_type_hints(kind, include_extras=True)
        docs = field_docs(kind)
        schema: Schema = {
            "type": "object",
            "description": inspect.cleandoc(kind.__doc__),
            "properties": {
                part.name: self._type(hints[part.name]) | {"description": docs[part.name]} | _default(part)
                for part in fields(kind)
            },
            "required": [part.name for part in fields(kind) if not _default(part)],
        }
        return schema | {"additionalProperties": False} if self._strict else schema

    def _type(self, hint: Any) -> Schema:
        if hint in NAMED:
            return self._reference(NAMED[hint], lambda: self._plain(hint))
        if is_dataclass(hint):
            return self._reference(typing.cast(type, hint).__name__, lambda: self._object(hint))
        return self._plain(hint)

    def _reference(self, name: str, define: typing.Callable[[], Schema]) -> Schema:
        if name not in self.found:
            self.found[name] = define()
        return {"$ref": self._at + name}

    def _plain(self, hint: Any) -> Schema:
        if hint in PLAIN:
            return PLAIN[hint]
        origin, args = typing.get_origin(hint), typing.get_args(hint)
        if origin is typing.Annotated:
            return self._type(args[0]) | _limits(args[1])
        if origin is typing.Literal:
            return {"enum": list(args)}
        if origin in (typing.Union, types.UnionType):
            return {"anyOf": [self._type(part) for part in args]}
        if origin is Mapping:
            keys, values = (self._type(part) for part in args)
            return {"type": "object", "propertyNames": keys, "additionalProperties": values}
        if origin is tuple and args[-1] is Ellipsis:
            return {"type": "array", "items": self._type(args[0])}
        if origin is tuple:
            parts = [self._type(part) for part in args]
            return {"type": "array", "prefixItems": parts, "items": False, "minItems": len(parts)}
        raise TypeError(f"{hint!r} has no JSON Schema here; teach _plain about it")


def _default(part: Field[Any]) -> Schema:
    if part.default_factory is not MISSING:
        return {"default": as_json(part.default_factory())}
    return {} if part.default is MISSING else {"default": as_json(part.default)}


def _limits(limits: Between | OneOf | Matches) -> Schema:
    match limits:
        case OneOf(words):
            return {"enum": list(words)}
        case Matches(pattern):
            return {"pattern": pattern}
        case Between(low, None):
            return {"minimum": low}
        case Between(low, high):
            return {"minimum": low, "maximum": high}
