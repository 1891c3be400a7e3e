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
import hashlib
import json
import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, TextIO

from realtime.commands.analyze import analysis_of, asked_before_loading
from realtime.commands.machine import usable_cores
from realtime.commands.study_folder import JournalEntry, Study
from realtime.commands.study_inputs import StudyRecording, recordings
from realtime.engine.start import started
from realtime.errors import BadSettings, RealtimeError
from realtime.formats import Format
from realtime.ingest.media import MediaSource
from realtime.observe.metrics import Metrics
from realtime.outputs import DiskFull
from realtime.publish.table_files import need_parquet
from realtime.records import Question
from realtime.roles import Engine, Model, Transcriber
from realtime.settings import ModelSettings, Settings, describe
from realtime.words.transcriber import transcribing

logger = logging.getLogger(__name__)

ENDED_WELL = "end of file"
JOBS_A_COPY = 8
"Recordings at once for each copy of the model. Their chains are decoded as one batch, which has up to eight rows."
BUNDLE_S = 1.0
"""How long steps of a chain are gathered into one message: nobody watches them being written. While a message is under
way, its chain is missing from the decode steps that the others share."""
MAX_COPIES = 4
"Copies that are loaded unasked."


@dataclass(frozen=True)
class Outcome:
    """What became of a study's recordings."""

    done: int
    "Analysed now."
    kept: int
    "Finished before."
    failed: int


class Progress:
    """Says on a terminal, in one line that changes, how far a study is and how long it will still take."""

    def __init__(
        self, open_ones: Sequence[StudyRecording], out: TextIO, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self.n_done = self.n_failed = 0
        self._n = len(open_ones)
        # How long a recording takes is not known before it was read; its size tells nearly as much.
        self._bytes = sum(each.size_and_time[0] for each in open_ones)
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
            own = f"{recording.path.name} "
            named = entry.reason.startswith(own)
            words = f" {entry.reason.removeprefix(own)}" if named else f": {entry.reason}"
            self._say(f"{recording.name}{words}", stays=True)
        self._say(self.line(), stays=not self._out.isatty())

    def line(self) -> str:
        passed_s = max(self._now_s() - self._began_s, 1e-3)
        ended = self.n_done + self.n_failed
        words = f"{ended} of {self._n}, {self._media_s / passed_s:.1f}× real time"
        # Of a file that is refused at once nothing can be reckoned.
        if ended == self._n or not self.n_done or not self._bytes_ended:
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


def copies_of(model: ModelSettings) -> int:
    """Copies of a model that use this machine's cores: one keeps about one core busy.

    A large model has threads of its own, and might not fit into memory twice.
    """
    if model.name != "nano" or model.device == "cuda":
        return 1
    return min(usable_cores(), MAX_COPIES)


async def run(
    inputs: Sequence[str],
    out: Path,
    load: Callable[[], Model],
    settings: Settings,
    *,
    form: Format = "jsonl",
    jobs: int = 1,
    copies: int = 1,
    query: str | None = None,
    labels: Sequence[str] | None = None,
    progress_to: TextIO = sys.stderr,
) -> Outcome:
    """Analyse every recording that is not finished, `jobs` at a time, which share `copies` of the model.

    With more than one job each copy has a process of its own, for which `load` is pickled. The chains of jobs that
    share a copy are decoded as one batch.

    Raises BadSettings for an output that would replace an input, BadAsk, ExtraMissing, and what `recordings` and `load`
    raise; DiskFull where the disk takes no more. What was finished until then stays finished.
    """
    if form == "parquet":
        # Said before hours of work, and not after.
        need_parquet()
    question = asked_before_loading(query, labels, settings.model)
    found = recordings(inputs, out)
    study = Study(found, out, form, _asked(settings, query, labels))
    open_ones = [each for each in found if not study.is_finished(each)]
    progress = Progress(open_ones, progress_to)
    if open_ones:
        async with AsyncExitStack() as engines:
            jobs = min(jobs, len(open_ones))
            # In a process of its own the model and the decoding of media use two cores. One job alone needs none.
            where: Literal["process", "thread"] = "process" if jobs > 1 else "thread"
            opened = await _loaded(engines, load, where, min(copies, jobs))
            transcriber = await engines.enter_async_context(transcribing(settings.speech, where="thread"))
            waiting = iter(open_ones)
            try:
                async with asyncio.TaskGroup() as tasks:
                    for number in range(jobs):
                        engine = opened[number % len(opened)]
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


async def _loaded(
    engines: AsyncExitStack, load: Callable[[], Model], where: Literal["process", "thread"], copies: int
) -> list[Engine]:
    """The copies of the model, which `engines` ends. All load at once: each keeps one core busy with it for seconds."""
    try:
        async with asyncio.TaskGroup() as tasks:
            loading = [
                tasks.create_task(
                    engines.enter_async_context(started(load, where=where, metrics=Metrics(), bundle_s=BUNDLE_S)),
                    name=f"copy {number}",
                )
                for number in range(copies)
            ]
    except ExceptionGroup as group:
        # What is wrong with the model is wrong with each copy; it is said once.
        raise group.exceptions[0] from None
    return [each.result() for each in loading]


def _asked(settings: Settings, query: str | None, labels: Sequence[str] | None) -> dict[str, Any]:
    """What decides about the events of a recording."""
    model, used = settings.model, describe(settings)
    deciding = {name: used[name] for name in ("faces", "ingest", "speech", "buffer", "analysis")}
    deciding["model"] = {name: used["model"][name] for name in ("adapter", "narrow", "weights", "label", "seed")}
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
            MediaSource.open, str(recording.path), ingest=settings.ingest, speech=settings.speech, alone=False
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
