"""An emotion wheel of the words that this project knows, in the form of the published ones.

Level 2 are the emotions that the model tells; level 1 is pleasant, unpleasant, and surprise, which can be either. As on
the published wheels, neutral is on none. The words are those of `realtime/asking/emotion_words.py`, in four languages.
"""

from __future__ import annotations

from realtime.asking.emotion_words import NEGATIVE, WORDS
from train.metrics.wheel import Wheels

OFF = "neutral"


def own() -> Wheels:
    """The wheel, for the metrics of `train/metrics/wheel.py`."""
    emotion = {
        word: meant[0] for meant, words in WORDS if len(meant) == 1 and meant[0] != OFF for word in words.split(", ")
    }
    level1 = {word: _side(label) for word, label in emotion.items()}
    return Wheels(
        version="own",
        forms={word: (word,) for word in emotion},
        synonyms={word: (word,) for word in emotion},
        groups={"own": {"level1": level1, "level2": emotion}},
    )


def _side(label: str) -> str:
    return "unpleasant" if label in NEGATIVE else "pleasant" if label == "happy" else label
