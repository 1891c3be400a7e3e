"""Running baselines of each face and of the voice, to which measurements are relative.

Both start at the population (`population.json`, aggregate statistics of public data sets, fitted by `train`) and move
towards the person as evidence comes in. They live as long as a track or a session and are never stored.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from importlib import resources
from typing import Any

import numpy as np
import numpy.typing as npt

from realtime.records import Float32

FACE_PSEUDO_COUNT = 8.0
"Weight of the population's neutral, in frames. At 1 FPS a person's own face weighs as much after about 10 s."
FACE_MEMORY = 120.0
"Largest weight, in frames, so that the neutral follows a new seat or new light within minutes."
FAR_FROM_NEUTRAL = 1.5
"Spreads from neutral at which a frame counts a quarter, so that a laugh does not become the new neutral."
LEAST_SHARE = 0.05
"Least weight of a frame. An expression that lasts for minutes is this face's shape, and becomes its neutral."
QUIET_ZONE = 0.5
"Spreads above neutral that still give 0. Two neutral pictures of one person differ by about as much."
INTENSITY_SCALE = 2.0
"Spreads (beyond the quiet zone) at which intensity reaches 1 − 1/e = 0.63."
VOICE_PSEUDO_COUNT = 2.0
"Weight of the population for a voice, in utterances."
VOICE_MEMORY = 24.0
"Largest weight of a voice's mean, in utterances."
USUAL_UTTERANCES, USUAL_S = 3, 6.0
"Utterances and seconds of speech after which something is told against this voice's usual. Before, there is none."
Z_LIMIT = 5.0
"Limit of normalised values, so that a cough or a broken microphone is only an outlier."


@functools.cache
def population() -> dict[str, Any]:
    """The fitted constants, as stored."""
    text = resources.files("realtime.evidence").joinpath("population.json").read_text("utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


class FaceBaseline:
    """Running neutral of the raw cues of one face track."""

    def __init__(self, names: Sequence[str]) -> None:
        stored = population()["face"]
        self._neutral_C = np.array([stored[name]["neutral"] for name in names], np.float64)
        self._spread_C = np.array([stored[name]["spread"] for name in names], np.float64)
        self._weight_C = np.full(len(names), FACE_PSEUDO_COUNT)

    def relative(self, raw_C: Float32) -> Float32:
        """(C,) z-scores against this track's neutral, in spreads of neutral faces between people."""
        z_C = (raw_C - self._neutral_C) / self._spread_C
        return np.clip(np.nan_to_num(z_C), -Z_LIMIT, Z_LIMIT).astype(np.float32)

    def intensities(self, raw_C: Float32) -> Float32:
        """(C,) 0–1: how far each cue is above neutral; 0 below neutral and in the quiet zone."""
        return squash(self.relative(raw_C))

    def push(self, raw_C: Float32) -> None:
        """Move the neutral towards one frame, by less the further that frame is from neutral."""
        if not np.isfinite(raw_C).all():
            return
        z_C = (raw_C - self._neutral_C) / self._spread_C
        share_C = np.maximum(1.0 / (1.0 + (z_C / FAR_FROM_NEUTRAL) ** 2) ** 2, LEAST_SHARE)
        self._weight_C = np.minimum(self._weight_C + share_C, FACE_MEMORY)
        self._neutral_C = self._neutral_C + share_C / self._weight_C * (raw_C - self._neutral_C)


def squash(z: Float32) -> Float32:
    """z-scores to 0–1: 1 − exp(−(z − 0.5)₊ / 2), so z = 1, 2, 4 become 0.22, 0.53, 0.83."""
    intensity: Float32 = 1.0 - np.exp(-np.maximum(z - QUIET_ZONE, 0.0) / INTENSITY_SCALE)
    return intensity.astype(np.float32)


class RunningMean:
    """Running mean of any features of one voice. It starts at a prior, which weighs `VOICE_PSEUDO_COUNT` utterances.

    An utterance never weighs less than 1 of `VOICE_MEMORY`, so that the mean forgets: of somebody who is angry from the
    first word to the last it would otherwise hold nothing but the anger.
    """

    def __init__(self, prior_P: npt.ArrayLike) -> None:
        self._mean_P = np.array(prior_P, np.float64)
        self._weight = VOICE_PSEUDO_COUNT
        self.n = 0
        "Number of utterances in the mean."

    @property
    def mean_P(self) -> npt.NDArray[np.float64]:
        return self._mean_P

    def push(self, features_P: Float32) -> None:
        """Add one utterance."""
        if not np.isfinite(features_P).all():
            return
        self.n += 1
        self._weight = min(self._weight + 1.0, VOICE_MEMORY)
        self._mean_P = self._mean_P + (features_P - self._mean_P) / self._weight


class VoiceBaseline:
    """Running mean of one voice's prosody. The spread is fixed to the spread within speakers."""

    def __init__(self) -> None:
        stored = population()["voice"]
        self._mean = RunningMean(stored["mean"])
        self._spread_P = np.array(stored["spread"], np.float64)
        self._heard_s = 0.0

    @property
    def n(self) -> int:
        """Number of utterances in the mean."""
        return self._mean.n

    @property
    def known(self) -> bool:
        """Whether this voice has been heard for long enough to say what is usual for it."""
        return self._mean.n >= USUAL_UTTERANCES and self._heard_s >= USUAL_S

    def relative(self, features_P: Float32) -> Float32:
        """(P,) z-scores against this voice so far."""
        z_P = (features_P - self._mean.mean_P) / self._spread_P
        return np.clip(np.nan_to_num(z_P), -Z_LIMIT, Z_LIMIT).astype(np.float32)

    def push(self, features_P: Float32, *, seconds: float) -> None:
        """Add one utterance of that length to the mean."""
        self._mean.push(features_P)
        self._heard_s += seconds


def fit_population(raw_MC: Float32, names: Sequence[str]) -> dict[str, dict[str, float]]:
    """Neutral and spread per cue from M neutral faces: median and half the span of the middle 68 %.

    Both ignore the few faces that were called neutral and are not, and the few meshes that did not fit.
    """
    low_C, neutral_C, high_C = np.percentile(raw_MC[np.isfinite(raw_MC).all(axis=1)], [16, 50, 84], axis=0)
    spread_C = np.maximum((high_C - low_C) / 2, 1e-4)
    return {
        name: {"neutral": round(float(neutral), 5), "spread": round(float(spread), 5)}
        for name, neutral, spread in zip(names, neutral_C, spread_C, strict=True)
    }


def fit_voice_population(
    features_MP: Float32, speakers_M: npt.ArrayLike, corpora_M: npt.ArrayLike
) -> dict[str, list[float]]:
    """Mean over corpora, and the pooled spread within speakers, per feature."""
    speakers_M, corpora_M = np.asarray(speakers_M), np.asarray(corpora_M)
    features = features_MP.astype(np.float64)
    centred = np.concatenate(
        [
            features[speakers_M == speaker] - features[speakers_M == speaker].mean(axis=0)
            for speaker in np.unique(speakers_M)
        ]
    )
    n_free = max(len(features) - len(np.unique(speakers_M)), 1)
    spread_P = np.maximum(np.sqrt((centred**2).sum(axis=0) / n_free), 1e-6)
    means = [features[corpora_M == corpus].mean(axis=0) for corpus in np.unique(corpora_M)]
    return {"mean": _rounded(np.mean(means, axis=0)), "spread": _rounded(spread_P)}


def _rounded(values_P: npt.NDArray[np.float64]) -> list[float]:
    return [float(f"{value:.6g}") for value in values_P]
