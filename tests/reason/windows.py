"""Windows whose evidence is random, with a face, a voice, both or neither."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from realtime.reason.prompt import Question
from realtime.records import Face, FrameEvidence, Scene, SpeechEvidence, TokenCounts, VoiceCues, Window

ASK = Question()


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
