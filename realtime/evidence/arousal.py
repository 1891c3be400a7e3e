"""How aroused a voice sounds, from its prosody: a linear model that `train/nano/affect.py` fits (`arousal.json`).

Loudness is left out, since the microphone's gain and the distance decide it. What an effortful voice has beside it
counts: a higher and faster-moving pitch, a spectrum that falls off less.
"""

from __future__ import annotations

import functools
import json
from importlib import resources
from typing import Any

import numpy as np

from realtime.evidence.voice import VOICE_FEATURES
from realtime.records import Float32, VoiceCues

WHISPERED = -0.46
"""Of a whisper, in which the vocal folds do not sound, so that most of the model's features cannot be measured: what
calm sentences were fitted to. This is a rule; no whispers were rated."""


@functools.cache
def _weights() -> tuple[Float32, float]:
    text = resources.files("realtime.evidence").joinpath("arousal.json").read_text("utf-8")
    stored: dict[str, Any] = json.loads(text)
    weights_P = np.array([stored["weights"].get(name, 0.0) for name in VOICE_FEATURES], np.float32)
    return weights_P, float(stored["bias"])


def voice_arousal(cues: VoiceCues) -> float | None:
    """Arousal of one utterance, −1…1; None for what is no voice."""
    if cues.kind != "voice":
        return None
    if cues.unmeasured:
        return WHISPERED
    weights_P, bias = _weights()
    return float(np.clip(cues.features_P @ weights_P + bias, -1.0, 1.0))
