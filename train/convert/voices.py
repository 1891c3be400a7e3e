"""Writes a voice corpus to the data folder: 16 kHz mono, FLAC (RAVDESS) or Opus, and labels.csv at the end.

A recording that is there already is not converted again, so a run that was stopped goes on. What cannot be converted
is told, counted, and left out of labels.csv.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from realtime.errors import BadSettings, NotMedia
from realtime.outputs import refuse_input
from realtime.records import SAMPLE_RATE_HZ, Float32
from train.convert.official import Official, Sentence
from train.readers import sound
from train.readers.clip import SHOWN, DataMissing
from train.readers.voices import COLUMNS, RAVDESS, RAVDESS_COLUMNS, SPLITS, home

SLACK_S = 0.05
"A cut may end so much after its recording, as rounded labels do."


@dataclass(frozen=True)
class Written:
    """The outcome of a conversion."""

    folder: Path
    n_written: int
    "Sentences in labels.csv."
    n_new: int
    "Of them, those that were converted now."
    failed: Mapping[str, list[str]]
    "Names of recordings that could not be converted, by the reason."


def write(official: Official, data: Path, source: Path, *, partial: bool) -> Written:
    """Convert a corpus. Raises DataMissing where it is not whole, unless `partial`, and BadSettings for an input."""
    n, published = len(official.sentences), official.n_published
    if n < published and not partial:
        raise DataMissing(
            f"{source} holds {n} of the {published} sentences of {official.corpus}.{_counts(official.skipped)}",
            f"{official.ask} Or convert what is there: --partial.",
        )
    target = home(data, official.corpus)
    refuse_input(target, source)
    target.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, str]] = []
    failed, n_new = defaultdict(list), 0
    last: tuple[Path, Float32] | None = None
    for sentence in tqdm(official.sentences, desc=official.corpus, disable=None):
        out = target / sentence.row["file"]
        refuse_input(out, sentence.source)
        try:
            if not out.exists():
                if last is None or last[0] != sentence.source:
                    last = sentence.source, sound.read(sentence.source)
                sound.write(out, cut(last[1], sentence))
                n_new += 1
            rows.append({**sentence.row, "seconds": f"{sound.seconds(out):.2f}"})
        except NotMedia as error:
            failed[error.message.replace(sentence.source.name, "a recording")].append(sentence.source.name)
    if not rows:
        raise DataMissing(f"No recording of {source} can be converted.{_counts(failed)}", official.ask)
    columns: tuple[str, ...] = RAVDESS_COLUMNS if official.corpus == RAVDESS else COLUMNS
    if official.corpus not in SPLITS and any(row.get("split") for row in rows):
        columns = (*columns, "split")
    write_table(target / "labels.csv", columns, rows)
    return Written(target, len(rows), n_new, failed)


def cut(samples_N: Float32, sentence: Sentence) -> Float32:
    """The part of the recording that the labels name. Raises NotMedia for one that is empty or beyond its end."""
    length_s = len(samples_N) / SAMPLE_RATE_HZ
    start_s = sentence.start_s or 0.0
    end_s = length_s if sentence.end_s is None else sentence.end_s
    if not 0.0 <= start_s < end_s <= length_s + SLACK_S:
        raise NotMedia(
            f"{sentence.source.name} is {length_s:.1f} s long, and its part {start_s:g}–{end_s:g} s is not in it.",
            "Correct the labels.",
        )
    return samples_N[round(start_s * SAMPLE_RATE_HZ) : round(end_s * SAMPLE_RATE_HZ)]


def write_table(path: Path, columns: tuple[str, ...], rows: list[dict[str, str]]) -> None:
    """Write a table. An interrupted write leaves no damaged file."""
    temporary = path.with_suffix(".tmp")
    with temporary.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.DictWriter(lines, columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    temporary.replace(path)


def copy_tables(names: tuple[str, ...], source: Path, target: Path) -> list[str]:
    """Copy tables of a set as they were published; which of them were found. Raises BadSettings for an input."""
    copied = []
    for name in names:
        found = next(iter(sorted(source.glob(f"**/{name}"))), None)
        if found is None:
            continue
        refuse_input(target / name, found)
        if found.read_bytes().startswith(b"version https://git-lfs"):
            raise BadSettings(f"{found} is a git-LFS pointer: the table itself was not fetched.", "Run: git lfs pull")
        target.mkdir(parents=True, exist_ok=True)
        temporary = target / f"{name}.tmp"
        temporary.write_bytes(found.read_bytes())
        temporary.replace(target / name)
        copied.append(name)
    return copied


def listed(reasons: Mapping[str, list[str]]) -> list[str]:
    """A line per reason: how many, and the first names."""
    return [
        f"{len(names)}: {reason} ({', '.join(names[:SHOWN])}{', …' if len(names) > SHOWN else ''})"
        for reason, names in reasons.items()
    ]


def _counts(reasons: Mapping[str, list[str]]) -> str:
    return "".join(f"\n  {line}" for line in listed(reasons))
