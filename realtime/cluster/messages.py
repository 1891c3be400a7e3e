"""What travels between a session's node and the cluster. Both ends run the same version, which `SCHEMA` checks.

Pictures, sound and text of a person travel only as tensors and numbers. Nothing here says whose they are beyond the
session's random id.
"""

from __future__ import annotations

import dataclasses
import hashlib
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from realtime.records import Face, FrameEvidence, Label, OwnLabel, Question, SpeechEvidence, Window
from realtime.roles import Step

Evidence = FrameEvidence | SpeechEvidence
Arrays = Mapping[str, npt.NDArray[Any]]

CALLS = 2
"Version of the replicas' methods; raise it when their arguments change."
PIECE_BYTES = 1 << 16
NO_GEOMETRY = np.zeros(0, np.float32)


@dataclass(frozen=True, slots=True)
class EncodeRequest:
    """One call of a tower: its inputs by name (`towers/graph.py`), without the text.

    The replica embeds the question's text itself, so that it does not travel with every frame.
    """

    adapter: str
    question: Question
    inputs: Arrays


@dataclass(frozen=True, slots=True)
class Encoded:
    """The answer to an EncodeRequest."""

    outputs: tuple[npt.NDArray[Any], ...]
    waited_s: float
    "From the request's arrival to the start of its batch."
    batch: int
    "Requests in its batch, itself included."


@dataclass(frozen=True, slots=True)
class SessionKey:
    """Whose evidence a call is about, and what it is read with."""

    session: str
    adapter: str
    question: Question


@dataclass(frozen=True, slots=True)
class WindowRequest:
    """A window to label or reason about, its evidence given by numbers. The replica answers which of them it misses."""

    key: SessionKey
    index: int
    start_s: float
    end_s: float
    frames: tuple[int, ...]
    speech: tuple[int, ...]
    again_s: float | None = None
    "Of a chain, as in `Thinker.reason`."

    @classmethod
    def of(cls, window: Window, key: SessionKey, again_s: float | None = None) -> WindowRequest:
        return cls(
            key,
            window.index,
            window.start_s,
            window.end_s,
            tuple(part.number for part in window.frames),
            tuple(part.number for part in window.speech),
            again_s,
        )


@dataclass(frozen=True, slots=True)
class MissingEvidence:
    """The replica does not have this evidence: it is new or was restarted, or the session was on another replica."""

    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TimedLabel:
    """A label, and how long its request waited for the model."""

    label: Label
    waited_s: float


@dataclass(frozen=True, slots=True)
class ChainSteps:
    """The steps of a chain that were decoded since the last message."""

    steps: tuple[Step, ...]


@dataclass(frozen=True)
class DeploymentManifest:
    """What is deployed, with all that a session's node needs of the model: everything but towers and language model."""

    schema: str
    version: str
    model: str
    fingerprint: str
    adapters: tuple[str, ...]
    "Names; the empty one is the backbone without an adapter."
    labels: tuple[str, ...]
    runtime_reason: str
    config: Mapping[str, object]
    emotion_config: Mapping[str, Mapping[str, object] | None]
    "By adapter: the shapes of `emotion`."
    emotion: Mapping[str, bytes]
    "By adapter: experts and projectors of the cue tokens, as safetensors."


def in_pieces(request: EncodeRequest) -> list[bytes]:
    """Pickle a request in pieces. Ray sends them with the call; it would copy more than 100 KB to its store first."""
    data = pickle.dumps(request, protocol=pickle.HIGHEST_PROTOCOL)
    return [data[at : at + PIECE_BYTES] for at in range(0, len(data), PIECE_BYTES)]


def from_pieces(pieces: Sequence[bytes]) -> EncodeRequest:
    """The request that `in_pieces` pickled."""
    request: EncodeRequest = pickle.loads(b"".join(pieces))
    return request


def slim(evidence: Evidence) -> Evidence:
    """Leave out what only the page and the baselines need, and the ring: replicas have rings of their own.

    What was measured of each face stays, for a chain that is told so in words; and the expert's verdicts, from which
    each person's label and a second look are made.
    """
    if isinstance(evidence, SpeechEvidence):
        return replace(evidence, ring=0)
    faces = tuple(Face(face.track, face.box, face.score, None) for face in evidence.faces)
    cues = tuple(replace(each, geometry_N=NO_GEOMETRY) for each in evidence.cues)
    return replace(evidence, faces=faces, cues=cues, focal=(), map=None, timings_ms={}, ring=0)


def _described(kind: type) -> str:
    fields = ",".join(f"{part.name}:{part.type}" for part in dataclasses.fields(kind))
    return f"{kind.__name__}({fields})"


SCHEMA = hashlib.sha256(
    f"{CALLS};".join(
        _described(kind)
        for kind in (
            EncodeRequest,
            Encoded,
            SessionKey,
            WindowRequest,
            MissingEvidence,
            TimedLabel,
            ChainSteps,
            DeploymentManifest,
            FrameEvidence,
            SpeechEvidence,
            Label,
            Question,
            OwnLabel,
        )
    ).encode()
).hexdigest()[:12]
"A hash of every field that travels and of `CALLS`."
