"""What a reader returns: the clips of a data set with their labels, and facts about the set as a whole."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from realtime.errors import RealtimeError

MEDIA = (".mp4", ".avi", ".mkv", ".mov", ".flv", ".webm", ".m4v", ".wav", ".flac", ".mp3", ".m4a")
SHOWN = 5
"This many missing files are named; the rest are counted."


logger = logging.getLogger(__name__)


class DataMissing(RealtimeError):
    """The folder is not the set's official layout. Ask its owners for what is missing."""

    code = "data_missing"
    exit_code = 3


class NoEvidence(RealtimeError):
    """The labelled part of a recording shows no face and holds no speech, or is not in it. Correct its label."""

    code = "no_evidence"
    exit_code = 3


@dataclass(frozen=True)
class Clip:
    """One labelled part of a recording."""

    key: str
    "Unique in its data set, and the same whenever it is read."
    path: Path
    label: str
    "In the set's own vocabulary (`DataSet.labels`); empty where it has none."
    speaker: str = ""
    split: str = ""
    "`train`, `valid` or `test`, where the set has official parts."
    start_s: float | None = None
    end_s: float | None = None
    "The part of the recording that is labelled; None: all of it."
    text: str = ""
    "The spoken words, where the data set has them."
    votes: Mapping[str, float] = field(default_factory=dict)
    "Shares of observers by label; empty: the label alone."
    slices: Mapping[str, str] = field(default_factory=dict)
    "Groups for which results are also reported: sex, age, show …"
    folds: frozenset[int] = frozenset()
    "Official folds whose test part holds this clip, from 1."
    reference: str = ""
    "A description by people, where the set has one (EMER)."


@dataclass(frozen=True)
class DataSet:
    """A data set as it was read."""

    name: str
    labels: tuple[str, ...]
    "Its classes, in the order of its metrics."
    clips: tuple[Clip, ...]
    question: str | None = None
    "The question for a model, where it is not the person's emotion."
    n_folds: int = 0
    n_missing: int = 0
    "Clips that the labels name and the folder does not hold, where the official release is known to lack them."
    skipped: tuple[str, ...] = ()
    "Names of files and rows that are not used because they are not of the set."

    def part(self, split: str, fold: int | None = None) -> tuple[Clip, ...]:
        """Clips of a split: `all`, one name or several joined by +. With `fold`, `test` is that fold's test part.

        Raises DataMissing where the split is empty.
        """
        wanted = set(split.split("+"))
        if fold is not None and not 1 <= fold <= self.n_folds:
            raise DataMissing(f"{self.name} has {self.n_folds} folds; there is no fold {fold}.", "Count from 1.")
        chosen = tuple(clip for clip in self.clips if split == "all" or self._split(clip, fold) in wanted)
        if not chosen:
            held = sorted({self._split(clip, fold) for clip in self.clips})
            raise DataMissing(f"{self.name} holds no clip of {split}; it has {', '.join(held)}.", "Choose --split.")
        return chosen

    def whole_folds(self, split: str, fold: int | None = None) -> bool:
        """Whether this part holds all of every fold that it touches; only then do metrics by fold have a meaning."""
        chosen = {clip.key: clip.folds for clip in self.part(split, fold)}
        touched = frozenset().union(*chosen.values()) if fold is None else frozenset({fold})
        return bool(touched) and all(clip.key in chosen for clip in self.clips if clip.folds & touched)

    def _split(self, clip: Clip, fold: int | None) -> str:
        if fold is None:
            return clip.split
        return "test" if fold in clip.folds else "train"


def need(folder: Path, wanted: Mapping[str, str], *, name: str, ask: str) -> None:
    """Raise DataMissing with all of `wanted` (path or pattern → what it is) that the folder lacks."""
    lacking = [f"  {path}: {what}" for path, what in wanted.items() if not any(folder.glob(path))]
    if lacking:
        listed = "\n".join(lacking)
        where = str(folder) if folder.is_dir() else f"{folder} (no such folder)"
        raise DataMissing(f"{name} is not complete in {where}. Missing:\n{listed}", ask)


def need_files(paths: Iterable[Path], *, name: str, ask: str, tolerate: int = 0) -> set[Path]:
    """Which of the recordings are missing; more than `tolerate` of them raise DataMissing."""
    held = {
        folder: {child.name for child in folder.iterdir()} for folder in {p.parent for p in paths} if folder.is_dir()
    }
    missing = sorted({path for path in paths if path.name not in held.get(path.parent, set())})
    if len(missing) > tolerate:
        listed = "\n".join(f"  {path}" for path in missing[:SHOWN])
        more = f"\n  and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
        raise DataMissing(f"{name}: {len(missing)} recordings are missing:\n{listed}{more}", ask)
    return set(missing)


@functools.cache
def tell_skipped(name: str, skipped: tuple[str, ...], why: str) -> None:
    """Say once how many rows or files of a set are not used, and name the first of them."""
    if skipped:
        named = ", ".join(skipped[:SHOWN]) + (f" and {len(skipped) - SHOWN} more" if len(skipped) > SHOWN else "")
        logger.warning("%s: %d skipped, because %s: %s", name, len(skipped), why, named)


def find_media(folder: Path) -> dict[str, Path]:
    """Recordings anywhere below a folder, by name without ending. Of several endings, video is preferred."""
    found: dict[str, Path] = {}
    for path in sorted(
        folder.rglob("*"), key=lambda p: (MEDIA.index(p.suffix.lower()) if p.suffix.lower() in MEDIA else 99, p)
    ):
        if path.suffix.lower() in MEDIA:
            found.setdefault(path.stem, path)
    return found
