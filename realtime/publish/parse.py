"""Reads a line of the wire back into the event that it was written from: the reverse of `events.encode`.

Types of events and fields that this version doesn't know are skipped, as the wire asks of its readers.
"""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import Any

from realtime.errors import BadEvent
from realtime.publish.events import VERSION, Event, MarkValue

KINDS: dict[str, Any] = {kind.type: kind for kind in typing.get_args(Event)}
HINT = "Read events of `realtime analyze`, of a session's events address, or of a file saved from either."

Reader = Callable[[Any], Any]


def parse(line: str | bytes) -> Event | None:
    """Return the event that a line of JSON holds, with its `session`, `seq` and `t`; None for a type not known here.

    Raises BadEvent for what is no event of this version of the wire.
    """
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadEvent("A line of the events is not JSON.", HINT) from error
    if not isinstance(value, dict) or value.get("v") != VERSION:
        raise BadEvent(f"A line is no event of version {VERSION} of the wire.", HINT)
    name = value.get("type")
    if not isinstance(name, str):
        raise BadEvent("A line is an event without a type.", HINT)
    kind = KINDS.get(name)
    if kind is None:
        return None
    try:
        event = _reader(kind)(value)
        for common, read in (("session", _text), ("seq", _whole), ("t", _number)):
            # The class is frozen for those who read it; it is being made here.
            object.__setattr__(event, common, read(value[common]))
    except (KeyError, TypeError, ValueError) as error:
        raise BadEvent(f"An event of the type {kind.type} does not have the fields of one: {error}.", HINT) from error
    return typing.cast(Event, event)


@cache
def _reader(hint: Any) -> Reader:
    """What turns a value of JSON into one of the type `hint`. Raises TypeError, ValueError or KeyError on others."""
    if is_dataclass(hint):
        return _object_reader(typing.cast("type[Any]", hint))
    if hint in _PLAIN:
        return _PLAIN[hint]
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return _reader(args[0])
    if origin is typing.Literal:
        return _word_reader(args)
    if origin in (typing.Union, types.UnionType):
        (given,) = (part for part in args if part is not types.NoneType)
        inner = _reader(given)
        return lambda value: None if value is None else inner(value)
    if origin is Mapping:
        read = _reader(args[1])
        return lambda value: {str(key): read(part) for key, part in _checked(value, dict).items()}
    if origin is tuple and args[-1] is Ellipsis:
        each = _reader(args[0])
        return lambda value: tuple(each(part) for part in _checked(value, list))
    if origin is tuple:
        readers = tuple(map(_reader, args))
        return lambda value: tuple(read(part) for read, part in zip(readers, _checked(value, list), strict=True))
    raise TypeError(f"{hint!r} cannot be read here; teach _reader about it")


def _object_reader(kind: type[Any]) -> Reader:
    hints = typing.get_type_hints(kind, include_extras=True)
    readers = {part.name: _reader(hints[part.name]) for part in fields(kind)}
    needed = {part.name for part in fields(kind) if part.default is MISSING and part.default_factory is MISSING}

    def read(value: Any) -> Any:
        given = _checked(value, dict)
        missing = needed - given.keys()
        if missing:
            raise KeyError(*sorted(missing))
        return kind(**{name: reader(given[name]) for name, reader in readers.items() if name in given})

    return read


def _word_reader(words: tuple[Any, ...]) -> Reader:
    def read(value: Any) -> Any:
        # A word added later is passed on: the sender is newer than this reader.
        return _text(value) if all(isinstance(word, str) for word in words) else value

    return read


def _checked(value: Any, kind: type[Any]) -> Any:
    if not isinstance(value, kind):
        raise TypeError(f"expected a {kind.__name__}, got {value!r:.40}")
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"expected a number, got {value!r:.40}")
    return float(value)


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"expected a whole number, got {value!r:.40}")
    return value


def _text(value: Any) -> str:
    return str(_checked(value, str))


def _added(value: Any) -> MarkValue:
    if value is not None and not isinstance(value, str | int | float | bool):
        raise TypeError(f"expected text, a number, true, false or null, got {value!r:.40}")
    return value


_PLAIN: dict[Any, Reader] = {
    # A whole number stays one: programs count with it.
    MarkValue: _added,
    str: _text,
    float: _number,
    int: _whole,
    bool: lambda value: _checked(value, bool),
}
