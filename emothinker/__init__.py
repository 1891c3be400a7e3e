"""EmoThinker in a program of your own: what a face and a voice show, as typed events.

    for event in emothinker.analyze("talk.mp4"):                    a recording; "sample" is one of ours
    for event in emothinker.follow("http://…/sessions/ID#SECRET"):  a session of a running server
    for event in emothinker.live(camera=0, microphone="default"):   this machine's camera and microphone
    for event in emothinker.read("events.jsonl"):                   events that were saved

Each of them takes `async for` too, and becomes a table with `to_pandas()` or `to_parquet()`, or a file
for ELAN, Praat or Lab Streaming Layer with `to_file()`. Events are the classes of
the wire (`realtime.publish.events`). Errors are subclasses of `emothinker.Error`; each says what to do next.

Importing the package loads nothing: what a name needs is imported when the name is first used.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

# onnxruntime 1.31 reports its use to its makers unless told before it is loaded. So does `realtime`, whose file another
# distribution may have overwritten.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

if TYPE_CHECKING:
    from emothinker.devices import live
    from emothinker.recordings import analyze
    from emothinker.saved import read
    from emothinker.sessions import follow
    from emothinker.stream import Events, TableName, to_pandas
    from realtime.errors import RealtimeError as Error
    from realtime.face_actions import BLENDSHAPES, FACS, blendshapes
    from realtime.publish.events import (
        ClockEvent,
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
        SummaryEvent,
        TokenSplit,
        WindowEvent,
        WordsEvent,
    )
    from realtime.publish.parse import parse

__all__ = [
    "BLENDSHAPES",
    "FACS",
    "ClockEvent",
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
    "SummaryEvent",
    "TableName",
    "TokenSplit",
    "WindowEvent",
    "WordsEvent",
    "analyze",
    "blendshapes",
    "follow",
    "live",
    "parse",
    "read",
    "to_pandas",
]

_HOMES = {
    "BLENDSHAPES": ("realtime.face_actions", "BLENDSHAPES"),
    "FACS": ("realtime.face_actions", "FACS"),
    "blendshapes": ("realtime.face_actions", "blendshapes"),
    "Error": ("realtime.errors", "RealtimeError"),
    "Events": ("emothinker.stream", "Events"),
    "TableName": ("emothinker.stream", "TableName"),
    "analyze": ("emothinker.recordings", "analyze"),
    "follow": ("emothinker.sessions", "follow"),
    "live": ("emothinker.devices", "live"),
    "parse": ("realtime.publish.parse", "parse"),
    "read": ("emothinker.saved", "read"),
    "to_pandas": ("emothinker.stream", "to_pandas"),
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
