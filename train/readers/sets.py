"""The readers of published sets in their official layouts, by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from train.readers import camer, cremad, dfew, emer, iemocap, meld, mustard, ravdess, urfunny
from train.readers.clip import DataMissing, DataSet

READERS: dict[str, Callable[[Path], DataSet]] = {
    "ca-mer": camer.read,
    "crema-d": cremad.read,
    "dfew": dfew.read,
    "emer": emer.read,
    "iemocap": iemocap.read,
    "meld": meld.read,
    "mustard": mustard.read,
    "ravdess": ravdess.read,
    "ur-funny": urfunny.read,
}


def read(name: str, folder: Path) -> DataSet:
    """The set of that name. Raises DataMissing that lists all that is missing and says where to get it."""
    if name not in READERS:
        raise DataMissing(f"There is no reader for {name}.", f"Known: {', '.join(READERS)}.")
    if not folder.is_dir():
        raise DataMissing(f"There is no folder {folder}.", f"--data is where {name} was unpacked.")
    return READERS[name](folder)
