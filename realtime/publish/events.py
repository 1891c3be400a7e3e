"""The wire format: every event of a live session, one JSON object each.

    {"v":1,"session":"…","seq":17,"t":12.04,"type":"…", …}

`t` is in media seconds. For `frame`, `speech` and `cues` it is the moment that was seen or heard; for the others it is
the session's media clock when the event was written. `seq` starts at 1 and has no gaps. Fields may be added within
version 1, so readers skip the ones they don't know.

The name of a class is its event's `type` in camel case plus `Event`. These classes are the only source of the format:
`schema.py` derives the JSON Schema from them, `typescript.py` the page's types and readers. After a change run
`python -m realtime.publish.typescript > web/src/wire/generated.ts` and add an example to `tests/fixtures/events.json`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Annotated, Any, ClassVar, Literal, get_args

from realtime.records import SECTIONS, AffectSide, AnsweredFrom, Box, Contradiction, Reduced, TurnedBy

VERSION = 1


@dataclass(frozen=True)
class Between:
    """The bounds of a number on the wire, for the schema."""

    low: float
    high: float | None = None


@dataclass(frozen=True)
class OneOf:
    """The words that a text on the wire can be, for the schema."""

    words: tuple[str, ...]


@dataclass(frozen=True)
class Matches:
    """The regular expression that a text on the wire matches, for the schema."""

    pattern: str


Share = Annotated[float, Between(0, 1)]
Count = Annotated[int, Between(0)]
Signed = Annotated[float, Between(-1, 1)]
Seconds = Annotated[float, Between(0)]
Milliseconds = Annotated[float, Between(0)]
Section = Annotated[str, OneOf(SECTIONS)]
ContradictionName = Annotated[str, OneOf(get_args(Contradiction))]
RewrittenName = Annotated[str, OneOf(("no", "yes", "in vain"))]
AnsweredFromName = Annotated[str, OneOf(get_args(AnsweredFrom))]
TurnedByName = Annotated[str, OneOf(get_args(TurnedBy))]
MarkValue = str | float | bool | None
"What a program may add to a mark."


@dataclass(frozen=True)
class FaceBox:
    """One face in a frame."""

    track: Count
    "Number of the face in this session. It follows a position over time and never identifies a person."
    box: Box
    "Where the face is: (x, y, w, h) in 0–1 of the frame."
    score: Share
    "The detector's confidence."


@dataclass(frozen=True)
class TokenSplit:
    """How many patches of a frame the model reads."""

    focal: Count
    "Patches in the focal area. The model reads all of them."
    background: Count
    "Patches of the background that the model reads."
    dropped: Count
    "Patches of the background that the model does not read."


@dataclass(frozen=True)
class Patches:
    """The grid of patches that the vision tower sees, and which of them the model reads."""

    region: Box
    "The part of the frame that the grid covers: (x, y, w, h) in 0–1. It may reach beyond the frame's edges."
    rows: Count
    "Number of rows of the grid."
    columns: Count
    "Number of columns of the grid."
    cells: Annotated[str, Matches("^[fk-]*$")]
    "One letter per patch, row by row: `f` focal, `k` background kept, `-` background dropped."


@dataclass(frozen=True)
class ModalityConflict:
    """Compares what the face alone and the voice alone would say."""

    face: Mapping[str, Share]
    "Probability of each label from the face alone."
    voice: Mapping[str, Share]
    "Probability of each label from the voice alone."
    score: Share
    "Jensen–Shannon divergence of the two in bits: 0 if they are equal, 1 if they have nothing in common."


@dataclass(frozen=True)
class AffectValue:
    """Valence (unpleasant to pleasant) or arousal (calm to excited)."""

    value: Signed
    "−1 to 1; 0 is neutral."
    basis: Literal["face", "voice", "both"]
    "What it comes from."
    side: AffectSide | None = None
    """Unpleasant, neither or pleasant, as a question about the mood is answered; or calm, in between or excited. Null
    in events of versions that did not tell it."""


@dataclass(frozen=True)
class PersonLabel:
    """What the face of one person in view says, without the voice and without the rest of the picture."""

    track: Count
    "Number of the face, as in `frame`."
    label: str
    "The most probable label, or `unsure`."
    probabilities: Mapping[str, Share]
    """Probability of each label; they add up to 1. Where labels that a person gave leave out some of the emotions that
    the model knows, `unsure` has the probability of those."""


@dataclass(frozen=True)
class EmotionAnswer:
    """What a chain concludes."""

    label: str
    "One of the window's labels, or `unsure`."
    intensity: Annotated[str, OneOf(("slight", "moderate", "strong", ""))]
    "How strongly it is expressed; empty when the model did not say."
    confidence: Share
    """Probability of the label. Where it is `unsure`, that of the likeliest label, and never more than the threshold
    below which the model is unsure."""


class Placed:
    """What every event on the wire has beside its own fields. `parse` sets it; an event that is not sent yet has none.

    These are no fields of the dataclasses: two events that say the same are equal wherever they stand.
    """

    session: str = ""
    "The session's id."
    seq: int = 0
    "Number of the event in its session, from 1, without gaps."
    t: float = 0.0
    "Time of the event in media seconds."


@dataclass(frozen=True)
class SessionOpenedEvent(Placed):
    """The first event of a session."""

    type: ClassVar[Literal["session.opened"]] = "session.opened"
    model: str
    "Name of the model that answers."
    engine: str
    "The engine in use, and the reason why it was chosen."
    labels: tuple[str, ...]
    "The session's default labels."
    started_at: str | None = None
    """What the server's wall clock showed at media second 0: UTC, ISO 8601, such as `2026-11-28T09:50:39.512Z`. Null
    where nobody knows, as of a file."""
    started_at_error_ms: Milliseconds | None = None
    """How far `started_at` may be off, apart from the error of the server's clock; null where `started_at` is. A later
    `clock` event may tell it more exactly."""
    stock: bool = False
    """Whether the model is as it was published: no adapter is loaded. It was never trained to tell emotions, and nobody
    measured how often it is right."""
    label_model: str | None = None
    """Name of the model that gives the labels, from the same evidence and sooner; `model` writes the chains then. Null
    where `model` does both."""
    answer_model: str | None = None
    """Name of the model that writes the chains of windows with a `query`, where `model` leaves questions to it; else
    null."""


@dataclass(frozen=True)
class SessionClosedEvent(Placed):
    """The last event of a session."""

    type: ClassVar[Literal["session.closed"]] = "session.closed"
    reason: str
    "Why the session ended."


@dataclass(frozen=True)
class FrameEvent(Placed):
    """One frame was sampled (one a second) and analyzed."""

    type: ClassVar[Literal["frame"]] = "frame"
    faces: tuple[FaceBox, ...]
    "The faces found in it."
    tokens: TokenSplit
    "How many of its patches the model reads."
    brightness: Share
    "Mean luma of the frame."
    saturation: Share
    "Mean HSV saturation of the frame."
    width: Count
    "Width of the camera's picture in pixels."
    height: Count
    "Height of the camera's picture in pixels."
    focal: tuple[Box, ...] = ()
    "The focal area: face boxes enlarged by a margin, (x, y, w, h) in 0–1 of the frame. The model reads all of it."
    patches: Patches | None = None
    "Which patches the model reads; null where the vision tower has no grid."


@dataclass(frozen=True)
class SpeechEvent(Placed):
    """A stretch of speech began or ended."""

    type: ClassVar[Literal["speech"]] = "speech"
    state: Literal["start", "end"]
    "Whether the stretch begins or ends."
    start: Seconds
    "Media second at which it began."
    end: Seconds | None
    "Media second at which it ended; null in the event of its start."


@dataclass(frozen=True)
class WordsEvent(Placed):
    """What was said in one stretch of speech, where words are written down and the person agreed.

    It comes after the fast label of that stretch. A stretch whose words cannot be trusted has no such event.
    """

    type: ClassVar[Literal["words"]] = "words"
    start: Seconds
    "Media second at which the stretch began."
    end: Seconds
    "Media second at which the stretch ended."
    text: str
    "The words, as a speech recogniser wrote them down. Some may be wrong."
    language: str
    "Their language, ISO 639-1, such as `en`."
    confidence: Share
    "Mean probability that the recogniser gave its tokens."
    window: Count | None = None
    "Number of the window that ends with the stretch."
    probabilities: Mapping[str, Share] | None = None
    "Probability of each of the model's seven labels from the words alone; null for other languages than English."
    against_face: Share | None = None
    """Jensen–Shannon divergence, in bits, of what the words and what the face alone say: 0 if they are equal, 1 if they
    have nothing in common. Null where either is missing, and for labels that are not the model's own."""
    against_voice: Share | None = None
    "The same for words and voice."


@dataclass(frozen=True)
class CuesEvent(Placed):
    """What was measured (not generated by the model): one face in one frame, or the voice in one stretch of speech.

    Either `face`, `pose` and `gaze` are given or `voice` and `relative`; the others are null.
    """

    type: ClassVar[Literal["cues"]] = "cues"
    face: Mapping[str, float] | None = None
    "`track`, then the intensity of each cue (FACS wording) in 0–1 relative to that track's recent neutral."
    pose: Mapping[Annotated[str, OneOf(("yaw", "pitch", "roll"))], float] | None = None
    """Pose of that head in degrees. yaw > 0: turned to the viewer's right; pitch > 0: looks up; roll > 0: tilted
    clockwise as the viewer sees it."""
    gaze: Mapping[Annotated[str, OneOf(("yaw", "pitch"))], float] | None = None
    """Direction in which the eyes look, in degrees, with the signs of `pose`; both are 0 where they look into a camera
    in front of them. Null where they are closed, turned away or too small, and of a voice."""
    voice: Mapping[str, float | None] | None = None
    "Prosody in physical units: pitch_hz, loudness_db, rate_hz, …; null where it could not be measured."
    relative: Mapping[str, float | None] | None = None
    """The same as z-scores against this voice's running baseline in the session. Null as a whole for what is no voice,
    and until the voice was heard for three stretches and six seconds, since no usual of it is known before."""


@dataclass(frozen=True)
class WindowEvent(Placed):
    """The analysis of a window (the last seconds) begins."""

    type: ClassVar[Literal["window"]] = "window"
    window: Count
    "Number of the window in this session."
    start: Seconds
    "Media second at which the window begins."
    end: Seconds
    "Media second at which the window ends."
    frames: Count
    "Number of frames in it."
    speech_s: Seconds
    "Seconds of speech in it."
    people: tuple[Count, ...] = ()
    "Tracks of the people whom this window's chain calls Person A, Person B, … in that order."
    query: str | None = None
    "The question asked of this window; null is the default question."
    read_as: str | None = None
    "The question in words that a small model was trained on, as it read it; null: it read the person's own."
    labels: tuple[str, ...] = ()
    "The labels to choose from in this window."


@dataclass(frozen=True)
class LabelEvent(Placed):
    """A calibrated distribution over a window's labels."""

    type: ClassVar[Literal["label"]] = "label"
    window: Count
    "Number of the window."
    label: str
    "The most probable label, or `unsure`."
    probabilities: Mapping[str, Share]
    """Probability of each label; they add up to 1. Where labels that a person gave leave out some of the emotions that
    the model knows, `unsure` has the probability of those."""
    source: Literal["fast", "chain"]
    "`fast`: scored before the chain is written. `chain`: scored after it."
    conflict: ModalityConflict | None
    "How face and voice differ; null where the window lacks one of them."
    faces: tuple[PersonLabel, ...] = ()
    """A label of each person in view from the face alone, up to five, the biggest face of the newest frame first. Empty
    where the model scores labels that it was not trained with."""
    speaker: Count | None = None
    """Track of the person whose mouth moves with the voice; null where that is not clear, where it is nobody in view,
    and where nobody speaks."""
    valence: AffectValue | None = None
    """What the probabilities say of pleasant and unpleasant; null where the model scores labels that it was not trained
    with."""
    arousal: AffectValue | None = None
    "How aroused the voice sounds where one is heard, else the face looks; null where neither is known."
    calibrated: bool | None = None
    """Whether the probabilities were fitted, on people, for these labels. False: a share of 0.9 does not mean that nine
    in ten such labels are right. Null where the server is older than this field."""


@dataclass(frozen=True)
class ReasonDeltaEvent(Placed):
    """Newly decoded words of one section of a window's chain."""

    type: ClassVar[Literal["reason.delta"]] = "reason.delta"
    window: Count
    "Number of the window."
    section: Section
    "The section that the words belong to."
    text: str
    "The words, to be appended to the section."


@dataclass(frozen=True)
class UnsupportedStatement:
    """A statement of a chain that was measured otherwise."""

    section: Section
    "The section that says it."
    start: Count
    "Where it begins, in characters of the section."
    text: str
    "The words, as they stand there."


@dataclass(frozen=True)
class ReasonDoneEvent(Placed):
    """The chain of one window is complete."""

    type: ClassVar[Literal["reason.done"]] = "reason.done"
    window: Count
    "Number of the window."
    sections: Mapping[Section, str]
    "The whole text of each section."
    answer: EmotionAnswer
    "What the chain concludes."
    timings_ms: Mapping[str, Milliseconds] = field(default_factory=dict)
    """Wall-clock milliseconds. `label`, `first_word` and `total` count from the moment the window was due (speech
    ended, or four seconds of quiet were over); the others are the durations of single stages."""
    contradictions: tuple[ContradictionName, ...] = ()
    """What the chain's judgement contradicts. `face`, `voice`: what the chain found in it, or what the model holds for
    likely of it alone. `agreement`: whether both were found to agree. `answer`: the chain's own argument. The answer is
    `unsure` where there are any."""
    rewritten: RewrittenName = "no"
    """Whether the argument (`coarse`, `fine`, `answer`) was written again: it contradicted what the chain found, or
    strayed from the judged label. `yes`: the second one is told. `in vain`: no other held either, or none was found in
    time, so the first one is told. Both come whole: no `reason.delta` has words of an argument that was replaced."""
    words_read: bool = False
    """Whether the judgement read what was said. Only a model that was trained for it does, and only words that are
    written down before its chain judges."""
    unsupported: tuple[UnsupportedStatement, ...] = ()
    """What the chain says of cues and prosody and the measurements of its window do not bear out: the cue was not
    there, or its degree is another one. Only statements in the model's usual words are checked."""
    answered_from: AnsweredFromName | None = None
    """What the answer to the window's `query` is from. `model`: its words are the model's. `measurements`,
    `probabilities`: a rule tells what was measured in the window, or how probable its labels are; the model was not
    asked, or said something else. `nothing`: it cannot be told from the window, and a rule says so. The label in the
    answer is the chain's all the same. Null where no question was asked but the model's own, which is about the
    emotion."""
    turned_by: tuple[TurnedByName, ...] = ()
    """What turned the answer from the fast label, and what it would not be without. `second_look`: two more crops of a
    face that is alone in view. `reasons`: the judgement after the chain's texts. `words`: what was said. Where it would
    be the same without any one of them, all that had a say are told. Empty where the answer is the likeliest label of
    the fast one, or unsure, and for labels of one's own."""


@dataclass(frozen=True)
class MarkEvent(Placed):
    """A program marked a moment (`POST /sessions/{id}/marks`), such as the beginning of a trial. `t` is that moment."""

    type: ClassVar[Literal["mark"]] = "mark"
    name: str
    "What the program calls it."
    data: Mapping[str, MarkValue] = field(default_factory=dict)
    "What the program adds to it, unchanged."


@dataclass(frozen=True)
class ClockEvent(Placed):
    """The sender has told when it took the media (RTCP sender reports). The newest one counts for the whole session."""

    type: ClassVar[Literal["clock"]] = "clock"
    started_at: str
    """What the sender's wall clock showed at media second 0, as in `session.opened`. It comes only where that lies in
    the time that `session.opened` told."""
    started_at_error_ms: Milliseconds
    "How far `started_at` may be off, apart from the error of the sender's clock."


@dataclass(frozen=True)
class SummaryEvent(Placed):
    """A summary of the last minutes, which somebody asked for (`PUT /sessions/{id}/ask`)."""

    type: ClassVar[Literal["summary"]] = "summary"
    query: str
    "What was asked."
    start: Seconds
    "Media second from which it sums up. It is later than asked for where the session, or its log, begins later."
    end: Seconds
    "Media second at which it was asked for."
    source: Literal["measured", "model"]
    """Who wrote `text`. `measured`: it is `statements`, one after the other; no language model had a hand in it.
    `model`: the session's language model wrote it from the statements, and each sentence was checked against them."""
    text: str
    "The summary, in English."
    statements: tuple[str, ...]
    "What was told and measured in that time, a sentence each; or, alone, why there is nothing to sum up."


@dataclass(frozen=True)
class LagEvent(Placed):
    """How far the session is behind the media, and what it has skipped so far."""

    type: ClassVar[Literal["lag"]] = "lag"
    seconds: Seconds
    "Age of the oldest frame, speech or window that is not answered yet, in media seconds."
    skipped_frames: Count
    "Frames skipped since the session began."
    skipped_windows: Count
    "Windows skipped since the session began."
    reduced: Reduced = "nothing"
    """What a slow session leaves out until the machine keeps up again. Each step includes those before it: `chains`
    wait, then there are no `windows` in quiet moments, then every other of the `frames` is skipped."""
    skipped_cue_frames: Count = 0
    """Measurements of faces between frames (`ingest.cue_fps`) left out since the session began. They are the first that
    a slow session leaves out."""


@dataclass(frozen=True)
class ErrorEvent(Placed):
    """Something is wrong that a person may be able to mend, or it is over. The session goes on unless it is closed."""

    type: ClassVar[Literal["error"]] = "error"
    code: str
    "A name for programs, such as `no_face`."
    message: str
    "What is wrong, for people."
    hint: str
    "What a person can do about it; may be empty."
    over: bool = False
    "True when the state named by `code` has ended."


Event = (
    SessionOpenedEvent
    | SessionClosedEvent
    | FrameEvent
    | SpeechEvent
    | WordsEvent
    | CuesEvent
    | WindowEvent
    | LabelEvent
    | ReasonDeltaEvent
    | ReasonDoneEvent
    | MarkEvent
    | ClockEvent
    | SummaryEvent
    | LagEvent
    | ErrorEvent
)


def encode(event: Event, *, session: str, seq: int, at_s: float) -> str:
    """Return the event as one line of JSON. Raises ValueError for NaN and infinity, which JSON cannot express."""
    common = {"v": VERSION, "session": session, "seq": seq, "t": round(at_s, 3), "type": event.type}
    return json.dumps(common | as_json(event), ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def as_json(value: Any) -> Any:
    """Convert a value of an event (a dataclass, mapping, tuple, number or text) to what `json.dumps` takes."""
    match value:
        case MarkEvent(name, data):
            # Whatever somebody sent comes back as it was.
            return {"name": name, "data": dict(data)}
        case float():
            # Six decimals keep a distribution's sum within 1e-5 of 1 and a line short.
            return round(value, 6) if math.isfinite(value) else value
        case str() | int() | None:
            return value
        case Mapping():
            return {str(key): as_json(part) for key, part in value.items()}
        case tuple() | list():
            return [as_json(part) for part in value]
        case _ if is_dataclass(value):
            return {part.name: as_json(getattr(value, part.name)) for part in fields(value)}
    # A NumPy scalar, as the stages measure them.
    return as_json(value.item())
