"""Evaluates the model's face and voice experts without its Thinker, on samples with a face and a voice.

Pictures and sentences go through the perception of a live session, and the outputs of both experts are recorded as they
enter the cue tokens. They are combined as the crowd combines a face and a voice (`train/nano/crowd.py`). A Thinker that
does worse than this loses information that its cue tokens hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from realtime.engine.loading import LoadedModel, load
from realtime.errors import BadSettings
from realtime.evidence import tokens
from realtime.evidence.perceive import Perception
from realtime.model.experts import EXPERT_LABELS
from realtime.model.thinker import EmoThinker
from realtime.records import Question
from train.arrays import Float64, Int64
from train.evaluation.samples import SAMPLES, Sample, sessions
from train.nano import crowd
from train.readers.perceived import measuring

NAMES = ("the face expert", "the voice expert", "both experts, settled as a crowd would")


class ExpertRecorder:
    """Records the outputs of the experts from which the cue tokens of a picture and of a sentence are made."""

    def __init__(self) -> None:
        self.face_7: Float64 | None = None
        self.voice_7: Float64 | None = None

    def of_frame(self, model: EmoThinker, selected_ND: Tensor, order_N: Tensor, **cues: Any) -> tuple[Tensor, Tensor]:
        faces = cues["faces"]
        self.face_7 = faces[0].verdict_7.double().exp().numpy() if faces else None
        return tokens.with_frame_cues(model, selected_ND, order_N, **cues)

    def of_voice(self, model: EmoThinker, tokens_ND: Tensor, **cues: Any) -> tuple[Tensor, Tensor]:
        self.voice_7 = cues["verdict_7"].double().exp().numpy()
        return tokens.with_voice_cues(model, tokens_ND, **cues)


def measure(
    benchmark: str, data: Path, split: str, model: str, *, limit: int | None = None
) -> tuple[dict[str, Float64], Int64]:
    """Probabilities (N, 7) by name, and the truth (N,), of the pairs of `benchmark`, or of `limit` of each speaker.

    Raises BadSettings for a checkpoint without experts.
    """
    loaded = load(model, engine="torch")
    if loaded.weights.emotion.face_expert is None or loaded.weights.emotion.voice_expert is None:
        raise BadSettings(f"{loaded.name} has no experts to compare with.", "Leave --baselines out.")
    votes = crowd.load(data)
    teacher, heard = crowd.Teacher.fit(votes.face, votes.voice, votes.both), crowd.expected_voice_votes(votes)
    samples = list(SAMPLES[benchmark](data, split, limit))
    shares: dict[str, list[Float64]] = {name: [] for name in NAMES}
    for part in sessions(samples, at_least=1):
        for face, voice in expert_probabilities(measuring(loaded), part):
            # Where no face was found, the voice expert decides alone.
            both = voice if face is None else teacher(face[None], (voice @ heard)[None])[0]
            for name, found in zip(NAMES, (voice if face is None else face, voice, both), strict=True):
                shares[name].append(found)
    truth = np.array([EXPERT_LABELS.index(sample.truth) for sample in samples])
    return {name: np.stack(rows) for name, rows in shares.items()}, truth


@torch.inference_mode()
def expert_probabilities(model: LoadedModel, session: Sequence[Sample]) -> list[tuple[Float64 | None, Float64]]:
    """(7,) probabilities by the face expert (None: no face found) and the voice expert, for each pair of a session."""
    recorder, found = ExpertRecorder(), []
    perception = Perception(
        model.weights,
        model.towers,
        query=model.thinker.query_embeddings,
        question=Question(labels=model.labels),
        seed=0,
        frame_cues=recorder.of_frame,
        voice_cues=recorder.of_voice,
    )
    try:
        for sample in session:
            assert sample.frame is not None
            assert sample.speech is not None
            perception.see(sample.frame)
            perception.hear(sample.speech)
            assert recorder.voice_7 is not None
            found.append((recorder.face_7, recorder.voice_7))
    finally:
        perception.close()
    return found
