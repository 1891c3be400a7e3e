"""MELD: utterances of a television series, seven emotions, official parts.

train_sent_emo.csv  dev_sent_emo.csv  test_sent_emo.csv
train_splits/  dev_splits_complete/  output_repeated_splits_test/       diaD_uttU.mp4
"""

from __future__ import annotations

from pathlib import Path

from train.readers import tables
from train.readers.clip import Clip, DataMissing, DataSet, need, need_files

ASK = "Fetch MELD.Raw.tar.gz from https://github.com/declare-lab/MELD and unpack its three inner archives there."
LABELS = ("neutral", "joy", "anger", "surprise", "sadness", "disgust", "fear")
PARTS = {
    "train": ("train_sent_emo.csv", "train_splits"),
    "valid": ("dev_sent_emo.csv", "dev_splits_complete"),
    "test": ("test_sent_emo.csv", "output_repeated_splits_test"),
}
KNOWN_MISSING = {"train": 2, "valid": 2, "test": 0}
"The release lacks these recordings (dia125_utt3 and dia110_utt7 among them); the labels name them."
COLUMNS = ("Utterance", "Speaker", "Emotion", "Sentiment", "Dialogue_ID", "Utterance_ID")
LEADS = {"Rachel": "female", "Monica": "female", "Phoebe": "female", "Ross": "male", "Joey": "male", "Chandler": "male"}


def read(folder: Path) -> DataSet:
    """The set in `folder`. Raises DataMissing."""
    files = {name: f"labels of {part}" for part, (name, _) in PARTS.items()}
    videos = {name: f"recordings of {part}" for part, (_, name) in PARTS.items()}
    need(folder, files | videos, name="MELD", ask=ASK)
    clips: list[Clip] = []
    n_missing = 0
    for part, (table, videos_name) in PARTS.items():
        own = [_clip(row, folder / videos_name, part, table) for row in tables.read(folder / table, COLUMNS)]
        missing = need_files([clip.path for clip in own], name="MELD", ask=ASK, tolerate=KNOWN_MISSING[part])
        n_missing += len(missing)
        clips += [clip for clip in own if clip.path not in missing]
    return DataSet("meld", LABELS, tuple(clips), n_missing=n_missing)


def _clip(row: dict[str, str], videos: Path, part: str, table: str) -> Clip:
    name = f"dia{row['Dialogue_ID']}_utt{row['Utterance_ID']}"
    label = row["Emotion"].strip().lower()
    if label not in LABELS:
        raise DataMissing(f"{table}: {name} is labelled {row['Emotion']!r}; expected {', '.join(LABELS)}.", ASK)
    return Clip(
        key=f"{part}/{name}",
        path=videos / f"{name}.mp4",
        label=label,
        speaker=row["Speaker"],
        split=part,
        text=row["Utterance"].replace("\x92", "’"),
        slices={"sex": LEADS.get(row["Speaker"], "not told"), "sentiment": row["Sentiment"]},
    )
