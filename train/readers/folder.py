"""Reads a folder of video or audio recordings with a label file.

    IN/labels.csv       file,label[,speaker][,split][,start_s][,end_s][,text][,votes][,sex][,language]
    IN/labels.jsonl     the same fields, one object per line

`votes` are shares or counts by label, as JSON: {"happy": 7, "neutral": 3}. `file` is relative to the folder. Tables may
be those of spreadsheets: with semicolons (and then decimal commas) or tabs, with a byte order mark, in UTF-8 or UTF-16.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from realtime.errors import BadSettings
from realtime.outputs import exists
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
    return clips(folder, _rows(file), file)


def clips(folder: Path, rows: Iterable[Mapping[str, Any]], file: Path) -> list[Clip]:
    """The clips of the rows of `file`. Raises BadSettings for a clip that is there twice, or for no clip."""
    found: dict[str, Clip] = {}
    for number, row in enumerate(rows, start=1):
        clip = clip_of(folder, row, f"{file.name}, row {number}")
        if clip.key in found:
            raise BadSettings(f"{file.name}, row {number}: {clip.key} is there twice.", "Remove one of them.")
        found[clip.key] = clip
    if not found:
        raise BadSettings(f"{file} names no clip.", "Add a line per clip: file,label.")
    return list(found.values())


def _rows(file: Path) -> Iterator[dict[str, Any]]:
    try:
        data = file.read_bytes()
        if data.startswith(b"PK\x03\x04"):
            raise BadSettings(f"{file} is a workbook or another archive, no text.", "Save its table as CSV (UTF-8).")
        text = data.decode(_coding(data))
    except (OSError, UnicodeDecodeError) as error:
        raise BadSettings(f"{file} cannot be read: {error}.", "Save it as UTF-8 text.") from error
    if file.suffix != ".jsonl":
        try:
            yield from _table(text)
        except csv.Error as error:
            raise BadSettings(
                f"{file} is no CSV table: {error}.", "Look for a quotation mark that is not closed, or save it again."
            ) from error
        return
    # JSON strings may hold other breaks that `splitlines` knows, such as U+2028.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise BadSettings(f"{file.name}, line {number} is not JSON: {error}.", "Correct that line.") from error
        if not isinstance(row, dict):
            raise BadSettings(f"{file.name}, line {number} is no object.", "Write one object per line.")
        yield row


def _coding(data: bytes) -> str:
    """The coding of a label file, by its mark or, without one, by where the zeros of its first letter are."""
    if data.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "utf-32"
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    return {(False, True): "utf-16-le", (True, False): "utf-16-be"}.get(
        (data[:1] == b"\0", data[1:2] == b"\0"), "utf-8-sig"
    )


def _table(text: str) -> Iterator[dict[str, Any]]:
    """The rows of a CSV table without the empty ones. Raises csv.Error.

    Separated by commas or, if the header has none, by semicolons, tabs or bars, as spreadsheets of some countries and
    databases write it. Raises BadSettings for a header with a column twice, or without the column `file`.
    """
    if text.startswith(("sep=", '"sep=')):
        # Excel's own line, which tells the separator.
        text = text.partition("\n")[2]
    header = text.lstrip().partition("\n")[0]
    separator = next((mark for mark in (",", ";", "\t", "|") if mark in header), ",")
    # With its line breaks: a cell in quotes may hold some. Strict, or a quote that is not closed takes in what follows.
    lines = csv.DictReader(
        io.StringIO(text.lstrip(), newline=""), delimiter=separator, strict=True, skipinitialspace=True
    )
    lines.fieldnames = [name.strip().lower() for name in lines.fieldnames or ()]
    twice = [name for name, n in Counter(filter(None, lines.fieldnames)).items() if n > 1]
    if twice:
        raise BadSettings(f"The label file has the column {twice[0]} twice.", "Rename or remove one of them.")
    if lines.fieldnames and "file" not in lines.fieldnames:
        raise BadSettings(
            f"The label file has no column file; it has {', '.join(lines.fieldnames)}.",
            "Its first line names the columns: file,label[,speaker,split,start_s,end_s,text,votes].",
        )
    for row in lines:
        if any(isinstance(cell, str) and cell.strip() for cell in row.values()):
            if separator == ";":
                times = {name: row[name].replace(",", ".") for name in ("start_s", "end_s") if row.get(name)}
                row |= times
            yield row


def clip_of(folder: Path, row: Mapping[str, Any], where: str) -> Clip:
    """The clip of one row of labels. Raises BadSettings that says `where` the row is."""
    name = str(row.get("file") or "").strip()
    if not name:
        raise BadSettings(
            f"{where} names no file.", "The columns are file,label[,speaker,split,start_s,end_s,text,votes]."
        )
    if "\0" in name:
        raise BadSettings(f"{where}: the name {name!r} holds a null character.", "Save the label file as plain text.")
    try:
        start_s, end_s = _seconds(row.get("start_s")), _seconds(row.get("end_s"))
        votes = row.get("votes") or {}
        # Structs of Parquet have every label, with None for those without votes.
        given = {k: v for k, v in (json.loads(votes) if isinstance(votes, str) else votes).items() if v is not None}
        counts = {canonical(k): float(v) for k, v in given.items()}
        if any(not 0.0 <= count < math.inf for count in counts.values()):
            raise ValueError(f"{counts} are no counts of votes")
    except (TypeError, ValueError, AttributeError) as error:
        raise BadSettings(f"{where}: {error}.", "Times are seconds; votes are JSON, label to number.") from error
    total = sum(counts.values())
    if "\\" in name and not exists(folder / name):
        # A path as Windows writes it.
        name = name.replace("\\", "/")
    return Clip(
        key=key_of(row),
        path=folder / name,
        label=canonical(str(row.get("label") or "")),
        speaker=str(row.get("speaker") or ""),
        split=str(row.get("split") or ""),
        start_s=start_s,
        end_s=end_s,
        text=str(row.get("text") or ""),
        votes={label: count / total for label, count in counts.items()} if total > 0 else {},
        slices={name: str(row[name]) for name in ("sex", "language") if row.get(name)},
    )


def key_of(row: Mapping[str, Any]) -> str:
    """The key of the row's record. Raises ValueError or TypeError where times are no numbers."""
    start_s, end_s = _seconds(row.get("start_s")), _seconds(row.get("end_s"))
    name = str(row.get("key") or row.get("file") or "").strip()
    return name + (f"#{start_s:g}-{end_s:g}" if start_s is not None and end_s is not None else "")


def _seconds(value: Any) -> float | None:
    """A time in seconds; None for an empty cell."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    seconds = float(value)
    return None if math.isnan(seconds) else seconds


def canonical(label: str) -> str:
    """`Happiness` → `happy`. An unknown label stays as it is, and its clip is recorded as failed."""
    lowered = label.strip().lower()
    return lowered if lowered in LABELS else SYNONYMS.get(lowered, lowered)
