"""The third side of a conflict: the words against the face, and against the voice."""

from __future__ import annotations

from collections.abc import Mapping

from realtime.reason.calibrate import divergence_bits
from realtime.records import HeardWords, Label, Window, WordsConflict


def conflict_of(words: HeardWords, window: Window, label: Label | None) -> WordsConflict:
    """How far the words are from the face and from the voice of the window that is about them.

    `label` is the window's fast label; None where there is none. With a voice and no face, it is what the voice says.
    """
    face = voice = None
    if label is not None and label.conflict is not None:
        face, voice = label.conflict.face, label.conflict.voice
    elif label is not None and window.speech and not any(frame.faces for frame in window.frames):
        voice = label.probabilities
    return WordsConflict(_apart(words.probabilities, face), _apart(words.probabilities, voice))


def _apart(one: Mapping[str, float] | None, other: Mapping[str, float] | None) -> float | None:
    if one is None or other is None or one.keys() != other.keys():
        return None
    return divergence_bits(list(one.values()), [other[label] for label in one])
