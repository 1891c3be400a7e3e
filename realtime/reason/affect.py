"""Valence and arousal of a window, −1…1, and what each comes from.

Valence is what the label's distribution expects on the circumplex: the mean of `CIRCUMPLEX`, weighted by the
probabilities. Its word is that of the likeliest label. Arousal is the voice's own where one is heard
(`evidence/arousal.py`). Without a voice it is what the distribution expects, made stronger or weaker by how strongly
the face moves; that part was never measured against people's judgement.
"""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean
from typing import Literal

from realtime.records import Affect, AffectSide, Window

CIRCUMPLEX: Mapping[str, tuple[float, float]] = {
    "happy": (0.81, 0.51),
    "sad": (-0.63, -0.27),
    "neutral": (0.0, 0.0),
    "angry": (-0.51, 0.59),
    "surprise": (0.40, 0.67),
    "disgust": (-0.60, 0.35),
    "fear": (-0.64, 0.60),
}
"""Valence and arousal of each label: mean ratings of the emotion's name, of −1…1 (Russell & Mehrabian, 1977, Evidence
for a three-factor theory of emotions, Journal of Research in Personality 11, 273–294). Neutral is the middle."""
VALENCE, AROUSAL = 0, 1
"Axes of the circumplex."
PLACED = 0.15
"A value is low, or high, from this distance to the middle."
STRONGEST_CUES = 3
"Cues of a face that tell how strongly it moves."


def affect(window: Window, probabilities: Mapping[str, float]) -> tuple[Affect | None, Affect | None]:
    """Valence and arousal; None where there is neither a face nor a voice, or for labels that have no known place."""
    seen = any(frame.faces for frame in window.frames)
    placed = probabilities.keys() <= CIRCUMPLEX.keys()
    valence = None
    if placed and (seen or window.speech):
        expected = sum(share * CIRCUMPLEX[label][0] for label, share in probabilities.items())
        basis: Literal["face", "voice", "both"] = "both" if seen and window.speech else "face" if seen else "voice"
        valence = Affect(expected, basis, likeliest_side(probabilities, VALENCE))
    heard = [(part.end_s - part.start_s, part.cues.arousal) for part in window.speech if part.cues.arousal is not None]
    if heard:
        seconds = sum(length_s for length_s, _ in heard)
        mean = sum(length_s * value for length_s, value in heard) / seconds
        return valence, Affect(mean, "voice", side_of(mean))
    if not (placed and seen):
        return valence, None
    expected = sum(share * CIRCUMPLEX[label][1] for label, share in probabilities.items())
    value = max(-1.0, min(1.0, expected * (0.5 + intensity(window))))
    return valence, Affect(value, "face", side_of(value))


def side_of(value: float) -> AffectSide:
    return "high" if value > PLACED else "low" if value < -PLACED else "middle"


def likeliest_side(probabilities: Mapping[str, float], axis: int) -> AffectSide:
    """Where the likeliest label lies, which a person reads beside the mood: the mean may lie elsewhere.

    A label of no known place is in the middle.
    """
    best = max(probabilities, key=lambda label: probabilities[label])
    return side_of(CIRCUMPLEX[best][axis] if best in CIRCUMPLEX else 0.0)


def intensity(window: Window) -> float:
    """How strongly the faces of the newest measured frame move, 0–1: the mean of each one's strongest cues."""
    newest = next((frame.cues for frame in reversed(window.frames) if frame.cues), ())
    strongest = [sorted(cues.intensities.values())[-STRONGEST_CUES:] for cues in newest if cues.intensities]
    return fmean(map(fmean, strongest)) if strongest else 0.5
