"""Random stand-ins for what nano's Thinker is trained on: no data folder and no trained tower is needed."""

from __future__ import annotations

from types import MethodType, SimpleNamespace
from typing import cast

import numpy as np
import torch

from realtime.evidence.cues import CUES
from realtime.evidence.voice import VOICE_VALUES
from realtime.model.experts import EXPERT_LABELS
from realtime.model.thinker import N_VOICE_MEASURES, EmoThinker
from realtime.records import Float32
from train.coet.measured import Observation, PersonSeen, VoiceHeard, Writer
from train.nano import crowd
from train.nano.drawn_windows import DrawnWindow
from train.nano.synthetic_frames import SIDE
from train.nano.thinker_inputs import PooledFrames, ThinkerInputs

N_FACES, N_VOICES, N_POOL = 4, 5, 6
BOXES = ((0.2, 0.3, 0.3, 0.4), (0.55, 0.25, 0.25, 0.35))


def log_shares(rng: np.random.Generator, *shape: int) -> Float32:
    scores = torch.from_numpy(rng.normal(0, 1.5, (*shape, len(EXPERT_LABELS))).astype(np.float32))
    return torch.log_softmax(scores, -1).numpy()


def random_inputs(model: EmoThinker) -> ThinkerInputs:
    """What `NanoLayout` reads of `ThinkerInputs`, drawn."""
    rng, dim = np.random.default_rng(0), model.config.text.hidden_size
    frames = SimpleNamespace(
        tokens=torch.from_numpy(rng.normal(0, 1, (N_POOL, SIDE**2, dim)).astype(np.float32)),
        focal=torch.from_numpy(rng.random((N_POOL, SIDE**2)) < 0.25),
        boxes=[BOXES[:1], BOXES[:1], BOXES, BOXES[:1], (), ()],
        by_rows={
            (0,): PooledFrames((0,), (0, 1)),
            (1, 2): PooledFrames((1, 2), (2,)),
            (3,): PooledFrames((3,), (3,)),
        },
        empty=[PooledFrames((), (4,)), PooledFrames((), (5,))],
    )
    inputs = SimpleNamespace(
        frames=frames,
        sound={
            row: torch.from_numpy(rng.normal(0, 1, (20 + 7 * row, dim)).astype(np.float32)) for row in range(N_VOICES)
        },
        live=rng.normal(0, 1, (2, N_VOICES, N_VOICE_MEASURES)).astype(np.float32),
        voice_verdicts=log_shares(rng, 2, N_VOICES),
        face_verdicts=log_shares(rng, N_FACES),
        geometry=rng.normal(0, 0.02, (N_FACES, 936)).astype(np.float16),
        sampler=SimpleNamespace(teacher=drawn_teacher(rng), expected=rng.dirichlet(np.ones(7), 7)),
    )
    for method in (ThinkerInputs.instrument_shares, ThinkerInputs.concluded):
        setattr(inputs, method.__name__, MethodType(method, inputs))
    return cast(ThinkerInputs, inputs)


def drawn_teacher(rng: np.random.Generator) -> crowd.Teacher:
    """A crowd of random taste: its coefficients are drawn."""
    n = len(EXPERT_LABELS)
    return crowd.Teacher(rng.normal(0, 1, n * 5 + 2 * n * n), rng.normal(0, 1, n))


def drawn_window(
    faces: tuple[int, ...], voice: int, *, earlier: tuple[int, ...] = (), n_frames: int = 1, seed: int = 7
) -> DrawnWindow:
    """A window with chosen people: rows of faces, and of one voice (−1: nobody speaks)."""
    rng = np.random.default_rng(seed)
    people = tuple(
        PersonSeen(
            {cue: float(rng.random()) for cue in CUES}, (10.0, -5.0, 3.0), (0.4, 0.5), 0.4, rng.dirichlet(np.ones(7))
        )
        for _ in faces
    )
    heard = None
    if voice >= 0:
        prosody = {name: float(rng.normal()) for name in VOICE_VALUES}
        heard = VoiceHeard(prosody, rng.dirichlet(np.ones(7)), strong=False)
    seen = Observation(
        people=people,
        has_picture=n_frames > 0,
        brightness=0.6,
        saturation=0.2,
        voice=heard,
        shares=rng.dirichlet(np.ones(7)) if people or heard else None,
    )
    sections = Writer(seed).chain(seen)
    return DrawnWindow(faces, voice, earlier, n_frames, 1, n_frames > 0, seen, sections, seed)
