"""MUStARD: 690 utterances of television series, sarcastic or not; speaker-independent split and five folds.

    sarcasm_data.json                     id → utterance, speaker, context, show, sarcasm
    split_indices.p                       the five published folds
    mmsd_raw_data/utterances_final/ID.mp4 (or utterances_final/)

Speaker-independent as published: everything that is not from FRIENDS trains, FRIENDS tests.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from train.readers import pickled
from train.readers.clip import Clip, DataMissing, DataSet, need, need_files

ASK = "Fetch MUStARD's recordings and labels from https://github.com/soujanyaporia/MUStARD."
LABELS = ("sarcastic", "sincere")
QUESTION = "Is this sarcastic or sincere?"
TEST_SHOW = "FRIENDS"
FOLDS = 5


def read(folder: Path) -> DataSet:
    """The set in `folder`. Raises DataMissing."""
    wanted = {"sarcasm_data.json": "labels", "split_indices.p": "the five folds", "**/utterances_final": "recordings"}
    need(folder, wanted, name="MUStARD", ask=ASK)
    videos = next(folder.glob("**/utterances_final"))
    path = folder / "sarcasm_data.json"
    try:
        rows = json.loads(path.read_text("utf-8"))
        entries = [(str(key), dict(row), bool(row["sarcasm"])) for key, row in rows.items()]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataMissing(f"{path} is not MUStARD's table: {error!r}.", ASK) from error
    folds = _folds(folder / "split_indices.p", len(entries))
    clips = tuple(
        Clip(
            key=key,
            path=videos / f"{key}.mp4",
            label=LABELS[0] if sarcastic else LABELS[1],
            speaker=str(row.get("speaker", "")),
            split="test" if row.get("show") == TEST_SHOW else "train",
            text=str(row.get("utterance", "")),
            slices={"show": str(row.get("show", ""))},
            folds=frozenset(fold for fold, places in enumerate(folds, start=1) if place in places),
        )
        for place, (key, row, sarcastic) in enumerate(entries)
    )
    need_files([clip.path for clip in clips], name="MUStARD", ask=ASK)
    return DataSet("mustard", LABELS, clips, question=QUESTION, n_folds=FOLDS)


def _folds(path: Path, n: int) -> list[set[int]]:
    stored = pickled.read(path)
    try:
        tests = [{int(place) for place in np.asarray(test).ravel()} for _, test in stored]
    except (TypeError, ValueError) as error:
        raise DataMissing(f"{path} holds no pairs of train and test indices.", ASK) from error
    if len(tests) != FOLDS or set().union(*tests) != set(range(n)) or sum(map(len, tests)) != n:
        raise DataMissing(f"{path} does not divide {n} utterances into {FOLDS} folds.", "Is it of this release? " + ASK)
    return tests
