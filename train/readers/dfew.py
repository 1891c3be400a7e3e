"""DFEW: 11,697 single-labelled clips of films, seven emotions, five official folds.

EmoLabel_DataSplit/{train,test}(single-labeled)/set_1.csv … set_5.csv     video_name,label (1–7)
Clip/original/**/N.mp4 (or Clip/clip_224x224_avi)                          the recordings
"""

from __future__ import annotations

from pathlib import Path

from realtime.records import LABELS
from train.readers import tables
from train.readers.clip import Clip, DataMissing, DataSet, find_media, need

ASK = "Ask for DFEW at https://dfew-dataset.github.io (a signed agreement), and unpack it there."
FOLDS = 5


def read(folder: Path) -> DataSet:
    """The set in `folder`. Raises DataMissing."""
    splits = {f"EmoLabel_DataSplit/test(single-labeled)/set_{n}.csv": f"test part of fold {n}" for n in range(1, 6)}
    need(folder, {**splits, "Clip": "the recordings"}, name="DFEW", ask=ASK)
    rows: dict[str, tuple[int, set[int]]] = {}
    for fold in range(1, FOLDS + 1):
        path = folder / "EmoLabel_DataSplit" / "test(single-labeled)" / f"set_{fold}.csv"
        for number, row in enumerate(tables.read(path, ("video_name", "label")), start=2):
            name = row["video_name"].strip().lstrip("0")
            try:
                label = int(float(row["label"]))
            except ValueError:
                label = 0
            if not 1 <= label <= len(LABELS):
                raise DataMissing(f"{path}, line {number}: label {row['label']!r}; expected 1 to 7.", ASK)
            known, folds = rows.setdefault(name, (label, set()))
            if known != label:
                raise DataMissing(f"{path}, line {number}: {name} has another label in another fold.", ASK)
            folds.add(fold)
    held = {stem.lstrip("0"): path for stem, path in recordings(folder).items()}
    missing = [name for name in rows if name not in held]
    if missing:
        raise DataMissing(f"DFEW: {len(missing)} recordings are missing under Clip, first {missing[0]}.", ASK)
    clips = tuple(
        Clip(key=name, path=held[name], label=LABELS[label - 1], split="test", folds=frozenset(folds))
        for name, (label, folds) in rows.items()
    )
    return DataSet("dfew", LABELS, clips, n_folds=FOLDS)


def recordings(folder: Path) -> dict[str, Path]:
    """Recordings by number. Originals are preferred: the aligned copies have no sound. Raises DataMissing."""
    for name in ("original", "clip_224x224_avi"):
        if found := find_media(folder / "Clip" / name):
            return found
    raise DataMissing(
        "DFEW: Clip holds no recordings, only single pictures perhaps; these have no time and no sound.",
        f"Unpack Clip/original. {ASK}",
    )
