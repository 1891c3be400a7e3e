"""The metrics of open-vocabulary answers: the emotion-wheel metric, HIT and the set-level score.

A word is mapped to its base forms (`format.csv`), and these to words of the wheels (`synonym.xlsx`, all eight runs).
The alphabetically first of these that is on a wheel gives the group, at level 1 or 2. Unknown words are dropped. There
are five wheels. The files of 2025 are tables, those of 2026 one `wheel_mapping.npz`; the two give other results.
"""

from __future__ import annotations

import csv
import json
import pickle
import re
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from train.readers import pickled, tables
from train.readers.clip import DataMissing

LEVELS = ("level1", "level2")
N_WHEELS = 5
N_RUNS = 8
ASK = "The files are in MERTools (https://github.com/zeroQiaoba/MERTools), folder emotion_wheel."
Words = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Wheels:
    """The emotion wheels of one release."""

    version: str
    forms: Mapping[str, Sequence[str]]
    "Word → base forms."
    synonyms: Mapping[str, Sequence[str]]
    "Base form → words of the wheels."
    groups: Mapping[str, Mapping[str, Mapping[str, str]]]
    "Wheel → level → word → group."

    def group(self, word: str, wheel: str, level: str) -> str | None:
        """The group of a word on a wheel; None where no path leads from the word to the wheel."""
        on_wheels = {known for base in self.forms.get(plain(word), ()) for known in self.synonyms.get(base, ())}
        here = self.groups[wheel][level]
        return next((here[known] for known in sorted(on_wheels) if known in here), None)

    def grouped(self, words: Iterable[str], wheel: str, level: str) -> set[str]:
        found = (self.group(word, wheel, level) for word in words)
        return {group for group in found if group is not None}

    def synonym(self, word: str) -> str:
        """One name for all synonyms of a word; an unknown word is its own name."""
        bases = sorted(self.forms.get(plain(word), ()))
        known = sorted(self.synonyms.get(bases[0], ())) if bases else []
        return known[0] if known else bases[0] if bases else plain(word)


def measure(wheels: Wheels, truth: Words, predictions: Words) -> dict[str, Any]:
    """All metrics of these answers. Samples without a prediction count as empty answers."""
    result: dict[str, Any] = {
        "wheels": wheels.version,
        "n": len(truth),
        "without_prediction": sum(not predictions.get(name) for name in truth),
    }
    for level in LEVELS:
        result[f"wheel_{level}"] = wheel_metric(wheels, truth, predictions, level=level)
    if all(len(words) == 1 for words in truth.values()):
        result["hit"] = hit(wheels, truth, predictions)
    result["set_level"] = set_level(wheels, truth, predictions)
    return result


def wheel_metric(wheels: Wheels, truth: Words, predictions: Words, *, level: str) -> dict[str, float]:
    """F of the averaged precision and recall per wheel, then the mean over wheels (not the mean of samples' F)."""
    scores = [_overlap(wheels, truth, predictions, wheel, level) for wheel in wheels.groups]
    f1 = [2 * p * r / (p + r) if p + r else 0.0 for p, r in scores]
    return {
        "f1": float(np.mean(f1)),
        "precision": float(np.mean([p for p, _ in scores])),
        "recall": float(np.mean([r for _, r in scores])),
    }


def _overlap(wheels: Wheels, truth: Words, predictions: Words, wheel: str, level: str) -> tuple[float, float]:
    """Mean precision and recall. Samples whose truth is not on this wheel are skipped; an empty answer counts 0."""
    precisions, recalls = [], []
    for name, words in truth.items():
        true, told = wheels.grouped(words, wheel, level), wheels.grouped(predictions.get(name, ()), wheel, level)
        if true:
            shared = len(true & told)
            precisions.append(shared / len(told) if told else 0.0)
            recalls.append(shared / len(true))
    return (float(np.mean(precisions)), float(np.mean(recalls))) if precisions else (0.0, 0.0)


def hit(wheels: Wheels, truth: Words, predictions: Words) -> dict[str, float]:
    """Share of samples whose one true label is among the predicted groups, at level 1, averaged over wheels.

    Neutral is on no wheel, so neutral samples are left out. Do not compare this with a weighted F1.
    """
    shares, counts = [], []
    for wheel in wheels.groups:
        hits = [
            len(true & wheels.grouped(predictions.get(name, ()), wheel, "level1"))
            for name, words in truth.items()
            if (true := wheels.grouped(words, wheel, "level1"))
        ]
        shares.append(float(np.mean(hits)) if hits else 0.0)
        counts.append(len(hits))
    return {"hit": float(np.mean(shares)), "n": float(np.mean(counts))}


def set_level(wheels: Wheels, truth: Words, predictions: Words) -> dict[str, float]:
    """The score of MER2024: the mean of accuracy |G∩P|/|P| and recall |G∩P|/|G|, with synonyms as one word."""
    accuracies, recalls = [], []
    for name, words in truth.items():
        true = {wheels.synonym(word) for word in words}
        told = {wheels.synonym(word) for word in predictions.get(name, ())}
        if true:
            shared = len(true & told)
            accuracies.append(shared / len(told) if told else 0.0)
            recalls.append(shared / len(true))
    if not accuracies:
        return {"score": 0.0, "accuracy": 0.0, "recall": 0.0}
    accuracy, recall = float(np.mean(accuracies)), float(np.mean(recalls))
    return {"score": (accuracy + recall) / 2, "accuracy": accuracy, "recall": recall}


def plain(word: str) -> str:
    return word.strip().lower()


def split_words(text: str) -> list[str]:
    """`['joyful', 'calm']`, `joyful, calm` or `joyful;calm` → words."""
    return [
        word for part in re.split(r"[,;、，；]", text.strip().strip("[]()")) if (word := plain(part.strip(" '\"`")))
    ]


def read_words(path: Path) -> dict[str, list[str]]:
    """Sample name → words, from CSV or JSON lines with `name` (or `names`, `key`) and `openset` (or `words`)."""
    if not path.is_file():
        raise DataMissing(f"There is no file {path}.", "CSV or JSON lines with the columns name,openset.")
    if path.suffix in (".jsonl", ".json"):
        try:
            rows = [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]
        except ValueError as error:
            raise DataMissing(f"{path} holds a line that is no JSON: {error}.", "One object per line.") from error
    else:
        rows = list(tables.read(path, ()))
    words: dict[str, list[str]] = {}
    for number, row in enumerate(rows, start=1):
        name = _first(row, ("name", "names", "key"))
        told = _first(row, ("openset", "words", "label", "answer"))
        if name is None or told is None:
            raise DataMissing(f"{path}, row {number}: expected the columns name and openset.", f"It has {list(row)}.")
        words[str(name)] = split_words(told) if isinstance(told, str) else [plain(str(word)) for word in told]
    return words


def _first(row: Mapping[str, Any], names: Iterable[str]) -> Any:
    return next((row[name] for name in names if row.get(name) is not None), None)


def read(folder: Path) -> Wheels:
    """The wheels of a folder, of 2026 if it holds `wheel_mapping.npz`. Raises DataMissing that lists what lacks."""
    if (folder / "wheel_mapping.npz").is_file():
        return _read_2026(folder / "wheel_mapping.npz")
    names = ["format.csv", "synonym.xlsx", *(f"wheel{n}.xlsx" for n in range(1, N_WHEELS + 1))]
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise DataMissing(f"{folder} lacks {', '.join(missing)} (or wheel_mapping.npz alone).", ASK)
    return Wheels("2025", _forms(folder / "format.csv"), _synonyms(folder / "synonym.xlsx"), _groups(folder))


def _forms(path: Path) -> dict[str, list[str]]:
    forms: dict[str, list[str]] = {}
    with path.open(newline="", encoding="utf-8-sig") as lines:
        for row in csv.DictReader(lines):
            base = plain(row["name"])
            for form in [*split_words(row["format"] or ""), base]:
                forms.setdefault(form, []).append(base)
    return forms


def _synonyms(path: Path) -> dict[str, list[str]]:
    found: dict[str, set[str]] = {}
    for row in _table(path):
        for run in range(1, N_RUNS + 1):
            word, told = row.get(f"word_run{run}"), row.get(f"synonym_run{run}")
            if word is None:
                continue
            on_wheel = plain(str(word))
            for synonym in [on_wheel, *split_words(str(told or ""))]:
                found.setdefault(synonym, set()).add(on_wheel)
    return {word: sorted(known) for word, known in found.items()}


def _groups(folder: Path) -> dict[str, dict[str, dict[str, str]]]:
    groups: dict[str, dict[str, dict[str, str]]] = {}
    for number in range(1, N_WHEELS + 1):
        tree: dict[str, dict[str, list[str]]] = {}
        level1 = level2 = level3 = ""
        for row in _table(folder / f"wheel{number}.xlsx"):
            # A cell that was merged with the one above is empty and means the same.
            level1, level2, level3 = (
                plain(str(row.get(name))) if row.get(name) is not None else before
                for name, before in (("level1", level1), ("level2", level2), ("level3", level3))
            )
            tree.setdefault(level1, {}).setdefault(level2, []).append(level3)
        groups[f"wheel{number}"] = {"level1": {}, "level2": {}}
        to1, to2 = groups[f"wheel{number}"]["level1"], groups[f"wheel{number}"]["level2"]
        for first, seconds in tree.items():
            to1[first], to2[first] = first, min(seconds)
            for second, thirds in seconds.items():
                to1[second], to2[second] = first, second
                for third in thirds:
                    to1[third], to2[third] = first, second
    return groups


def _table(path: Path) -> list[dict[str, Any]]:
    """Rows of the first sheet by the names in its first row."""
    import openpyxl

    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
        rows = list(book.worksheets[0].iter_rows(values_only=True))
        book.close()
    except (zipfile.BadZipFile, KeyError, ValueError, OSError) as error:
        raise DataMissing(f"{path} is no workbook: {error}.", ASK) from error
    if not rows:
        raise DataMissing(f"{path} is empty.", ASK)
    names = [str(name) for name in rows[0]]
    return [dict(zip(names, row, strict=True)) for row in rows[1:] if any(cell is not None for cell in row)]


def _read_2026(path: Path) -> Wheels:
    try:
        with zipfile.ZipFile(path) as archive:
            forms, synonyms, groups = (
                _object(archive, name) for name in ("format_mapping", "raw_mapping", "wheel_map_whole")
            )
    except (zipfile.BadZipFile, KeyError, ValueError, pickle.UnpicklingError) as error:
        raise DataMissing(f"{path} is no wheel mapping: {error}.", ASK) from error
    return Wheels("2026", forms, synonyms, groups)


def _object(archive: zipfile.ZipFile, name: str) -> Any:
    """The dictionary in one member, unpickled without running code."""
    with archive.open(f"{name}.npy") as file:
        # NumPy's reader of the format has no annotations.
        npy: Any = np.lib.format
        header = npy.read_array_header_1_0 if npy.read_magic(file) == (1, 0) else npy.read_array_header_2_0
        header(file)
        stored = pickled.load(file)
    return stored.item() if isinstance(stored, np.ndarray) else stored
