"""Scores saved predictions of any model with our metrics: CSV or JSON lines, one answer per sample.

Columns by any of the usual names: `key`/`name`/`id`/`file`, `prediction`/`answer`/`label`/`text`/`response`; optionally
`truth` (else it comes from the benchmark) and `probabilities` (an object, label to number).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from train.evaluation.answer_parser import parse
from train.evaluation.answering import Row
from train.readers import tables
from train.readers.clip import DataMissing

KEYS = ("key", "name", "names", "id", "file", "video_name", "clip")
ANSWERS = ("prediction", "pred", "answer", "label", "text", "response", "output", "emotion")


def read_file(path: Path) -> list[dict[str, Any]]:
    """The rows of a CSV or JSON file. Raises DataMissing that names the line that cannot be read."""
    if not path.is_file():
        raise DataMissing(f"There is no file {path}.", "Give CSV or JSON lines with a key and a prediction.")
    if path.suffix not in (".jsonl", ".json"):
        return [dict(row) for row in tables.read(path, ())]
    text = path.read_text("utf-8-sig", errors="replace")
    if text.lstrip().startswith("["):
        return _objects(path, "entry", enumerate(_parsed(path, 1, text), start=1))
    lines = ((number, line) for number, line in enumerate(text.splitlines(), start=1) if line.strip())
    return _objects(path, "line", ((number, _parsed(path, number, line)) for number, line in lines))


def _parsed(path: Path, number: int, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataMissing(f"{path}, line {number}, is no JSON: {error}.", "One object per line.") from error


def _objects(path: Path, unit: str, values: Iterable[tuple[int, Any]]) -> list[dict[str, Any]]:
    rows = []
    for number, value in values:
        if not isinstance(value, dict):
            raise DataMissing(f"{path}, {unit} {number}, is no object.", "One object per sample.")
        rows.append(value)
    return rows


def score(path: Path, known: Mapping[str, Row] | None, labels: Sequence[str]) -> list[Row]:
    """Rows for the report. A sample of the benchmark without a prediction counts as unparsed and as wrong.

    Keys match whole, or by the file's name without its ending. Raises DataMissing where nothing matches.
    """
    told = read_file(path)
    if not told:
        raise DataMissing(f"{path} holds no predictions.", "CSV or JSON lines with a key and a prediction.")
    key_name, answer_name = _column(told[0], KEYS, path), _column(told[0], ANSWERS, path)
    for number, row in enumerate(told, start=1):
        if row.get(key_name) in (None, ""):
            raise DataMissing(f"{path}, sample {number}, has no {key_name}.", "Name every sample.")
    if known is None:
        if "truth" not in told[0]:
            raise DataMissing(f"{path} has no column truth.", "Add it, or name the set with --benchmark and --data.")
        known = {
            str(row[key_name]): {"key": str(row[key_name]), "truth": _truth(row, labels, path), "slices": {}}
            for row in told
        }
    by_key = {str(row[key_name]): row for row in told}
    by_stem = {Path(key).stem: row for key, row in by_key.items()}
    rows: list[Row] = []
    for key, begun in known.items():
        found = by_key.get(key) or by_stem.get(Path(key).stem)
        if found is None:
            rows.append({**begun, "answer": None, "parse": "no prediction"})
            continue
        parsed = parse(found.get(answer_name), labels)
        row = {**begun, "answer": parsed.label, "parse": parsed.how, "text": found.get(answer_name)}
        if (probabilities := _distribution(found.get("probabilities"), labels)) is not None:
            row["probabilities"] = probabilities
        rows.append(row)
    if all(row["parse"] == "no prediction" for row in rows):
        theirs, ours = next(iter(by_key)), next(iter(known))
        raise DataMissing(
            f"No key of {path} is one of the set's {len(known)}: {theirs!r} there, {ours!r} here.",
            "Write the set's own names into the key column.",
        )
    return rows


def _distribution(value: object, labels: Sequence[str]) -> dict[str, float] | None:
    """Probabilities of the labels, normalised; None where the value holds none, so that no calibration is reported."""
    if isinstance(value, str):  # a cell of CSV
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    if not isinstance(value, dict):
        return None
    p = {label: value.get(label, 0.0) for label in labels}
    if not all(isinstance(one, (int, float)) and math.isfinite(one) and one >= 0 for one in p.values()):
        return None
    total = sum(p.values())
    return {label: float(one) / total for label, one in p.items()} if total > 0 else None


def _column(row: Mapping[str, Any], names: Sequence[str], path: Path) -> str:
    lowered = {name.lower(): name for name in row}
    found = next((lowered[name] for name in names if name in lowered), None)
    if found is None:
        raise DataMissing(f"{path} has none of the columns {', '.join(names)}; it has {', '.join(row)}.", "Rename one.")
    return found


def _truth(row: Mapping[str, Any], labels: Sequence[str], path: Path) -> str:
    found = parse(row.get("truth"), labels).label
    if found is None or found not in labels:
        raise DataMissing(
            f"{path}: truth {row.get('truth')!r} is none of {', '.join(labels)}.", "Name the set's own with --labels."
        )
    return found
