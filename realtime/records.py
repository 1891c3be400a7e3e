"""The small frozen values that stages pass to each other.

Stages import this module and never each other. All times are media seconds of one session: 0.0 is the first packet
or the first frame of the file, whichever track it came on. Nobody writes to an array after it was put into a record.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

SAMPLE_RATE_HZ = 16_000
"Rate of every audio array inside the program. Ingest resamples to it."

Float32 = npt.NDArray[np.float32]
UInt8 = npt.NDArray[np.uint8]
Box = tuple[float, float, float, float]
"(x, y, w, h) in 0–1 of the frame, as on the wire."


LABELS = ("happy", "sad", "neutral", "angry", "surprise", "disgust", "fear")
"DFEW's seven, in DFEW's order; the default label set of the product."
SECTIONS = ("voice", "face", "context", "atmosphere", "coarse", "fine", "answer")
"The sections of a chain in the order in which they are written."
Reduced = Literal["nothing", "chains", "windows", "frames"]
"What a slow session leaves out, least first: chains wait, no windows in quiet moments, every other frame."


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """Describes a loaded model, for people and for the first event of a session."""

    name: str
    runtime_reason: str
    "The runtime of the towers and why it was chosen. On the wire it is `engine`."
    labels: tuple[str, ...] = LABELS
    adapter: Path | None = None
    "The adapter that a session asked for; None: the server's own model."
    open_labels: bool = False
    "Whether it can score labels that it was not trained with. Their probabilities are calibrated for no such model."
    stock: bool = False
    "Whether it is as it was published: no adapter is loaded, and it was never trained to tell emotions."
    label_model: str | None = None
    "Name of the model that gives the labels, where this one only writes the chains; None: this one gives them, too."
    answer_model: str | None = None
    "Name of the model that answers a person's own questions, where this one leaves them to it; else None."
    words: bool = False
    "Whether its judgement reads what was said, where that is written down."
    summarises: bool = False
    "Whether it can write a text other than a chain, from statements that it is given."


MAX_QUERY_CHARS = 200
MIN_LABELS, MAX_LABELS = 2, 12
MAX_LABEL_CHARS = 24
"A word or two; each label is a row on the page and a key on the wire."
MAX_QUERY_TOKENS = 4 * (MAX_QUERY_CHARS + MAX_LABELS * MAX_LABEL_CHARS) + 2 * (MAX_LABELS - 1) + len(" .")
"""Tokens of the longest text query (`prompt.query_text`) that a person may ask.

A byte-level tokenizer makes no more tokens than bytes, and UTF-8 has up to four a character."""


@dataclass(frozen=True, slots=True)
class OwnLabel:
    """A label that a person gave, for a model that knows labels of its own."""

    name: str
    emotions: tuple[str, ...]
    "Those of the model's labels that belong to it."


OWN_QUESTION = "Which emotion is shown?"
"How a model's own question is told."


AskedKind = Literal[
    "presence", "degree", "count", "loudness", "pitch", "rate", "light",
    "agreement", "valence", "arousal", "sureness",
    "when", "order", "who", "changed", "before", "either",
    "untold",
]  # fmt: skip
"""What a question of a person is about. Those of the first row are known from measurements, those of the second from
the probabilities of a window. Those of the third are known from measurements over time, of several people or of two
cues, and a small model cannot tell them. The last is none of these."""
BY_RULE: frozenset[AskedKind] = frozenset({"when", "order", "who", "changed", "before", "either", "untold"})
"Kinds that a small model is not asked: its chain is the usual one, and a rule answers."


@dataclass(frozen=True, slots=True)
class About:
    """What a question is about, as it was read."""

    kind: AskedKind
    what: str = ""
    """The facial cue, the measure of the voice, or, of two people, the emotion. Two cues, with a space between, where a
    question is which of them is there. Empty: the face as a whole."""


@dataclass(frozen=True)
class Question:
    """What a person wants to know in this session."""

    query: str | None = None
    "The person's own question; None: the default one."
    labels: tuple[str, ...] = LABELS
    "What the model chooses from."
    own: tuple[OwnLabel, ...] = ()
    "The labels in which its choice is told; empty: in `labels`."
    read_as: str | None = None
    """The same question in words that a small model was trained on. Empty: the default one. None: the model reads the
    person's own."""
    language: str = "en"
    "The language in which a chain answers it."
    about: About | None = None
    "What a small model's question is about. None: nobody knows, and the model answers as it can."

    @property
    def put(self) -> str | None:
        """The question as the model reads it; None: its own."""
        if self.about is not None and self.about.kind in BY_RULE:
            return None
        return self.query if self.read_as is None else self.read_as or None

    @property
    def told_labels(self) -> tuple[str, ...]:
        """The labels that a person asked for."""
        return tuple(label.name for label in self.own) or self.labels


@dataclass(frozen=True, slots=True)
class SourceStarted:
    """What the wall clock showed at media second 0.

    A source that knows it sends this before anything else, and again where it learns better.
    """

    unix_s: float
    "Seconds since 1970, UTC."
    error_s: float
    "How far it may be off, apart from the error of the clock that told it."
    by_sender: bool = False
    "Whether the sender's clock told it, and not this machine's."


@dataclass(frozen=True, slots=True)
class VideoFrame:
    """One sampled frame (1 FPS by media time)."""

    at_s: float
    rgb_HW3: UInt8
    "(H, W, 3) uint8, as the camera gave it."


@dataclass(frozen=True, slots=True)
class CueFrame:
    """A frame between two sampled ones, in which faces are found and measured and nothing else (`ingest.cue_fps`)."""

    at_s: float
    rgb_HW3: UInt8
    "(H, W, 3) uint8, as the camera gave it."


@dataclass(frozen=True, slots=True)
class AudioChunk:
    """A piece of sound of any length, as ingest passes it on."""

    start_s: float
    samples_N: Float32
    "(N,) float32 in −1…1, 16 kHz mono."
    coarse: bool = False
    "Whether it was stored with 8 bits, whose steps of 1/128 are louder than a quiet room."

    @property
    def end_s(self) -> float:
        return self.start_s + self.samples_N.shape[0] / SAMPLE_RATE_HZ


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """A person began to speak. The `SpeechSegment` follows when the speech has ended."""

    start_s: float


@dataclass(frozen=True, slots=True)
class SpeechSegment:
    """One utterance, cut by voice activity detection, padding included."""

    start_s: float
    end_s: float
    samples_N: Float32
    "(N,) float32, 16 kHz mono."


@dataclass(frozen=True, slots=True)
class SpeechSoFar:
    """An utterance that may not be over yet, so that work on it can begin before it ends."""

    segment: SpeechSegment
    paused: bool
    "Whether nobody speaks at the moment. Unless they go on, this is the segment that will end."


@dataclass(frozen=True, slots=True)
class ClockTick:
    """Media time has reached `at_s`. Sources send four of these per media second."""

    at_s: float


@dataclass(frozen=True, slots=True)
class AnalysisAsked:
    """Somebody asks for an analysis of what there is up to `at_s`, whether or not one would be due."""

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


Item = (
    SourceStarted
    | VideoFrame
    | CueFrame
    | SpeechStarted
    | SpeechSoFar
    | SpeechSegment
    | ClockTick
    | AnalysisAsked
    | InputState
    | SourceEnded
)
"Everything that a source gives to a session."


@dataclass(frozen=True, slots=True)
class Face:
    """One face in one frame. A track is a position over time, never an identity."""

    track: int
    box: Box
    score: float
    "Detector confidence, 0–1."
    mesh_N3: Float32 | None
    "(478, 3) landmarks in 0–1 of the frame (z in units of the frame's width), or None when no mesh fits the face."


@dataclass(frozen=True, slots=True)
class Scene:
    """Measures of the whole frame."""

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
    verdict_7: Float32 | None = None
    "(7,) log-probabilities of `LABELS` by the face expert; None without one, and of a cue frame."
    second_7: Float32 | None = None
    """(7,) the same over three crops, as `verdict_7`'s and a little closer and farther, for the answer after a chain
    (`reason/second_look.py`). None where several faces are in view, and without an expert."""
    mouth_gap: float | None = None
    "How far the lips are apart, in outer eye-corner distances; not relative to anything."
    gaze_deg: tuple[float, float] | None = None
    "(yaw, pitch) of the direction in which the eyes look, with the signs of `pose_deg`; None where they are not seen."


@dataclass(frozen=True, slots=True)
class Glimpse:
    """What was measured in one cue frame."""

    at_s: float
    cues: tuple[FaceCues, ...]


@dataclass(frozen=True, slots=True)
class HeardWords:
    """What was said in one utterance, as a recogniser wrote it down."""

    start_s: float
    end_s: float
    text: str
    language: str
    "ISO 639-1, such as `en`."
    confidence: float
    "Mean probability of its tokens, 0–1."
    probabilities: Mapping[str, float] | None = None
    "What the words alone say, over `LABELS`; None for another language than the expert's."


@dataclass(frozen=True, slots=True)
class WordsConflict:
    """How far what the words say is from what face and voice say: Jensen–Shannon divergences in bits, 0 to 1."""

    face: float | None
    "None where no face was seen."
    voice: float | None


SoundKind = Literal["voice", "noise", "tone"]
"""A voice, whispering included; noise, breath or typing; or sound that holds its pitch, as music and machines do."""


@dataclass(frozen=True, slots=True)
class VoiceCues:
    """Measured prosody of one utterance."""

    values: Mapping[str, float]
    "Wire fields in physical units: pitch_hz, pitch_range_st, loudness_db, rate_hz, tilt_db, …; NaN-free."
    relative: Mapping[str, float]
    "The same, as z-scores relative to this voice's running baseline in the session; all 0 until its usual is known."
    features_P: Float32
    """All raw statistics as z-scores relative to the baseline, which is the population until the voice is heard. The
    estimate of arousal is made from them."""
    kind: SoundKind = "voice"
    "What was heard. Only a voice enters windows."
    unmeasured: frozenset[str] = frozenset()
    "Names in `values` that could not be measured: those of the pitch where too little is voiced."
    usual_known: bool = True
    "Whether the session had heard this voice for long enough to say what is usual for it."
    narrow_band: bool = False
    "Whether nothing above 4 kHz is left, as on the telephone. Labels are then less sure."
    arousal: float | None = None
    "How aroused the voice sounds, −1…1; None for what is no voice."


@dataclass(frozen=True, slots=True)
class TokenCounts:
    """Numbers of tokens of one frame after structural token selection."""

    focal: int
    background: int
    dropped: int


@dataclass(frozen=True, slots=True)
class TokenMap:
    """The grid of the vision tower, with the fate of each cell's token."""

    region: Box
    "The part of the camera's frame that the grid covers. It may reach beyond the frame's edges."
    rows: int
    columns: int
    cells: str
    "Row by row: `f` focal, `k` background kept, `-` background dropped."


@dataclass(frozen=True, slots=True)
class FrameEvidence:
    """The evidence of one frame: what was measured in it, and its tokens for the Thinker."""

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
    "Number of the KV-cache ring, in the model's process, in which it is prefilled; 0: none."
    number: int = 0
    "Its number in that ring."
    for_labels: FrameEvidence | None = None
    "The same frame with the tokens of the model that gives the labels, where another one writes the chains."

    def outside(self) -> FrameEvidence:
        """The same in no ring."""
        labels = self.for_labels
        return replace(self, ring=0, number=0, for_labels=None if labels is None else labels.outside())


@dataclass(frozen=True, slots=True)
class SpeechEvidence:
    """The evidence of one utterance: its prosody, and its tokens for the Thinker."""

    start_s: float
    end_s: float
    cues: VoiceCues
    tokens_ND: Float32
    positions_3N: npt.NDArray[np.int64]
    ring: int = 0
    number: int = 0
    for_labels: SpeechEvidence | None = None
    "As in `FrameEvidence`."

    def outside(self) -> SpeechEvidence:
        """The same in no ring."""
        labels = self.for_labels
        return replace(self, ring=0, number=0, for_labels=None if labels is None else labels.outside())


@dataclass(frozen=True, slots=True)
class Window:
    """The evidence of one analysis: frames and speech of the last seconds, oldest first."""

    index: int
    start_s: float
    end_s: float
    frames: tuple[FrameEvidence, ...]
    speech: tuple[SpeechEvidence, ...]
    glimpses: tuple[Glimpse, ...] = ()
    "Measurements between the frames. The Thinker does not read them."
    said: str = ""
    "A quotation of the newest utterance, which the judgement reads. It comes after the fast label."

    @property
    def speech_s(self) -> float:
        return sum(part.end_s - part.start_s for part in self.speech)


DIFFER_BITS, DISAGREE_BITS = 0.15, 0.4
"""Divergence of face and voice from which they are said to differ, and to disagree. The page has the same
(`web/src/draw/conflict.ts`)."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """The distribution of each modality alone, and their divergence."""

    face: Mapping[str, float]
    voice: Mapping[str, float]
    score: float
    "Jensen–Shannon divergence in bits, 0 (same) to 1 (disjoint)."


AffectSide = Literal["low", "middle", "high"]
"Unpleasant, neither or pleasant; or calm, in between or excited."


@dataclass(frozen=True, slots=True)
class Affect:
    """A value of valence or arousal, −1…1, what it comes from, and the word for it."""

    value: float
    basis: Literal["face", "voice", "both"]
    side: AffectSide
    "Of valence, that of the likeliest label, as a question about the mood is answered; of arousal, that of the value."


@dataclass(frozen=True, slots=True)
class FaceLabel:
    """What one face alone says: a calibrated distribution over the label set."""

    track: int
    label: str
    "One of the labels, or 'unsure'."
    probabilities: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Label:
    """A calibrated distribution over the label set."""

    label: str
    probabilities: Mapping[str, float]
    source: Literal["fast", "chain"]
    conflict: Conflict | None
    faces: tuple[FaceLabel, ...] = ()
    "Of each person in view, from the face alone."
    valence: Affect | None = None
    arousal: Affect | None = None
    calibrated: bool = True
    "Whether the probabilities were fitted, on people, for these labels."


@dataclass(frozen=True, slots=True)
class ReasonDelta:
    """Newly decoded text of one section."""

    section: str
    text: str


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of a chain."""

    label: str
    "One of the session's labels, or 'unsure'."
    intensity: str
    "slight, moderate or strong; empty when the model gave none."
    confidence: float
    """Probability of the label, 0–1. An unsure answer has that of the likeliest one, and never more than the threshold
    below which answers are unsure."""


Contradiction = Literal["face", "voice", "agreement", "answer"]
"What the judgement of a chain contradicts (`reason/consistency.py`)."

Rewritten = Literal["no", "yes", "in vain", "late"]
"""Whether an argument that contradicted what its chain found, or strayed from the judged label, was written again
(`reason/rewrite.py`). `yes`: the second one stands. `in vain`: no other held either, and the first one stands. `late`:
so it does, since time was up."""


AnsweredFrom = Literal["model", "measurements", "probabilities", "nothing"]
"""What the answer to a person's own question is from (`reason/answers.py`). `model`: the words are the model's.
`measurements`, `probabilities`: a rule tells what was measured in the window, or how probable its labels are.
`nothing`: it cannot be told from the window, and a rule says so."""


TurnedBy = Literal["second_look", "reasons", "words"]
"""What turned an answer from the fast label (`reason/turned.py`): a second look at the face, the judgement after the
chain's texts, or the words that were said."""


@dataclass(frozen=True, slots=True)
class Unsupported:
    """A statement of a chain that the measurements of its window do not bear out (`reason/grounding.py`)."""

    section: str
    start: int
    "Its first character in the section."
    text: str


@dataclass(frozen=True, slots=True)
class ReasonDone:
    """A finished chain."""

    sections: Mapping[str, str]
    answer: Answer
    timings_ms: Mapping[str, float] = field(default_factory=dict)
    contradictions: tuple[Contradiction, ...] = ()
    "The answer is unsure where there are any."
    rewritten: Rewritten = "no"
    words: bool = False
    "Whether the judgement read what was said."
    unsupported: tuple[Unsupported, ...] = ()
    n_withheld: int = 0
    "How often its measurements kept it from beginning a statement (`reason/grounded.py`)."
    answered_from: AnsweredFrom | None = None
    "None where no question was asked but the model's own."
    turned_by: tuple[TurnedBy, ...] = ()
    "Empty where the answer is the fast label, or unsure, and for labels of one's own."


@dataclass(frozen=True, slots=True)
class Summary:
    """What a language model made of the statements of a summary."""

    text: str | None
    "None where no draft of it held to them."


@dataclass(frozen=True, slots=True)
class Lag:
    """How far a session is behind, and what it has skipped so far."""

    seconds: float
    "Age in media seconds of the oldest frame, speech or window that is not answered yet."
    skipped_frames: int
    skipped_windows: int
    reduced: Reduced = "nothing"
    skipped_cue_frames: int = 0
