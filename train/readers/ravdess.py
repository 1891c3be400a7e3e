"""RAVDESS speech, as published or as it lies in the data folder: 24 acted voices, calm counts as neutral.

Actor_01 … Actor_24/03-01-EMOTION-INTENSITY-STATEMENT-REPETITION-ACTOR.wav (or 01-… .mp4: with picture)
labels.csv + 03-01-….flac                                                  (the data folder's layout)
"""

from __future__ import annotations

import re
from pathlib import Path

from realtime.records import LABELS
from train.readers.clip import Clip, DataMissing, DataSet, find_media, tell_skipped

ASK = "Fetch RAVDESS from https://zenodo.org/records/1188976 (Audio_Speech_Actors_01-24.zip or Video_Speech_*)."
EMOTIONS = ("neutral", "neutral", "happy", "sad", "angry", "fear", "disgust", "surprise")
"By the third number of the name, from 1; the second is calm."
STATEMENTS = ("Kids are talking by the door.", "Dogs are sitting by the door.")
NAME = re.compile(r"(0[1-3])-(0[12])-(0[1-8])-(0[12])-(0[12])-(0[12])-(\d\d)")
"Modality, channel, emotion, intensity, statement, repetition, actor."
ACTORS = {"train": range(1, 17), "valid": range(17, 19), "test": range(19, 25)}


def read(folder: Path) -> DataSet:
    """The set in `folder`. Copies and other recordings are skipped and told (`tell_skipped`). Raises DataMissing."""
    if not folder.is_dir():
        raise DataMissing(f"There is no folder {folder}.", ASK)
    clips, skipped = [], []
    for stem, path in sorted(find_media(folder).items()):
        named = NAME.fullmatch(stem)
        if named is None or not 1 <= int(named[7]) <= ACTORS["test"][-1]:
            skipped.append(path.name)
            continue
        numbers = named.groups()
        # 01 is picture and sound, 03 sound alone; 02 has no sound and shows the same as 01. The second 01 is speech.
        if numbers[0] == "02" or numbers[1] != "01":
            continue
        emotion, strong, statement, actor = int(numbers[2]), numbers[3] == "02", int(numbers[4]), int(numbers[6])
        clips.append(
            Clip(
                key=stem,
                path=path,
                label=EMOTIONS[emotion - 1],
                speaker=numbers[6],
                split=next((part for part, actors in ACTORS.items() if actor in actors), ""),
                text=STATEMENTS[statement - 1],
                slices={"sex": "male" if actor % 2 else "female", "acting": "strong" if strong else "normal"},
            )
        )
    tell_skipped("RAVDESS", tuple(skipped), "their names are not those of the set")
    if not clips:
        raise DataMissing(f"RAVDESS: {folder} holds no recording named 03-01-….wav or 01-01-….mp4.", ASK)
    return DataSet("ravdess", LABELS, tuple(clips), skipped=tuple(skipped))
