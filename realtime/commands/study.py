"""`realtime analyze` over many recordings: into one folder, resumable, and past those that are broken.

    OUT/files.jsonl            a line for each recording: done or failed, and why
    OUT/events/NAME.jsonl      its events; what all other formats are made from
    OUT/NAME.vtt, …            --format vtt, eaf, textgrid, xdf: a file for each recording
    OUT/seconds.csv, …         --format csv, parquet: a file for each table, of all recordings

A recording is finished when its line says so. It is not analysed again unless its file, the model or the question has
changed. So a study that was interrupted goes on, and another --format costs only the writing.
"""

from __future__ import annotations

import asyncio
import glob
import hashlib
import itertools
import json
import logging
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Any, Literal, TextIO

from realtime.commands.analyze import analysis_of, question_of
from realtime.engine.start import started
from realtime.errors import BadSettings, NotMedia, RealtimeError
from realtime.formats import Format, elan, spans, subtitles, textgrid, xdf
from realtime.ingest.media import MediaSource
from realtime.observe.metrics import Metrics
from realtime.outputs import DiskFull, file_id, refuse_input, write_whole, writes_told
from realtime.publish.events import Event
from realtime.publish.parse import parse
from realtime.publish.tables import TABLES, Row, TableName, columns, need_parquet, rows, write_csv, write_parquet
from realtime.records import Question
from realtime.roles import Engine, Model, Transcriber
from realtime.settings import Settings, describe
from realtime.words.transcriber import transcribing

logger = logging.getLogger(__name__)

SUFFIXES: dict[Format, str] = {"vtt": ".vtt", "eaf": ".eaf", "textgrid": ".TextGrid", "xdf": ".xdf"}
"Formats with a file for each recording."
FILES = ("file", "status", "reason", "seconds")
"Columns of the table of recordings."
JOURNAL = "files.jsonl"
ENDED_WELL = "end of file"


@dataclass(frozen=True)
class StudyRecording:
    """One file of a study."""

    name: str
    "Its path within the folder that was given, or its file name: the name of what is written about it."
    path: Path


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


@dataclass(frozen=True)
class Outcome:
    """What became of a study's recordings."""

    done: int
    "Analysed now."
    kept: int
    "Finished before."
    failed: int


def is_study(inputs: Sequence[str], form: Format, out: Path | None) -> bool:
    """Whether these are several recordings or ask for a folder; otherwise it is one recording to one stream."""
    several = len(inputs) > 1 or Path(inputs[0]).is_dir() or (_is_pattern(inputs[0]) and not Path(inputs[0]).exists())
    return several or form != "jsonl" or (out is not None and out.is_dir())


def recordings(inputs: Sequence[str], out: Path) -> list[StudyRecording]:
    """Every file that the inputs name: files, folders with all that lies in them, and patterns with `*`, `?` and `**`.

    Hidden files are left out, and so is what lies in `out`. Raises NotMedia where an input names nothing, BadSettings
    where two files would be written about under one name, or where `out` is an input.
    """
    refuse_input(out, *inputs)
    found: dict[str, StudyRecording] = {}
    for given in inputs:
        named = list(_named_by(given, out))
        if not named:
            raise NotMedia(f"There is no recording {given}.", "Check the path.")
        for each in named:
            other = found.setdefault(each.name, each)
            if not other.path.samefile(each.path):
                raise BadSettings(
                    f"{other.path} and {each.path} would both be written as {each.name}.",
                    "Name the folder that holds both.",
                )
    return list(found.values())


def _named_by(given: str, out: Path) -> Iterator[StudyRecording]:
    path = Path(given)
    if path.is_dir():
        for folder, folders, files in os.walk(path):
            folders[:] = sorted(
                name for name in folders if not name.startswith(".") and not _same(Path(folder, name), out)
            )
            for name in sorted(name for name in files if not name.startswith(".")):
                file = Path(folder, name)
                yield StudyRecording(file.relative_to(path).as_posix(), file)
    elif path.exists():
        yield StudyRecording(path.name, path)
    elif _is_pattern(given):
        # Path.glob takes no absolute patterns.
        for name in sorted(glob.glob(given, recursive=True)):  # noqa: PTH207
            if Path(name).is_file():
                yield StudyRecording(Path(name).name, Path(name))


def _is_pattern(given: str) -> bool:
    return glob.has_magic(given) and "://" not in given


def _same(path: Path, other: Path) -> bool:
    return other.exists() and path.samefile(other)


class Study:
    """The folder of a study: what is finished in it, and what is written to it."""

    def __init__(self, found: Sequence[StudyRecording], out: Path, form: Format, asked: Mapping[str, Any]) -> None:
        """`asked` is what decides about a recording's events: model, question, labels and settings."""
        self.recordings = found
        self._out = out
        self._form = form
        self._asked = dict(asked)
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
        stat = recording.path.stat()
        same = (entry.size, entry.modified_ns) == (stat.st_size, stat.st_mtime_ns)
        return same and self.events_of(recording).exists()

    def events_of(self, recording: StudyRecording) -> Path:
        return self._out / "events" / f"{recording.name}.jsonl"

    def entry(
        self, recording: StudyRecording, status: Literal["done", "failed"], reason: str, seconds: float
    ) -> JournalEntry:
        stat = recording.path.stat()
        return JournalEntry(
            recording.name, status, reason, round(seconds, 3), stat.st_size, stat.st_mtime_ns, dict(self._asked)
        )

    def note(self, entry: JournalEntry) -> None:
        """Write down what became of a recording."""
        self._entries[entry.file] = entry
        path = self._out / JOURNAL
        self._refuse_input(path)
        with writes_told(self._out):
            self._out.mkdir(parents=True, exist_ok=True)
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
        suffix = SUFFIXES.get(self._form)
        entry = self._entries.get(recording.name)
        if suffix is None or entry is None or entry.status != "done":
            return
        events, path = self.events_of(recording), self._out / f"{self._stems[recording.name]}{suffix}"
        if path.exists() and path.stat().st_mtime_ns >= events.stat().st_mtime_ns:
            return
        with self.writing(path) as part:
            if self._form == "xdf":
                xdf.write(_read(events), recording.path, part)
            else:
                _WRITERS[self._form](spans.tiers(_read(events)), recording.path, part)

    def write_tables(self) -> None:
        """Write the tables of all finished recordings, and that of the recordings, in a format that has tables."""
        if self._form not in ("csv", "parquet"):
            return
        done = [each for each in self.recordings if self._status(each) == "done"]
        for table in TABLES:
            # Twice over the events, so that no more than one recording is held: first the columns, then the rows.
            found = columns(itertools.chain.from_iterable(self._rows(each, table) for each in done), table)
            names = ["file", *(name for name in found if name != "file")]
            self._write_table(table, names, ([*self._rows(each, table)] for each in done))
        files: list[Row] = [
            {name: getattr(entry, name) for name in FILES}
            for each in self.recordings
            if (entry := self._entries.get(each.name)) is not None
        ]
        self._write_table("files", FILES, [files])

    def _status(self, recording: StudyRecording) -> str:
        entry = self._entries.get(recording.name)
        return entry.status if entry is not None else ""

    def _rows(self, recording: StudyRecording, table: TableName) -> Iterator[Row]:
        for row in rows(_read(self.events_of(recording)), table):
            yield {"file": recording.name, **row}

    def _write_table(self, name: str, names: Sequence[str], parts: Iterable[Sequence[Row]]) -> None:
        with self.writing(self._out / f"{name}.{self._form}") as part:
            if self._form == "parquet":
                write_parquet(parts, names, part)
            else:
                write_csv(parts, names, part)

    def _refuse_input(self, path: Path) -> None:
        taken = self._inputs.get(file_id(path)) if path.exists() else None
        if taken is not None:
            raise BadSettings(f"{path} is the input {taken}; writing there would destroy it.", "Name another output.")

    def _read_journal(self) -> dict[str, JournalEntry]:
        path = self._out / JOURNAL
        if not path.is_file():
            return {}
        found = {}
        for line in path.read_text("utf-8", errors="replace").splitlines():
            try:
                entry = JournalEntry(**json.loads(line))
            # The last line may have been cut off; its recording is done again.
            except (ValueError, TypeError):
                continue
            found[entry.file] = entry
        return found


_WRITERS: dict[Format, Callable[[spans.Tiers, Path, Path], None]] = {
    "vtt": subtitles.write,
    "eaf": elan.write,
    "textgrid": textgrid.write,
}


def _without_suffix(name: str) -> str:
    return str(PurePosixPath(name).with_suffix(""))


def _read(events: Path) -> Iterator[Event]:
    with events.open(encoding="utf-8") as lines:
        for line in lines:
            if (event := parse(line)) is not None:
                yield event


class Progress:
    """Says on a terminal, in one line that changes, how far a study is and how long it will still take."""

    def __init__(
        self, open_ones: Sequence[StudyRecording], out: TextIO, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self.n_done = self.n_failed = 0
        self._n = len(open_ones)
        # How long a recording takes is not known before it was read; its size tells nearly as much.
        self._bytes = sum(each.path.stat().st_size for each in open_ones)
        self._bytes_ended = 0
        self._media_s = 0.0
        self._out = out
        self._now_s = now_s
        self._began_s = now_s()

    def ended(self, recording: StudyRecording, entry: JournalEntry) -> None:
        self.n_done += entry.status == "done"
        self.n_failed += entry.status == "failed"
        self._bytes_ended += entry.size
        self._media_s += entry.seconds
        if entry.reason:
            self._say(f"{recording.name}: {entry.reason.removeprefix(f'{recording.path.name} ')}", stays=True)
        self._say(self.line(), stays=not self._out.isatty())

    def line(self) -> str:
        passed_s = max(self._now_s() - self._began_s, 1e-3)
        ended = self.n_done + self.n_failed
        words = f"{ended} of {self._n}, {self._media_s / passed_s:.1f}× real time"
        if ended == self._n or not self._bytes_ended:
            return words
        left_s = passed_s * (self._bytes / self._bytes_ended - 1)
        return f"{words}, about {_duration(left_s)} left"

    def finish(self) -> None:
        if self._n and self._out.isatty():
            self._out.write("\n")

    def _say(self, words: str, *, stays: bool) -> None:
        start, end = ("\r\x1b[K", "") if self._out.isatty() else ("", "\n")
        self._out.write(f"{start}{words}{chr(10) if stays and self._out.isatty() else end}")
        self._out.flush()


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


async def run(
    inputs: Sequence[str],
    out: Path,
    load: Callable[[], Model],
    settings: Settings,
    *,
    form: Format = "jsonl",
    jobs: int = 1,
    query: str | None = None,
    labels: Sequence[str] | None = None,
    told: TextIO = sys.stderr,
) -> Outcome:
    """Analyse every recording that is not finished, `jobs` at a time, each job with the model loaded once.

    Raises BadSettings for an output that would replace an input, BadAsk, ExtraMissing, and what `recordings` and `load`
    raise; DiskFull where the disk takes no more. What was finished until then stays finished.
    """
    if form == "parquet":
        # Said before hours of work, and not after.
        need_parquet()
    found = recordings(inputs, out)
    study = Study(found, out, form, _asked(settings, query, labels))
    open_ones = [each for each in found if not study.is_finished(each)]
    progress = Progress(open_ones, told)
    if open_ones:
        async with AsyncExitStack() as engines:
            jobs = min(jobs, len(open_ones))
            # Each job's model has a process of its own. A single one needs none: nothing else waits for it.
            where: Literal["process", "thread"] = "process" if jobs > 1 else "thread"
            opened = [
                await engines.enter_async_context(started(load, where=where, metrics=Metrics())) for _ in range(jobs)
            ]
            transcriber = await engines.enter_async_context(transcribing(settings.speech, where="thread"))
            question = question_of(query, labels, opened[0].model.labels)
            waiting = iter(open_ones)
            try:
                async with asyncio.TaskGroup() as tasks:
                    for number, engine in enumerate(opened):
                        work = _work(waiting, study, engine, settings, question, transcriber, progress)
                        tasks.create_task(work, name=f"job {number}")
            except ExceptionGroup as group:
                # One disk that is full stops every job; it is said once.
                raise group.exceptions[0] from None
    # Those that were finished before may lack the file of a format that was not asked for then.
    for each in found:
        study.convert(each)
    study.write_tables()
    progress.finish()
    return Outcome(progress.n_done, len(found) - len(open_ones), progress.n_failed)


def _asked(settings: Settings, query: str | None, labels: Sequence[str] | None) -> dict[str, Any]:
    """What decides about the events of a recording."""
    model, used = settings.model, describe(settings)
    deciding = {name: used[name] for name in ("faces", "ingest", "speech", "buffer", "analysis")}
    deciding["model"] = {name: used["model"][name] for name in ("adapter", "narrow", "weights", "seed")}
    return {
        "version": version("emothinker"),
        "model": model.name,
        "question": query,
        "labels": None if labels is None else list(labels),
        "settings": hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()[:16],
    }


async def _work(
    waiting: Iterator[StudyRecording],
    study: Study,
    engine: Engine,
    settings: Settings,
    question: Question,
    transcriber: Transcriber | None,
    progress: Progress,
) -> None:
    for recording in waiting:
        entry = await _analyse(recording, study, engine, settings, question, transcriber)
        study.note(entry)
        await asyncio.to_thread(study.convert, recording)
        progress.ended(recording, entry)


async def _analyse(
    recording: StudyRecording,
    study: Study,
    engine: Engine,
    settings: Settings,
    question: Question,
    transcriber: Transcriber | None,
) -> JournalEntry:
    """Write the events of one recording. Only what is wrong with the disk ends the study."""
    reached_s, reason = 0.0, ""
    try:
        source = await asyncio.to_thread(
            MediaSource.open, str(recording.path), ingest=settings.ingest, speech=settings.speech
        )
        with study.writing(study.events_of(recording)) as part, part.open("w", encoding="utf-8") as out:
            async with aclosing(analysis_of(source, engine, settings, question, transcriber)) as lines:
                async for line in lines:
                    out.write(line + "\n")
                    event = json.loads(line)
                    reached_s = max(reached_s, event["t"])
                    if event["type"] == "session.closed" and event["reason"] != ENDED_WELL:
                        reason = reason or event["reason"]
                    elif event["type"] == "error" and event["code"].endswith("_failed"):
                        reason = event["message"]
    except (BadSettings, DiskFull):
        raise
    except RealtimeError as error:
        return study.entry(recording, "failed", error.message, reached_s)
    # A file can be broken in ways that nobody listed; the others are analysed all the same.
    except Exception as error:
        logger.exception("%s failed", recording.name)
        return study.entry(recording, "failed", f"The analysis failed ({type(error).__name__}).", reached_s)
    return study.entry(recording, "done", reason, reached_s)
