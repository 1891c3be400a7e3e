"""What was measured of a person and a voice, made up for tests: everything not named is neutral."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from realtime.evidence.cues import CUES
from realtime.evidence.voice import VOICE_VALUES
from realtime.model.experts import EXPERT_LABELS
from train.arrays import Float64
from train.coet.measured import PersonSeen, VoiceHeard


def shares(**given: float) -> Float64:
    return np.array([given.get(label, 0.0) for label in EXPERT_LABELS])


def person(cues: Mapping[str, float], votes: Float64) -> PersonSeen:
    intensities = {name: cues.get(name, 0.0) for name in CUES}
    return PersonSeen(intensities, (0.0, 0.0, 0.0), (0.5, 0.5), 0.4, votes)


def voice(votes: Float64, **z: float) -> VoiceHeard:
    return VoiceHeard({name: z.get(name, 0.0) for name in VOICE_VALUES}, votes, strong=False)
