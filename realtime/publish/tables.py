"""Turns events into the tables of a study; docs/studies.md describes their columns.

`seconds` is wide: a row for each second and person. `windows` is long: a row for each label of each label event.
`reasons` has a row for each finished chain, `marks` one for each mark, `words` one for each stretch of speech that was
written down.
"""

from __future__ import annotations

import itertools
import json
import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from operator import itemgetter
from statistics import fmean
from typing import Literal, get_args

from realtime.errors import BadSettings
from realtime.publish.events import (
    ClockEvent,
    CuesEvent,
    Event,
    FaceBox,
    FrameEvent,
    LabelEvent,
    MarkEvent,
    PersonLabel,
    ReasonDoneEvent,
    SessionOpenedEvent,
    SpeechEvent,
    WindowEvent,
    WordsEvent,
)
from realtime.records import SECTIONS

TableName = Literal["seconds", "windows", "reasons", "marks", "words"]
TABLES: tuple[TableName, ...] = get_args(TableName)
Row = dict[str, str | float | int | bool | None]

HEADS: dict[TableName, tuple[str, ...]] = {
    "seconds": (
        *("session", "t", "track", "face_x", "face_y", "face_w", "face_h", "face_score"),
        *("brightness", "saturation", "speech_s", "window", "label", "source", "speaker"),
        *("valence", "valence_basis", "arousal", "arousal_basis", "person_label", "marks", "utc", "utc_error_ms"),
        "calibrated",
    ),
    "windows": (
        *("session", "window", "start", "end", "frames", "speech_s", "query", "source", "label", "probability"),
        *("chosen", "face_probability", "voice_probability", "conflict", "valence", "arousal", "calibrated"),
    ),
    "reasons": (
        *("session", "window", "start", "end", "query", "label", "intensity", "confidence", *SECTIONS, "calibrated"),
        *("read_as", "answered_from", "turned_by"),
    ),
    "marks": ("session", "t", "utc", "utc_error_ms", "name", "data"),
    "words": (
        *("session", "window", "start", "end", "text", "language", "confidence", "against_face", "against_voice"),
    ),
}
"Columns that a table always has, in this order. Those that depend on the model follow, by group."
GROUPS = ("p_", "person_p_", "pose_", "gaze_", "cue_", "voice_", "relative_")
"Beginnings of the names of the other columns of `seconds`, in order: probabilities, then what was measured."


def rows(events: Iterable[Event], table: TableName) -> Iterator[Row]:
    """The rows of one session's table. A table needs all events of the session before its first row.

    Raises BadSettings where there is no such table, before an event is read.
    """
    if table not in TABLES:
        raise BadSettings(f"There is no table {table!r}.", f"The tables are {', '.join(TABLES)}.")
    return _MAKERS[table](_collect(events))


def all_rows(events: Iterable[Event]) -> dict[TableName, list[Row]]:
    """The rows of each of one session's tables; the events are read once."""
    found = _collect(events)
    return {table: list(_MAKERS[table](found)) for table in TABLES}


def columns(found: Iterable[Row], table: TableName) -> list[str]:
    """The columns of a table with these rows: those that it always has, then the others by group and as they came."""
    head = HEADS[table]
    others = dict.fromkeys(itertools.chain.from_iterable(row.keys() for row in found))
    return [*head, *sorted((name for name in others if name not in head), key=_group)]


def _group(name: str) -> int:
    return next((place for place, start in enumerate(GROUPS) if name.startswith(start)), len(GROUPS))


@dataclass
class _Collected:
    """What the tables need of one session."""

    session: str = ""
    end_s: float = 0.0
    frames: dict[int, FrameEvent] = field(default_factory=dict)
    "By the second that they were sampled in."
    faces: dict[int, dict[int, list[CuesEvent]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    "Measurements of faces, by second and track."
    stretches: list[tuple[float, float]] = field(default_factory=list)
    "Start and end of each stretch of speech."
    voices: dict[float, CuesEvent] = field(default_factory=dict)
    "Measurements of the voice, by the end of the stretch."
    windows: dict[int, WindowEvent] = field(default_factory=dict)
    labels: list[LabelEvent] = field(default_factory=list)
    reasons: list[ReasonDoneEvent] = field(default_factory=list)
    marks: list[MarkEvent] = field(default_factory=list)
    began: datetime | None = None
    "When media second 0 was, where somebody knows it."
    began_error_ms: float | None = None
    words: list[WordsEvent] = field(default_factory=list)

    def utc(self, at_s: float) -> Row:
        """Wall-clock time of a media second, as ISO 8601, and how far it may be off."""
        if self.began is None:
            return {"utc": None, "utc_error_ms": None}
        at = (self.began + timedelta(seconds=at_s)).isoformat(timespec="milliseconds")
        return {"utc": at, "utc_error_ms": self.began_error_ms}


def _collect(events: Iterable[Event]) -> _Collected:
    found = _Collected()
    for event in events:
        found.session = found.session or event.session
        match event:
            case FrameEvent():
                found.frames.setdefault(int(event.t), event)
            case CuesEvent(face=dict() as face):
                found.faces[int(event.t)][int(face["track"])].append(event)
            case CuesEvent():
                found.voices[event.t] = event
            case SpeechEvent(state="end", start=start, end=float() as end):
                found.stretches.append((start, end))
            case WindowEvent():
                found.windows[event.window] = event
            case LabelEvent():
                found.labels.append(event)
            case ReasonDoneEvent():
                found.reasons.append(event)
            case MarkEvent():
                found.marks.append(event)
            case SessionOpenedEvent(started_at=str() as text, started_at_error_ms=error_ms) | ClockEvent(
                text, error_ms
            ):
                found.began, found.began_error_ms = datetime.fromisoformat(text), error_ms
            case WordsEvent():
                found.words.append(event)
            case _:
                continue
        found.end_s = max(found.end_s, event.t)
    return found


def _seconds(found: _Collected) -> Iterator[Row]:
    newest = {event.window: event for event in found.labels}
    windows = sorted((w for w in found.windows.values() if w.window in newest), key=lambda w: w.end)
    ends = [window.end for window in windows]
    for second in range(math.ceil(found.end_s)):
        people: dict[int, PersonLabel] = {}
        common: Row = {"session": found.session, "t": second, **found.utc(second)}
        marks = [mark.name for mark in found.marks if int(mark.t) == second]
        common["marks"] = "; ".join(marks) or None
        # Windows overlap. A second belongs to the first one that ends after the second has begun.
        place = bisect_right(ends, second)
        if place < len(windows) and windows[place].start < second + 1:
            label = newest[windows[place].window]
            common |= {"window": label.window, "label": label.label, "source": label.source}
            common |= {"speaker": label.speaker, "calibrated": label.calibrated}
            for name, affect in (("valence", label.valence), ("arousal", label.arousal)):
                if affect is not None:
                    common |= {name: affect.value, f"{name}_basis": affect.basis}
            common |= {f"p_{name}": share for name, share in label.probabilities.items()}
            people = {face.track: face for face in label.faces}
        common |= _sound(found, second)
        frame = found.frames.get(second)
        if frame is not None:
            common |= {"brightness": frame.brightness, "saturation": frame.saturation}
        boxes = {face.track: face for face in frame.faces} if frame is not None else {}
        measured = found.faces.get(second, {})
        tracks = sorted({*boxes, *measured})
        if not tracks:
            yield common
        for track in tracks:
            yield common | _face(track, boxes.get(track), measured.get(track, [])) | _person(people.get(track))


def _sound(found: _Collected, second: int) -> Row:
    """How much speech the second has, and what was measured of the stretch that fills most of it."""
    heard = [(overlap_s, end) for start, end in found.stretches if (overlap_s := _overlap_s(start, end, second)) > 0]
    row: Row = {"speech_s": round(sum(overlap_s for overlap_s, _ in heard), 3)}
    # The cues of a stretch bear the time of its end, rounded as times are on the wire.
    voices = [(overlap_s, found.voices[end]) for overlap_s, at_s in heard if (end := round(at_s, 3)) in found.voices]
    if voices:
        _, cues = max(voices, key=itemgetter(0))
        row |= _named("voice_", cues.voice) | _named("relative_", cues.relative)
    return row


def _face(track: int, box: FaceBox | None, measured: list[CuesEvent]) -> Row:
    row: Row = {"track": track}
    if box is not None:
        row |= dict(zip(("face_x", "face_y", "face_w", "face_h"), box.box, strict=True)) | {"face_score": box.score}
    # Where faces are measured more often than once a second, the second has the mean.
    row |= _means("cue_", [{k: v for k, v in (cues.face or {}).items() if k != "track"} for cues in measured])
    row |= _means("pose_", [cues.pose or {} for cues in measured])
    row |= _means("gaze_", [cues.gaze or {} for cues in measured])
    return row


def _person(said: PersonLabel | None) -> Row:
    """What this face alone says in the second's window."""
    if said is None:
        return {}
    return {"person_label": said.label} | {f"person_p_{name}": share for name, share in said.probabilities.items()}


def _means(prefix: str, measured: list[Mapping[str, float]]) -> Row:
    names = dict.fromkeys(itertools.chain.from_iterable(measured))
    return {prefix + name: round(fmean(each[name] for each in measured if name in each), 6) for name in names}


def _named(prefix: str, values: Mapping[str, float | None] | None) -> Row:
    return {prefix + name: value for name, value in (values or {}).items()}


def _overlap_s(start: float, end: float, second: int) -> float:
    return max(0.0, min(end, second + 1) - max(start, second))


def _windows(found: _Collected) -> Iterator[Row]:
    for event in found.labels:
        common = _window(found, event.window)
        conflict = event.conflict
        for name, share in event.probabilities.items():
            yield common | {
                "source": event.source,
                "label": name,
                "probability": share,
                "chosen": name == event.label,
                "face_probability": conflict.face.get(name) if conflict else None,
                "voice_probability": conflict.voice.get(name) if conflict else None,
                "conflict": conflict.score if conflict else None,
                "valence": event.valence.value if event.valence else None,
                "arousal": event.arousal.value if event.arousal else None,
                "calibrated": event.calibrated,
            }


def _reasons(found: _Collected) -> Iterator[Row]:
    calibrated = {event.window: event.calibrated for event in found.labels}
    for event in found.reasons:
        answer = event.answer
        row = _window(found, event.window) | {
            "label": answer.label,
            "intensity": answer.intensity,
            "confidence": answer.confidence,
            "calibrated": calibrated.get(event.window),
            "answered_from": event.answered_from,
            "turned_by": " ".join(event.turned_by) or None,
        }
        for name in ("frames", "speech_s"):
            row.pop(name, None)
        yield row | {name: event.sections.get(name, "") for name in SECTIONS}


def _marks(found: _Collected) -> Iterator[Row]:
    for mark in found.marks:
        data = json.dumps(dict(mark.data), ensure_ascii=False) if mark.data else None
        yield {"session": found.session, "t": mark.t, **found.utc(mark.t), "name": mark.name, "data": data}


def _words(found: _Collected) -> Iterator[Row]:
    for event in found.words:
        said: Row = {"start": event.start, "end": event.end, "text": event.text, "language": event.language}
        apart: Row = {"against_face": event.against_face, "against_voice": event.against_voice}
        row = {"session": found.session, "window": event.window} | said | {"confidence": event.confidence} | apart
        yield row | _named("p_", event.probabilities)


def _window(found: _Collected, number: int) -> Row:
    row: Row = {"session": found.session, "window": number}
    window = found.windows.get(number)
    if window is not None:
        row |= {"start": window.start, "end": window.end, "query": window.query, "read_as": window.read_as}
        row |= {"frames": window.frames, "speech_s": window.speech_s}
    return row


_MAKERS: dict[TableName, Callable[[_Collected], Iterator[Row]]] = {
    "seconds": _seconds,
    "windows": _windows,
    "reasons": _reasons,
    "marks": _marks,
    "words": _words,
}
