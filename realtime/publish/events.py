"""The wire: every event of a live session, one JSON object each.

`{"v":1,"session":"…","seq":17,"t":12.04,"type":"…", …}`. `t` is in media seconds: for `frame`, `speech` and `cues` the
moment that was seen or heard, for the others the session's media clock when the event was written. `seq` starts at 1
and has no gaps. Fields may be added within version 1; readers skip those they don't know. `schema.py` derives the JSON
Schema from these classes; `tests/fixtures/events.json` holds an example of each, and the page is tested against it too.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Annotated, Any, ClassVar, Literal

from realtime.records import SECTIONS, Box, Reduced

VERSION = 1


@dataclass(frozen=True)
class Between:
    """Bounds of a number on the wire, for the schema."""

    low: float
    high: float | None = None


@dataclass(frozen=True)
class OneOf:
    """The words a text on the wire is one of, for the schema."""

    words: tuple[str, ...]


Share = Annotated[float, Between(0, 1)]
Count = Annotated[int, Between(0)]
Seconds = Annotated[float, Between(0)]
Milliseconds = Annotated[float, Between(0)]
Section = Annotated[str, OneOf(SECTIONS)]


@dataclass(frozen=True)
class FaceBox:
    """One face. A track is a position over time, never an identity."""

    track: Count
    box: Box
    "(x, y, w, h) in 0–1 of the frame."
    score: Share


@dataclass(frozen=True)
class TokenSplit:
    """How structural token selection split the frame."""

    focal: Count
    background: Count
    dropped: Count


@dataclass(frozen=True)
class Patches:
    """The grid that the vision tower sees, and which of its cells the model reads."""

    region: Box
    "What of the frame the grid covers, in 0–1; it may reach beyond the frame's edges."
    rows: Count
    columns: Count
    cells: str
    "Row by row: `f` focal, `k` background kept, `-` background dropped."


@dataclass(frozen=True)
class ModalityConflict:
    """What each modality alone would say, and how far apart the two are."""

    face: Mapping[str, Share]
    voice: Mapping[str, Share]
    score: Share
    "Jensen–Shannon divergence in bits: 0 the same, 1 nothing in common."


@dataclass(frozen=True)
class EmotionAnswer:
    label: str
    "One of the session's labels, or `unsure`."
    intensity: Annotated[str, OneOf(("slight", "moderate", "strong", ""))]
    confidence: Share


@dataclass(frozen=True)
class SessionOpenedEvent:
    """The first event of a session."""

    type: ClassVar = "session.opened"
    model: str
    engine: str
    "Engine in use, with the reason for it."
    labels: tuple[str, ...]


@dataclass(frozen=True)
class SessionClosedEvent:
    """The last event of a session."""

    type: ClassVar = "session.closed"
    reason: str


@dataclass(frozen=True)
class FrameEvent:
    """One sampled frame was looked at."""

    type: ClassVar = "frame"
    faces: tuple[FaceBox, ...]
    tokens: TokenSplit
    brightness: Share
    saturation: Share
    width: Count
    "Pixels, as the camera gave it."
    height: Count
    focal: tuple[Box, ...] = ()
    "Face boxes dilated by the focal margin: what the model looks at untouched."
    patches: Patches | None = None


@dataclass(frozen=True)
class SpeechEvent:
    """Speech began, or ended. At its start `end` is null."""

    type: ClassVar = "speech"
    state: Literal["start", "end"]
    start: Seconds
    end: Seconds | None


@dataclass(frozen=True)
class CuesEvent:
    """What was measured, not generated: of one face in one frame, or of the voice in one stretch of speech."""

    type: ClassVar = "cues"
    face: Mapping[str, float] | None = None
    "`track`, then each cue (FACS wording) with its intensity, 0–1 relative to that track's recent neutral."
    pose: Mapping[Annotated[str, OneOf(("yaw", "pitch", "roll"))], float] | None = None
    "Head pose of that face in degrees; yaw > 0 is turned to the viewer's right."
    voice: Mapping[str, float] | None = None
    "Prosody in physical units: pitch_hz, loudness_db, rate_hz, …"
    relative: Mapping[str, float] | None = None
    "The same, as z-scores against this voice's running baseline in the session."


@dataclass(frozen=True)
class WindowEvent:
    """An analysis of the last seconds begins."""

    type: ClassVar = "window"
    window: Count
    start: Seconds
    end: Seconds
    frames: Count
    speech_s: Seconds
    people: tuple[Count, ...] = ()
    "Tracks of the people whom the chain of this window calls Person A, Person B, … in that order."
    query: str | None = None
    "The question asked of this window; null is the default one."
    labels: tuple[str, ...] = ()
    "The labels to choose from in this window."


@dataclass(frozen=True)
class LabelEvent:
    """A calibrated distribution over the labels: `fast` before the chain, `chain` after it."""

    type: ClassVar = "label"
    window: Count
    label: str
    probabilities: Mapping[str, Share]
    source: Literal["fast", "chain"]
    conflict: ModalityConflict | None


@dataclass(frozen=True)
class ReasonDeltaEvent:
    """Newly written words of one section of the chain."""

    type: ClassVar = "reason.delta"
    window: Count
    section: Section
    text: str


@dataclass(frozen=True)
class ReasonDoneEvent:
    """The chain of one window is complete."""

    type: ClassVar = "reason.done"
    window: Count
    sections: Mapping[Section, str]
    answer: EmotionAnswer
    timings_ms: Mapping[str, Milliseconds] = field(default_factory=dict)
    """Wall-clock milliseconds: `label`, `first_word` and `total` count from the moment the window was due (speech
    ended, or four seconds were over); the others are stages."""


@dataclass(frozen=True)
class LagEvent:
    """How far behind we are, and what was skipped so far in this session."""

    type: ClassVar = "lag"
    seconds: Seconds
    "Media seconds that the oldest unanswered frame, speech or window is old."
    skipped_frames: Count
    skipped_windows: Count
    reduced: Reduced = "nothing"
    """What the session does without until the machine keeps up again, the furthest step: `chains` wait, then no
    `windows` in quiet moments, then every other of the `frames`."""


@dataclass(frozen=True)
class ErrorEvent:
    """Something a person can do something about, or that it is over. The session goes on unless it is closed."""

    type: ClassVar = "error"
    code: str
    message: str
    hint: str
    over: bool = False
    "Whether this says that the state named by `code` has ended."


Event = (
    SessionOpenedEvent
    | SessionClosedEvent
    | FrameEvent
    | SpeechEvent
    | CuesEvent
    | WindowEvent
    | LabelEvent
    | ReasonDeltaEvent
    | ReasonDoneEvent
    | LagEvent
    | ErrorEvent
)


def encode(event: Event, *, session: str, seq: int, at_s: float) -> str:
    """The event as one line of JSON. Raises ValueError for a number that JSON has no word for."""
    common = {"v": VERSION, "session": session, "seq": seq, "t": round(at_s, 3), "type": event.type}
    return json.dumps(common | _plain(event), ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _plain(value: Any) -> Any:
    match value:
        case float():
            # Six decimals keep a distribution's sum within 1e-5 of 1 and a line short.
            return round(value, 6) if math.isfinite(value) else value
        case str() | int() | None:
            return value
        case Mapping():
            return {str(key): _plain(part) for key, part in value.items()}
        case tuple() | list():
            return [_plain(part) for part in value]
        case _ if is_dataclass(value):
            return {part.name: _plain(getattr(value, part.name)) for part in fields(value)}
    # NumPy scalars: what measured them needs no conversion of its own.
    return _plain(value.item())
