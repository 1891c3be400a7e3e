"""The folder of a run: its settings (run.json), and every answer as it comes (answers.jsonl) to resume from."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from realtime.errors import BadSettings, RealtimeError

Row = dict[str, Any]


def end_with_parent() -> None:
    """Call it in a worker process: the worker then ends with its parent, however that ends.

    The workers of a pool hold both ends of its queue, so a worker whose parent was killed would wait for ever.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, name="end with parent", daemon=True).start()


class OtherRun(RealtimeError):
    """The folder holds answers of another run. Choose another --out."""

    code = "other_run"
    exit_code = 3


class BrokenRun(RealtimeError):
    """A line of the answers cannot be read. Remove it: that sample is answered again."""

    code = "broken_run"
    exit_code = 3


class Unfinished(RealtimeError):
    """Not every sample was answered. The answers so far are kept: run the same command again."""

    code = "unfinished"
    exit_code = 3


def claim(out: Path, settings: Mapping[str, Any]) -> None:
    """Make `out` the folder of this run, or check that it is. Raises OtherRun that names what differs."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadSettings(f"{out} is no folder to write into: {error.strerror}.", "Choose another --out.") from error
    path = out / "run.json"
    if path.is_file():
        try:
            before = json.loads(path.read_text("utf-8"))
        except ValueError as error:
            raise BrokenRun(
                f"{path} cannot be read: {error}.", "Remove it if its answers are from this run."
            ) from error
        differing = [name for name in settings if before.get(name) != settings[name]]
        if differing:
            told = ", ".join(f"{name} {before.get(name)!r}, now {settings[name]!r}" for name in differing)
            raise OtherRun(f"{out} holds another run: {told}.", "Choose another --out, or remove that folder.")
        return
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(dict(settings), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    temporary.replace(path)


def weights_sha256(folder: Path, adapter: Path | None = None) -> str:
    """One hash over everything a checkpoint is made of: answers of two trainings never share a folder."""
    digest = hashlib.sha256()
    for place in (folder, adapter) if adapter is not None else (folder,):
        for path in sorted([*place.glob("*.safetensors"), *place.glob("*.json")]):
            digest.update(path.name.encode())
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def read_answers(path: Path) -> list[Row]:
    """Answers of an earlier run. A last line that a kill cut in half is taken off the file: it is answered again."""
    if not path.exists():
        return []
    whole, newline, rest = path.read_text("utf-8").rpartition("\n")
    if rest:
        path.write_text(whole + newline, encoding="utf-8")
    rows: dict[str, Row] = {}
    for number, line in enumerate(whole.splitlines(), start=1):
        try:
            row = json.loads(line)
            rows[str(row["key"])] = row
        except (ValueError, KeyError, TypeError) as error:
            raise BrokenRun(f"{path}, line {number}, is no answer.", "Remove that line and run again.") from error
    return list(rows.values())


def finished(run: Path, benchmarks: Iterable[str]) -> tuple[dict[str, Any], list[Row]]:
    """The settings and the answers of a run. Raises BadSettings for a folder that is no run of these benchmarks."""
    wanted, path = tuple(benchmarks), run / "run.json"
    try:
        settings: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise BadSettings(f"{path} cannot be read: {error.strerror}.", "Name a folder of train.evaluate.") from error
    except ValueError as error:
        raise BrokenRun(f"{path} cannot be read: {error}.", "Make the run again.") from error
    rows = read_answers(run / "answers.jsonl")
    if settings.get("benchmark") not in wanted or not rows:
        held = f"{len(rows)} answers of {settings.get('benchmark')}"
        raise BadSettings(f"{run} holds {held}.", f"Name a run of {' or '.join(wanted)}.")
    return settings, rows


class Answers:
    """answers.jsonl, appended to part by part."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.rows = read_answers(path)

    @property
    def done(self) -> frozenset[str]:
        return frozenset(str(row["key"]) for row in self.rows)

    def add(self, rows: Iterable[Row]) -> None:
        new = list(rows)
        with self._path.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in new)
        self.rows += new

    def replace(self, rows: Iterable[Row]) -> None:
        """All of them at once: the file is whole, old or new."""
        self.rows = list(rows)
        temporary = self._path.with_suffix(".tmp")
        temporary.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in self.rows), encoding="utf-8")
        temporary.replace(self._path)
