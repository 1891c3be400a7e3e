"""UR-FUNNY (version 2): punchlines of TED talks, humorous or not, official parts.

data_folds.pkl             {"train": […], "dev": […], "test": […]}
humor_label_sdk.pkl        id → 0 or 1
language_sdk.pkl           id → punchline_sentence, context_sentences, …
urfunny2_videos/ID.mp4
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from train.readers import pickled
from train.readers.clip import Clip, DataMissing, DataSet, need, need_files

ASK = "Fetch UR-FUNNY version 2 from https://github.com/ROC-HCI/UR-FUNNY (labels and urfunny2_videos.zip)."
LABELS = ("humorous", "serious")
QUESTION = "Is this humorous or serious?"
PARTS = {"train": "train", "dev": "valid", "test": "test"}


def read(folder: Path) -> DataSet:
    """The set in `folder`. Raises DataMissing."""
    wanted = {
        "data_folds.pkl": "the parts",
        "humor_label_sdk.pkl": "labels",
        "language_sdk.pkl": "words",
        "urfunny2_videos": "recordings",
    }
    need(folder, wanted, name="UR-FUNNY", ask=ASK)
    folds, labels, words = (
        pickled.read(folder / name) for name in ("data_folds.pkl", "humor_label_sdk.pkl", "language_sdk.pkl")
    )
    try:
        clips = tuple(
            Clip(
                key=str(key),
                path=folder / "urfunny2_videos" / f"{key}.mp4",
                label=LABELS[0] if int(np.asarray(labels[key]).ravel()[0]) else LABELS[1],
                split=split,
                text=str(words[key]["punchline_sentence"]),
            )
            for part, split in PARTS.items()
            for key in folds[part]
        )
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise DataMissing(f"UR-FUNNY: the tables in {folder} do not belong together: {error!r}.", ASK) from error
    need_files([clip.path for clip in clips], name="UR-FUNNY", ask=ASK)
    return DataSet("ur-funny", LABELS, clips, question=QUESTION)
