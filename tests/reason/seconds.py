"""Windows of eight measured seconds, whose faces and voice do what a test says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from realtime.records import Face, FaceCues, FrameEvidence, Glimpse, SpeechEvidence, VoiceCues, Window
from tests.reason.windows import VOICE_NAMES, drawn_frame, drawn_speech

LENGTH_S = 8
AS_USUAL = {"pitch_hz": 180.0, "loudness_db": -30.0, "rate_hz": 4.0, "tilt_db": 0.0, "pitch_range_st": 4.0}


def face(track: int, cues: Mapping[str, float], *, yaw: float = 0.0) -> FaceCues:
    return FaceCues(track, dict(cues), (yaw, 0.0, 0.0), np.zeros(0, np.float32))


def second(at_s: float, *people: Mapping[str, float], yaw: float = 0.0) -> FrameEvidence:
    """A frame with these people side by side, from the left."""
    faces = tuple(Face(track, (0.4 * track, 0.2, 0.2, 0.3), 0.9, None) for track in range(len(people)))
    cues = tuple(face(track, person, yaw=yaw) for track, person in enumerate(people))
    return replace(drawn_frame(at_s, 0, int(at_s)), faces=faces, cues=cues)


def stretch(start_s: float, end_s: float, *, known: bool = True, **values: float) -> SpeechEvidence:
    """A stretch of speech with these measures, in physical units; `z_…` are against the usual."""
    relative = dict.fromkeys(VOICE_NAMES, 0.0) | {k[2:]: v for k, v in values.items() if k.startswith("z_")}
    told = AS_USUAL | {name: value for name, value in values.items() if not name.startswith("z_")}
    cues = VoiceCues(told, relative, np.zeros(0, np.float32), usual_known=known)
    return replace(drawn_speech(start_s, 1), end_s=end_s, cues=cues)


def seconds(
    *people: Sequence[Mapping[str, float]],
    speech: Sequence[SpeechEvidence] = (),
    start_s: float = 0.0,
    glimpses: Sequence[Glimpse] = (),
) -> Window:
    """The window in which each person shows these cues, one set for each second."""
    length = max(map(len, people), default=LENGTH_S)
    frames = tuple(second(start_s + at, *(person[at] for person in people)) for at in range(length))
    return Window(0, start_s, start_s + LENGTH_S, frames if people else (), tuple(speech), tuple(glimpses))


def becomes(before: Mapping[str, float], after: Mapping[str, float], at: int) -> list[Mapping[str, float]]:
    """A face that is one way, and another from this second on."""
    return [before if each < at else after for each in range(LENGTH_S)]
