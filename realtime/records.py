"""The small frozen values that cross a border between stages.

Stages import this module and never each other. All times are media seconds of one session: 0.0 is the first packet
or the first frame of the file, whichever track it came on. Arrays are never written to after they were put in a record.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

SAMPLE_RATE_HZ = 16_000
"Rate of every audio array inside the program; ingest resamples to it."

Float32 = npt.NDArray[np.float32]
UInt8 = npt.NDArray[np.uint8]
Box = tuple[float, float, float, float]
"(x, y, w, h) in 0–1 of the frame, as on the wire."


LABELS = ("happy", "sad", "neutral", "angry", "surprise", "disgust", "fear")
"DFEW's seven, in DFEW's order; the default label set of the product."
SECTIONS = ("face", "context", "atmosphere", "voice", "coarse", "fine", "answer")
"The sections of a chain in the order in which they are written."
Reduced = Literal["nothing", "chains", "windows", "frames"]
"What a slow session leaves out, least first: chains wait, no windows in quiet moments, every other frame."


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """Which model answers, for people and for the first event of a session."""

    name: str
    engine_reason: str
    "The engine in use and why."
    labels: tuple[str, ...] = LABELS
    adapter: Path | None = None
    "The one that a session asked for; None: the server's own model."


@dataclass(frozen=True)
class Question:
    """What a person wants to know in this session."""

    query: str | None = None
    "Their own question; None: the default one."
    labels: tuple[str, ...] = LABELS


@dataclass(frozen=True, slots=True)
class VideoFrame:
    """One sampled frame (1 FPS by media time)."""

    at_s: float
    rgb_HW3: UInt8
    "(H, W, 3) uint8, as the camera gave it."


@dataclass(frozen=True, slots=True)
class AudioChunk:
    """A stretch of sound as ingest hands it on, any length."""

    start_s: float
    samples_N: Float32
    "(N,) float32 in −1…1, 16 kHz mono."

    @property
    def end_s(self) -> float:
        return self.start_s + self.samples_N.shape[0] / SAMPLE_RATE_HZ


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """A person began to speak. The `SpeechSegment` follows when the speech has ended."""

    start_s: float


@dataclass(frozen=True, slots=True)
class SpeechSegment:
    """One stretch of speech, cut by voice activity, padding included."""

    start_s: float
    end_s: float
    samples_N: Float32
    "(N,) float32, 16 kHz mono."


@dataclass(frozen=True, slots=True)
class SpeechSoFar:
    """A stretch of speech that is not known to be over: what can be done with it now need not be done then."""

    segment: SpeechSegment
    paused: bool
    "Nobody speaks at the moment: unless they go on, this is the very segment that will end."


@dataclass(frozen=True, slots=True)
class ClockTick:
    """Media time has reached `at_s`. Sources send four of these per media second."""

    at_s: float


@dataclass(frozen=True, slots=True)
class InputState:
    """A state of the input that a person can do something about, when it begins and when it is over."""

    code: str
    "Stable word for programs, such as `no_face`."
    message: str
    "What is wrong, or that it is over, in plain words."
    hint: str
    "What the person can do; empty when the state is over."
    over: bool = False


@dataclass(frozen=True, slots=True)
class SourceEnded:
    """The source gives nothing more. It is the last item, unless the source was cancelled or closed from our side."""

    reason: str


Item = VideoFrame | SpeechStarted | SpeechSoFar | SpeechSegment | ClockTick | InputState | SourceEnded
"Everything that a source gives to a session."


@dataclass(frozen=True, slots=True)
class Face:
    """One face in one frame. A track is a position over time, never an identity."""

    track: int
    box: Box
    score: float
    "Detector confidence, 0–1."
    mesh_N3: Float32 | None
    "(478, 3) landmarks in 0–1 of the frame (z in units of the frame's width), or None when no mesh fits."


@dataclass(frozen=True, slots=True)
class Scene:
    """What the whole frame shows, measured."""

    brightness: float
    "Mean luma, 0–1."
    saturation: float
    "Mean HSV saturation, 0–1."


@dataclass(frozen=True, slots=True)
class FaceCues:
    """Measured facial action cues of one face, each 0–1 relative to that track's recent neutral."""

    track: int
    intensities: Mapping[str, float]
    "Cue name (FACS wording) to intensity."
    pose_deg: tuple[float, float, float]
    "(yaw, pitch, roll) of the head; yaw > 0 is turned to the viewer's right."
    geometry_N: Float32
    "(G,) the track-relative mesh features that the cue token is projected from."


@dataclass(frozen=True, slots=True)
class VoiceCues:
    """Measured prosody of one speech segment."""

    values: Mapping[str, float]
    "Wire fields in physical units: pitch_hz, pitch_range_st, loudness_db, rate_hz, tilt_db, …; NaN-free."
    relative: Mapping[str, float]
    "The same, as z-scores against this voice's running baseline in the session."
    features_N: Float32
    "(P,) normalised statistics that the cue token is projected from."


@dataclass(frozen=True, slots=True)
class TokenCounts:
    """How structural token selection split one frame."""

    focal: int
    background: int
    dropped: int


@dataclass(frozen=True, slots=True)
class TokenMap:
    """Which parts of the frame the thinker reads: the grid that the vision tower sees, cell by cell."""

    region: Box
    "What of the camera's frame the grid covers; it may reach beyond the frame's edges."
    rows: int
    columns: int
    cells: str
    "Row by row: `f` focal, `k` background kept, `-` background dropped."


@dataclass(frozen=True, slots=True)
class FrameEvidence:
    """Everything the thinker may read of one frame."""

    at_s: float
    faces: tuple[Face, ...]
    cues: tuple[FaceCues, ...]
    scene: Scene
    counts: TokenCounts
    tokens_ND: Float32
    "(N, D) focal tokens, then kept background tokens, then cue tokens."
    positions_3N: npt.NDArray[np.int64]
    "(3, N) TMRoPE offsets (t, h, w) from the start of the evidence."
    focal: tuple[Box, ...] = ()
    "Face boxes dilated by the focal margin, as the page draws them."
    map: TokenMap | None = None
    timings_ms: Mapping[str, float] = field(default_factory=dict)
    "Wall time by step: faces, encode, …"
    ring: int = 0
    "The ring of keys and values that holds it already, in the process of the model; 0: none."
    number: int = 0
    "Its place there."


@dataclass(frozen=True, slots=True)
class SpeechEvidence:
    """Everything the thinker may read of one speech segment."""

    start_s: float
    end_s: float
    cues: VoiceCues
    tokens_ND: Float32
    positions_3N: npt.NDArray[np.int64]
    ring: int = 0
    number: int = 0


@dataclass(frozen=True, slots=True)
class Window:
    """One analysis: the frames and speech of the last seconds, oldest first."""

    index: int
    start_s: float
    end_s: float
    frames: tuple[FrameEvidence, ...]
    speech: tuple[SpeechEvidence, ...]

    @property
    def speech_s(self) -> float:
        return sum(part.end_s - part.start_s for part in self.speech)


@dataclass(frozen=True, slots=True)
class Conflict:
    """What each modality alone would say, and how far apart the two are."""

    face: Mapping[str, float]
    voice: Mapping[str, float]
    score: float
    "Jensen–Shannon divergence in bits, 0 (same) to 1 (disjoint)."


@dataclass(frozen=True, slots=True)
class Label:
    """A calibrated distribution over the label set."""

    label: str
    probabilities: Mapping[str, float]
    source: Literal["fast", "chain"]
    conflict: Conflict | None


@dataclass(frozen=True, slots=True)
class ReasonDelta:
    """Newly decoded text of one section."""

    section: str
    text: str


@dataclass(frozen=True, slots=True)
class Answer:
    label: str
    "One of the session's labels, or 'unsure'."
    intensity: str
    "slight, moderate or strong; empty when the model gave none."
    confidence: float
    "Calibrated probability of the label, 0–1."


@dataclass(frozen=True, slots=True)
class ReasonDone:
    sections: Mapping[str, str]
    answer: Answer
    timings_ms: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Lag:
    """How far a session is behind, and what it has skipped so far."""

    seconds: float
    "Age in media seconds of the oldest frame, speech or window that is not answered yet."
    skipped_frames: int
    skipped_windows: int
    reduced: Reduced = "nothing"
