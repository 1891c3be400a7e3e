"""Read RAVDESS speech from the data folder: 1,200 acted sentences of 20 actors, 16-kHz FLAC, with `labels.csv`."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from realtime.model.experts import EXPERT_LABELS
from realtime.records import SAMPLE_RATE_HZ, Float32
from train.readers.clip import tell_skipped

LABEL_OF = {
    "neutral": "neutral", "calm": "neutral", "happy": "happy", "sad": "sad", "angry": "angry", "fearful": "fear",
    "disgust": "disgust", "surprised": "surprise",
}  # fmt: skip
ACTORS = {"train": range(1, 17), "valid": range(17, 19), "test": range(19, 21)}


@dataclass(frozen=True)
class ActedSentence:
    file: str
    label: int
    "Index into EXPERT_LABELS; calm counts as neutral."
    strong: bool
    actor: int
    sex: str


def load(folder: Path) -> list[ActedSentence]:
    """All sentences of `ACTORS` in file order. Raises FileNotFoundError that names the label file, if that is missing.

    RAVDESS as published has four more actors. They are left out, so that training and figures stay the same with them.
    Rows that are not of RAVDESS are skipped and told (`tell_skipped`).
    """
    sentences, skipped = load_and_skip(folder)
    tell_skipped(f"{folder / 'ravdess' / 'labels.csv'}", skipped, "they hold no emotion or actor of RAVDESS")
    return sentences


def load_and_skip(folder: Path) -> tuple[list[ActedSentence], tuple[str, ...]]:
    """The sentences of `load`, and the rows that are not of RAVDESS by number and file."""
    sentences, skipped = [], []
    with (folder / "ravdess" / "labels.csv").open(newline="", encoding="utf-8") as lines:
        for number, row in enumerate(csv.DictReader(lines), start=1):
            try:
                sentence = _sentence(row)
                if any(sentence.actor in own for own in ACTORS.values()):
                    sentences.append(sentence)
            except (KeyError, TypeError, ValueError):
                skipped.append(f"row {number} ({row.get('file') or 'no file'})")
    return sentences, tuple(skipped)


def _sentence(row: dict[str, str]) -> ActedSentence:
    """Raises KeyError, TypeError or ValueError for a row that is not of RAVDESS."""
    return ActedSentence(
        file=row["file"],
        label=EXPERT_LABELS.index(LABEL_OF[row["emotion"]]),
        strong=row["intensity"] == "strong",
        actor=int(row["actor"]),
        sex=row["sex"],
    )


def read_samples(folder: Path, file: str) -> Float32:
    """(N,) float32 samples at 16 kHz, mono. Raises ValueError for a file of another kind."""
    import soundfile

    samples, rate = soundfile.read(folder / "ravdess" / file, dtype="float32")
    if rate != SAMPLE_RATE_HZ or samples.ndim != 1:
        raise ValueError(f"{file} is {samples.ndim}-channel at {rate} Hz; expected mono at {SAMPLE_RATE_HZ} Hz")
    result: Float32 = np.asarray(samples, np.float32)
    return result
