"""EMER: clips of MER 2023 with descriptions by people. Answers are judged for overlap of clues and of labels.

gt-eng.csv (version 1: names, emotions, subtitles, reasons)   or   final-EMER-reason.csv (version 2: names, english)
videos/NAME.mp4 (or .avi), anywhere below the folder
"""

from __future__ import annotations

from pathlib import Path

from realtime.records import LABELS
from train.readers import tables
from train.readers.clip import Clip, DataMissing, DataSet, find_media, need

ASK = (
    "Descriptions: https://github.com/zeroQiaoba/AffectGPT, EMER/dataset-v1 or -v2. "
    "Recordings: sign the agreement of MER 2023 (https://merchallenge.cn)."
)


def read(folder: Path) -> DataSet:
    """The set in `folder`. Raises DataMissing."""
    first, second = folder / "gt-eng.csv", folder / "final-EMER-reason.csv"
    if not first.is_file() and not second.is_file():
        need(folder, {"gt-eng.csv": "descriptions (or final-EMER-reason.csv)"}, name="EMER", ask=ASK)
    if second.is_file():
        rows = [(row["names"], "", "", row["english"]) for row in tables.read(second, ("names", "english"))]
    else:
        columns = ("names", "emotions", "subtitles", "reasons")
        rows = [tuple(row[name] for name in columns) for row in tables.read(first, columns)]  # type: ignore[misc]
    held = find_media(folder)
    missing = [name for name, *_ in rows if name not in held]
    if missing:
        raise DataMissing(f"EMER: {len(missing)} of {len(rows)} recordings are missing, first {missing[0]}.", ASK)
    clips = tuple(
        Clip(key=name, path=held[name], label=_label(label), split="test", text=text, reference=reason)
        for name, label, text, reason in rows
    )
    return DataSet("emer", LABELS, clips)


def _label(text: str) -> str:
    """One of our labels, or an empty string: version 2 has no labels, and version 1 has others too (worried)."""
    found = text.strip().lower()
    return found if found in LABELS else ""
