"""A folder of raw video (or sound) with a label file.

    IN/labels.csv       file,label[,speaker][,split][,start_s][,end_s][,text][,votes]
    IN/labels.jsonl     the same fields, one object per line

`votes` are shares or counts by label, as JSON: {"happy": 7, "neutral": 3}. `file` is relative to the folder.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from realtime.errors import BadSettings
from realtime.records import LABELS
from train.readers.clip import Clip

SYNONYMS = {
    "happiness": "happy", "joy": "happy", "hap": "happy", "sadness": "sad", "anger": "angry", "ang": "angry",
    "calm": "neutral", "neu": "neutral", "surprised": "surprise", "sur": "surprise", "disgusted": "disgust",
    "dis": "disgust", "fearful": "fear", "fea": "fear",
}  # fmt: skip
NAMES = ("labels.csv", "labels.jsonl")


def read(folder: Path, labels: Path | None = None) -> list[Clip]:
    """The clips of a folder in the order of its label file. Raises BadSettings naming what is missing."""
    file = labels or next((folder / name for name in NAMES if (folder / name).is_file()), None)
    if file is None or not file.is_file():
        raise BadSettings(
            f"{folder} holds no label file ({' or '.join(NAMES)})."
            if labels is None
            else f"There is no file {labels}.",
            "Write one with the columns file,label, or name it with --labels.",
        )
    rows = list(_rows(file))
    clips: dict[str, Clip] = {}
    for number, row in enumerate(rows, start=1):
        clip = _clip(folder, row, f"{file.name}, row {number}")
        if clip.key in clips:
            raise BadSettings(f"{file.name}, row {number}: {clip.key} is there twice.", "Remove one of them.")
        clips[clip.key] = clip
    if not clips:
        raise BadSettings(f"{file} names no clip.", "Add a line per clip: file,label.")
    return list(clips.values())


def _rows(file: Path) -> Iterator[dict[str, Any]]:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BadSettings(f"{file} cannot be read: {error}.", "Save it as UTF-8 text.") from error
    if file.suffix != ".jsonl":
        yield from csv.DictReader(text.splitlines())
        return
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise BadSettings(f"{file.name}, line {number} is not JSON: {error}.", "Correct that line.") from error
        if not isinstance(row, dict):
            raise BadSettings(f"{file.name}, line {number} is no object.", "Write one object per line.")
        yield row


def _clip(folder: Path, row: Mapping[str, Any], where: str) -> Clip:
    name = str(row.get("file") or "").strip()
    if not name:
        raise BadSettings(
            f"{where} names no file.", "The columns are file,label[,speaker,split,start_s,end_s,text,votes]."
        )
    try:
        start_s, end_s = (float(row[key]) if row.get(key) not in (None, "") else None for key in ("start_s", "end_s"))
        votes = row.get("votes") or {}
        counts = {canonical(k): float(v) for k, v in (json.loads(votes) if isinstance(votes, str) else votes).items()}
    except (TypeError, ValueError, AttributeError) as error:
        raise BadSettings(f"{where}: {error}.", "Times are seconds; votes are JSON, label to number.") from error
    total = sum(counts.values())
    key = str(row.get("key") or name) + (f"#{start_s:g}-{end_s:g}" if start_s is not None and end_s is not None else "")
    return Clip(
        key=key,
        path=folder / name,
        label=canonical(str(row.get("label") or "")),
        speaker=str(row.get("speaker") or ""),
        split=str(row.get("split") or ""),
        start_s=start_s,
        end_s=end_s,
        text=str(row.get("text") or ""),
        votes={label: count / total for label, count in counts.items()} if total > 0 else {},
    )


def canonical(label: str) -> str:
    """`Happiness` → `happy`; what is not known stays as it is, and its clip is told as failed."""
    lowered = label.strip().lower()
    return lowered if lowered in LABELS else SYNONYMS.get(lowered, lowered)
