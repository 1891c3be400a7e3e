"""EmoThinker in a program of your own: what a face and a voice show, as typed events.

    for event in emothinker.analyze("talk.mp4"):                    a recording
    for event in emothinker.follow("http://…/sessions/ID#SECRET"):  a session of a running server

Each of them takes `async for` too, and becomes a table with `to_pandas()` or `to_parquet()`. Events are the classes of
the wire (`realtime.publish.events`). Errors are subclasses of `emothinker.Error`; each says what to do next.

Importing the package loads nothing: what a name needs is imported when the name is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emothinker.recordings import analyze
    from emothinker.sessions import follow
    from emothinker.stream import Events, TableName
    from realtime.errors import RealtimeError as Error
    from realtime.publish.events import (
        CuesEvent,
        EmotionAnswer,
        ErrorEvent,
        Event,
        FaceBox,
        FrameEvent,
        LabelEvent,
        LagEvent,
        MarkEvent,
        ModalityConflict,
        Patches,
        ReasonDeltaEvent,
        ReasonDoneEvent,
        SessionClosedEvent,
        SessionOpenedEvent,
        SpeechEvent,
        TokenSplit,
        WindowEvent,
    )
    from realtime.publish.parse import parse

__all__ = [
    "CuesEvent",
    "EmotionAnswer",
    "Error",
    "ErrorEvent",
    "Event",
    "Events",
    "FaceBox",
    "FrameEvent",
    "LabelEvent",
    "LagEvent",
    "MarkEvent",
    "ModalityConflict",
    "Patches",
    "ReasonDeltaEvent",
    "ReasonDoneEvent",
    "SessionClosedEvent",
    "SessionOpenedEvent",
    "SpeechEvent",
    "TableName",
    "TokenSplit",
    "WindowEvent",
    "analyze",
    "follow",
    "parse",
]

_HOMES = {
    "Error": ("realtime.errors", "RealtimeError"),
    "Events": ("emothinker.stream", "Events"),
    "TableName": ("emothinker.stream", "TableName"),
    "analyze": ("emothinker.recordings", "analyze"),
    "follow": ("emothinker.sessions", "follow"),
    "parse": ("realtime.publish.parse", "parse"),
}
"Where each name is defined; those that are not here are events."


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'emothinker' has no attribute {name!r}")
    home, defined = _HOMES.get(name, ("realtime.publish.events", name))
    value = globals()[name] = getattr(import_module(home), defined)
    return value


def __dir__() -> list[str]:
    return __all__
