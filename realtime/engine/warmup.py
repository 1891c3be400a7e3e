"""Runs a second of noise through every stage before the first session, so that what loads at first use is loaded."""

from __future__ import annotations

import itertools

import numpy as np

from realtime.records import (
    SAMPLE_RATE_HZ,
    Question,
    SpeechSegment,
    VideoFrame,
    Window,
)
from realtime.roles import Model

HEIGHT, WIDTH = 360, 480
SPEECH_S = 1.0
STEPS = 4
"Steps of the chain: the first prefills the window, the others decode."


def warm_up(model: Model, seed: int = 0) -> None:
    """Run every stage once. Blocking; call it in the model's thread, whose own pools and caches it fills."""
    noise = np.random.default_rng(seed)
    picture_HW3 = noise.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    sound_N = (0.1 * noise.standard_normal(round(SPEECH_S * SAMPLE_RATE_HZ))).astype(np.float32)
    question = Question(labels=model.labels)
    perceiver = model.perceiver(seed)
    try:
        frames = tuple(perceiver.see(VideoFrame(at_s, picture_HW3)) for at_s in (0.0, 1.0))
        speech = perceiver.hear(SpeechSegment(0.0, SPEECH_S, sound_N))
    finally:
        perceiver.close()
    window = Window(index=0, start_s=0.0, end_s=SPEECH_S, frames=frames, speech=(speech,))
    model.thinker.fast_label(window, question)
    for _ in itertools.islice(model.thinker.reason(window, question), STEPS):
        pass
