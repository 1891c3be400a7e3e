"""What crosses between a session's node and the cluster. Both ends run the same version; `SCHEMA` makes sure.

Pictures, sound and text of a person travel as tensors and numbers only, and nothing here names who they are from beyond
the session's random id.
"""

from __future__ import annotations

import dataclasses
import hashlib
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy.typing as npt

from realtime.records import Face, FrameEvidence, Label, Question, SpeechEvidence, Window
from realtime.roles import Step

Evidence = FrameEvidence | SpeechEvidence
Arrays = Mapping[str, npt.NDArray[Any]]

CALLS = 2
"To be raised with the arguments of a call."
PIECE_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class EncodeRequest:
    """One call of a tower: its inputs by name (`towers/graph.py`), the text left out.

    The replica has the words of the question itself, so that they do not travel with every frame.
    """

    adapter: str
    ask: Question
    inputs: Arrays


@dataclass(frozen=True, slots=True)
class Encoded:
    outputs: tuple[npt.NDArray[Any], ...]
    waited_s: float
    "Between its arrival and the beginning of its batch."
    batch: int
    "Requests it was encoded with, itself included."


@dataclass(frozen=True, slots=True)
class Who:
    session: str
    adapter: str
    ask: Question


@dataclass(frozen=True, slots=True)
class WindowRequest:
    """A window by the numbers of its evidence, which the replica has, or says it misses."""

    who: Who
    index: int
    start_s: float
    end_s: float
    frames: tuple[int, ...]
    speech: tuple[int, ...]

    @classmethod
    def of(cls, window: Window, who: Who) -> WindowRequest:
        return cls(
            who,
            window.index,
            window.start_s,
            window.end_s,
            tuple(part.number for part in window.frames),
            tuple(part.number for part in window.speech),
        )


@dataclass(frozen=True, slots=True)
class Missing:
    """The replica does not hold this evidence: it is new, it was restarted, or the session was another's."""

    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Labelled:
    label: Label
    waited_s: float


@dataclass(frozen=True, slots=True)
class Told:
    """What was written of a chain since the last message."""

    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Card:
    """What is deployed, and what a session's node needs of it: everything but towers and language model."""

    schema: str
    version: str
    model: str
    fingerprint: str
    adapters: tuple[str, ...]
    "Names; the empty one is the backbone without an adapter."
    labels: tuple[str, ...]
    engine_reason: str
    config: Mapping[str, object]
    emotion_config: Mapping[str, Mapping[str, object] | None]
    "By adapter: the shapes of what comes next."
    emotion: Mapping[str, bytes]
    "By adapter: experts and projectors of the cue tokens, as safetensors."


def in_pieces(request: EncodeRequest) -> list[bytes]:
    """What Ray sends with the call: anything larger than 100 KB it would lay into a store of its own first."""
    data = pickle.dumps(request, protocol=pickle.HIGHEST_PROTOCOL)
    return [data[at : at + PIECE_BYTES] for at in range(0, len(data), PIECE_BYTES)]


def from_pieces(pieces: Sequence[bytes]) -> EncodeRequest:
    request: EncodeRequest = pickle.loads(b"".join(pieces))
    return request


def slim(evidence: Evidence) -> Evidence:
    """Without what only the page and the baselines want, and in no ring: replicas have their own."""
    if isinstance(evidence, SpeechEvidence):
        return replace(evidence, ring=0)
    faces = tuple(Face(face.track, face.box, face.score, None) for face in evidence.faces)
    return replace(evidence, faces=faces, cues=(), focal=(), map=None, timings_ms={}, ring=0)


def _described(kind: type) -> str:
    fields = ",".join(f"{part.name}:{part.type}" for part in dataclasses.fields(kind))
    return f"{kind.__name__}({fields})"


SCHEMA = hashlib.sha256(
    f"{CALLS};".join(
        _described(kind)
        for kind in (
            EncodeRequest,
            Encoded,
            Who,
            WindowRequest,
            Missing,
            Labelled,
            Told,
            Card,
            FrameEvidence,
            SpeechEvidence,
            Label,
            Question,
        )
    ).encode()
).hexdigest()[:12]
"Changes with every field that travels and with `CALLS`."
