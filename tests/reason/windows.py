"""Windows whose evidence is random, with a face, a voice, both or neither."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from realtime.reason.prompt import Question
from realtime.records import Face, FaceCues, FrameEvidence, Scene, SpeechEvidence, TokenCounts, VoiceCues, Window

ASK = Question()
VOICE_NAMES = ("pitch_hz", "loudness_db", "rate_hz", "tilt_db", "pitch_range_st")


def drawn_frame(at_s: float, n_faces: int, seed: int) -> FrameEvidence:
    rng = np.random.default_rng(seed)
    faces = tuple(Face(i, (0.1 * i, 0.2, 0.2, 0.3), 0.9, None) for i in range(n_faces))
    tokens = rng.normal(0, 0.5, (58, 256)).astype(np.float32)
    positions = np.stack([np.zeros(58), np.arange(58) // 8, np.arange(58) % 8]).astype(np.int64)
    return FrameEvidence(at_s, faces, (), Scene(0.5, 0.3), TokenCounts(36, 22, 6), tokens, positions)


def drawn_speech(start_s: float, seed: int) -> SpeechEvidence:
    rng = np.random.default_rng(seed)
    steps = np.tile(np.arange(40), (3, 1)).astype(np.int64)
    tokens = rng.normal(0, 0.5, (40, 256)).astype(np.float32)
    return SpeechEvidence(start_s, start_s + 1.6, VoiceCues({}, {}, np.zeros(0, np.float32)), tokens, steps)


BOTH = Window(0, 0.0, 3.0, tuple(drawn_frame(float(s), 1, s) for s in range(3)), (drawn_speech(1.2, 9),))
FACE_ONLY = replace(BOTH, speech=())
VOICE_ONLY = replace(BOTH, frames=())
NOTHING = replace(BOTH, frames=(), speech=())


def measured(window: Window, cues: Mapping[str, float], relative: Mapping[str, float], *, usual: bool = True) -> Window:
    """The window with these cues in the face of each track, facing the camera, and this prosody."""

    def of_face(face: Face) -> FaceCues:
        return FaceCues(face.track, dict(cues), (0.0, 0.0, 0.0), np.zeros(0, np.float32))

    frames = tuple(replace(frame, cues=tuple(map(of_face, frame.faces))) for frame in window.frames)
    told = VoiceCues({}, dict.fromkeys(VOICE_NAMES, 0.0) | dict(relative), np.zeros(0, np.float32), usual_known=usual)
    return replace(window, frames=frames, speech=tuple(replace(part, cues=told) for part in window.speech))
