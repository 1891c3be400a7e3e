"""The folder of a run: records that are complete or absent, and a journal of stages. A killed run loses nothing.

    records.jsonl         one line per clip, written when it is done, dropped or failed
    journal.jsonl         one line per paid stage of a clip that is not yet in records.jsonl
    record.schema.json    JSON Schema of a record
    run.json              the settings of this run
    summary.json  README.md  samples.html      written at the end, and when the run is stopped

A line that a kill left incomplete is cut off at the next start.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from realtime.outputs import DiskFull

PAUSES_S = (1.0, 5.0, 30.0)
"Pauses between attempts to write to a full disk, which another program may free."


class Lines:
    """A JSON-lines file to which whole lines are appended."""

    def __init__(self, path: Path, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._path = path
        self._sleep = sleep
        self.n_cut = 0
        "Bytes of an unfinished last line, which was cut off."
        if path.exists():
            self._mend()

    def _mend(self) -> None:
        with self._path.open("rb+") as file:
            content = file.read()
            whole = content.rfind(b"\n") + 1
            self.n_cut = len(content) - whole
            if self.n_cut:
                file.truncate(whole)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        if not self._path.exists():
            return
        with self._path.open(encoding="utf-8") as file:
            for line in file:
                yield json.loads(line)

    def append(self, value: Any) -> None:
        """Write one line; it is on disk when this returns. Raises DiskFull and leaves no part of the line behind."""
        line = (json.dumps(value, ensure_ascii=False) + "\n").encode()
        for pause_s in (*PAUSES_S, None):
            size = self._path.stat().st_size if self._path.exists() else 0
            try:
                self._write(line)
                return
            except OSError as error:
                if self._path.exists() and self._path.stat().st_size > size:
                    os.truncate(self._path, size)
                if pause_s is None:
                    raise DiskFull(
                        f"{self._path} cannot be written: {error.strerror}.",
                        "Free some space and run the same command again; it goes on where it stopped.",
                    ) from error
                self._sleep(pause_s)

    def _write(self, line: bytes) -> None:
        with self._path.open("ab") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())


class Store:
    """The records of a run by key (`done`), and the journalled stages of clips without one (`stages`)."""

    def __init__(
        self, folder: Path, *, retry_failed: bool = False, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.records = Lines(folder / "records.jsonl", sleep=sleep)
        self.journal = Lines(folder / "journal.jsonl", sleep=sleep)
        self.done: dict[str, dict[str, Any]] = {}
        for record in self.records:
            self.done[record["key"]] = record
        if retry_failed:
            self.done = {key: record for key, record in self.done.items() if record["status"] != "failed"}
            self._rewrite(self.done.values())
        self.stages: dict[tuple[str, str, str], Any] = {
            (line["key"], line["annotator"], line["stage"]): line["value"]
            for line in self.journal
            if line["key"] not in self.done
        }

    def _rewrite(self, records: Any) -> None:
        temporary = self.folder / "records.tmp"
        temporary.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records), encoding="utf-8")
        temporary.replace(self.folder / "records.jsonl")

    def stage(self, key: str, annotator: str, stage: str, value: Any) -> None:
        """Journal the result of one stage."""
        self.journal.append({"key": key, "annotator": annotator, "stage": stage, "value": value})
        self.stages[key, annotator, stage] = value

    def finish(self, record: dict[str, Any]) -> None:
        """Append the record of a clip. Raises DiskFull."""
        self.records.append(record)
        self.done[record["key"]] = record

    def close(self) -> None:
        """Remove the stages of finished records from the journal."""
        open_lines = [
            {"key": key, "annotator": annotator, "stage": stage, "value": value}
            for (key, annotator, stage), value in self.stages.items()
            if key not in self.done
        ]
        path = self.folder / "journal.jsonl"
        if open_lines:
            temporary = self.folder / "journal.tmp"
            temporary.write_text(
                "".join(json.dumps(x, ensure_ascii=False) + "\n" for x in open_lines), encoding="utf-8"
            )
            temporary.replace(path)
        else:
            path.unlink(missing_ok=True)
