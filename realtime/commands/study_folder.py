"""The folder that `realtime analyze` fills from many recordings: its journal, what is finished, files of each format.

`realtime/commands/study.py` says what lies in the folder.
"""

from __future__ import annotations

import hashlib
import json
import pickle
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, Literal

from realtime.commands.study_inputs import StudyRecording, printable
from realtime.errors import BadSettings
from realtime.formats import Format, writers
from realtime.outputs import exists, file_id, write_whole, writes_told
from realtime.publish.events import Event
from realtime.publish.parse import parse
from realtime.publish.table_files import write_csv, write_parquet
from realtime.publish.tables import TABLES, Row, TableName, all_rows, columns

FILES = ("file", "status", "reason", "seconds")
"Columns of the table of recordings."
JOURNAL = "files.jsonl"
MAX_NAME_BYTES = 255
"Of a name on the file systems of Linux, macOS and Windows."


@dataclass(frozen=True)
class JournalEntry:
    """A line of the journal: what became of a recording."""

    file: str
    status: Literal["done", "failed"]
    reason: str
    "Why it failed, or why it ended before its end; empty where nothing is to be said."
    seconds: float
    "Media seconds that were analysed."
    size: int
    modified_ns: int
    asked: dict[str, Any]
    "Model, question and labels."


class Study:
    """The folder of a study: what is finished in it, and what is written to it."""

    def __init__(self, found: Sequence[StudyRecording], out: Path, form: Format, asked: Mapping[str, Any]) -> None:
        """`asked` is what decides about a recording's events: model, question, labels and settings.

        Raises BadSettings or DiskFull where the folder `out` cannot be made.
        """
        self.recordings = found
        self._out = out
        self._form = form
        self._asked = dict(asked)
        # Said before a model is loaded, and not after.
        with writes_told(out):
            out.mkdir(parents=True, exist_ok=True)
        self._inputs = {file_id(each.path): each.path for each in found}
        self._entries = self._read_journal()
        stems = Counter(_without_suffix(each.name) for each in found)
        self._stems = {
            each.name: stem if stems[stem := _without_suffix(each.name)] == 1 else each.name for each in found
        }

    def is_finished(self, recording: StudyRecording) -> bool:
        """Whether its events are there, of the same file, model, question and settings."""
        entry = self._entries.get(recording.name)
        if entry is None or entry.status != "done" or entry.asked != self._asked:
            return False
        same = (entry.size, entry.modified_ns) == recording.size_and_time
        return same and self.events_of(recording).exists()

    def events_of(self, recording: StudyRecording) -> Path:
        return self._out / "events" / _file_name(recording.name, ".jsonl")

    def entry(
        self, recording: StudyRecording, status: Literal["done", "failed"], reason: str, seconds: float
    ) -> JournalEntry:
        size, modified_ns = recording.size_and_time
        asked = dict(self._asked)
        return JournalEntry(recording.name, status, printable(reason), round(seconds, 3), size, modified_ns, asked)

    def note(self, entry: JournalEntry) -> None:
        """Write down what became of a recording."""
        self._entries[entry.file] = entry
        path = self._out / JOURNAL
        self._refuse_input(path)
        with writes_told(path), path.open("a", encoding="utf-8") as journal:
            journal.write(json.dumps(asdict(entry), ensure_ascii=False) + "\n")

    @contextmanager
    def writing(self, path: Path) -> Iterator[Path]:
        """As `write_whole`, in a folder that is made where there is none, and never over an input."""
        self._refuse_input(path)
        with writes_told(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        with write_whole(path) as part:
            yield part

    def convert(self, recording: StudyRecording) -> None:
        """Write a finished recording's file in a format that has one for each, if it is not there yet."""
        suffix = writers.SUFFIXES.get(self._form)
        entry = self._entries.get(recording.name)
        if suffix is None or entry is None or entry.status != "done":
            return
        events, path = self.events_of(recording), self._out / _file_name(self._stems[recording.name], suffix)
        if path.exists() and path.stat().st_mtime_ns >= events.stat().st_mtime_ns:
            return
        with self.writing(path) as part:
            writers.write(self._form, _read(events), recording.path, part)

    def write_tables(self) -> None:
        """Write the tables of all finished recordings, and that of the recordings, in a format that has tables."""
        if self._form not in ("csv", "parquet"):
            return
        done = [each for each in self.recordings if self._status(each) == "done"]
        named: dict[TableName, Row] = {table: {} for table in TABLES}
        # No more than one recording is held: its rows wait in a file until all columns are known. Reading its events
        # again for each table would take most of a second of a hundred short recordings.
        with writes_told(self._out), tempfile.TemporaryFile(dir=self._out) as kept:
            for each in done:
                made = all_rows(_read(self.events_of(each)))
                for table in TABLES:
                    for row in made[table]:
                        named[table].update(row)
                pickle.dump(made, kept)
            for table in TABLES:
                kept.seek(0)
                names = ["file", *columns([named[table]], table)]
                self._write_table(table, names, ([*_rows_of(each, table, kept)] for each in done))
        files: list[Row] = [
            {name: getattr(entry, name) for name in FILES}
            for each in self.recordings
            if (entry := self._entries.get(each.name)) is not None
        ]
        self._write_table("files", FILES, [files])

    def _status(self, recording: StudyRecording) -> str:
        entry = self._entries.get(recording.name)
        return entry.status if entry is not None else ""

    def _write_table(self, name: str, names: Sequence[str], parts: Iterable[Sequence[Row]]) -> None:
        with self.writing(self._out / f"{name}.{self._form}") as part:
            if self._form == "parquet":
                write_parquet(parts, names, part)
            else:
                write_csv(parts, names, part)

    def _refuse_input(self, path: Path) -> None:
        taken = self._inputs.get(file_id(path)) if exists(path) else None
        if taken is not None:
            raise BadSettings(f"{path} is the input {taken}; writing there would destroy it.", "Name another output.")

    def _read_journal(self) -> dict[str, JournalEntry]:
        path = self._out / JOURNAL
        if not exists(path):
            return {}
        found = {}
        # Not splitlines: the name of a file may hold one of the other characters that Unicode calls a line's end.
        for line in path.read_text("utf-8", errors="replace").split("\n"):
            try:
                entry = JournalEntry(**json.loads(line))
            # The last line may have been cut off; its recording is done again.
            except (ValueError, TypeError):
                continue
            found[entry.file] = entry
        return found


def _file_name(name: str, suffix: str) -> str:
    """The name with the suffix. It is cut where no disk takes it, as those of downloads are that are a whole title."""
    folder, mark, last = name.rpartition("/")
    room = MAX_NAME_BYTES - len(suffix)
    if len(last.encode()) > room:
        told_apart = f"~{hashlib.sha256(last.encode()).hexdigest()[:8]}"
        last = last.encode()[: room - len(told_apart)].decode(errors="ignore") + told_apart
    return f"{folder}{mark}{last}{suffix}"


def _without_suffix(name: str) -> str:
    return str(PurePosixPath(name).with_suffix(""))


def _rows_of(recording: StudyRecording, table: TableName, kept: IO[bytes]) -> Iterator[Row]:
    """Its rows of a table, from the file where those of all recordings follow each other."""
    made: dict[TableName, list[Row]] = pickle.load(kept)
    for row in made[table]:
        yield {"file": recording.name, **row}


def _read(events: Path) -> Iterator[Event]:
    with events.open(encoding="utf-8") as lines:
        for line in lines:
            if (event := parse(line)) is not None:
                yield event
