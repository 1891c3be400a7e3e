"""`realtime analyze`: runs a session over a recording, as fast as it can; events as JSON lines, or in words."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import TextIO

from realtime.asking.question import question_of
from realtime.commands.readable import printer
from realtime.engine.local import LocalEngine
from realtime.engine.start import takes_open_labels
from realtime.engine.worker import ModelWorker
from realtime.observe.metrics import Metrics
from realtime.publish.channel import EventLog
from realtime.records import LABELS, Item, Question
from realtime.roles import Engine, Model, Source, Transcriber
from realtime.session import Session
from realtime.settings import ModelSettings, Settings
from realtime.words.transcriber import transcribing

logger = logging.getLogger(__name__)

UNREAD_EVENTS = 64
"Events that a recording may be ahead of their reader. Even a recording that gives few has none older than is kept."


async def analyze(
    source: Source,
    model: Model,
    settings: Settings,
    out: TextIO,
    question: Question | None = None,
    *,
    in_words: bool = False,
) -> None:
    """Write every event to `out` as it comes: as a line of JSON, or what a person reads of it (`in_words`).

    Raises what the source raises, after the events that tell it.
    """
    write = printer(out, in_words=in_words)
    with ModelWorker() as worker:
        async with (
            transcribing(settings.speech, where="thread") as transcriber,
            aclosing(analysis_of(source, LocalEngine(model, worker), settings, question, transcriber)) as lines,
        ):
            async for line in lines:
                write(line)


def asked_before_loading(query: str | None, labels: Sequence[str] | None, wanted: ModelSettings) -> Question:
    """The question that a person asks of a recording, before its model is loaded.

    Raises BadModel, and what `question_of` raises: first for what no model may be asked, which needs no model.
    """
    question = question_of(query, labels, open_labels=True)
    if query is None and labels is None:
        return question
    if not takes_open_labels(wanted):
        return question_of(query, labels)
    if question.labels != LABELS:
        logger.warning("%s was not trained to tell these labels apart; its probabilities mean little.", wanted.name)
    return question


async def analysis_of(
    source: Source,
    engine: Engine,
    settings: Settings,
    question: Question | None = None,
    transcriber: Transcriber | None = None,
) -> AsyncGenerator[str]:
    """Run a session over `source` and yield each of its events as a line of JSON.

    A recording is read no further than its reader has come, so none of its events is lost however slow the reader is.
    Raises what the source raises, after the events that tell it. Closed early, it ends the session.
    """
    paced = _Paced(source)
    session = Session(source=paced, engine=engine, settings=settings, metrics=Metrics(), transcriber=transcriber)
    paced.log = session.log
    if question is not None:
        await session.set_question(question)
    running = asyncio.create_task(session.run(), name="session")
    try:
        async with aclosing(session.log.read()) as lines:
            async for line in lines:
                yield line
                paced.read_one()
    finally:
        # Whoever stops reading stops the session.
        session.stop("Nobody reads the events any more.")
        await running


class _Paced:
    """A source that waits for the reader of its session's events. A live one never waits."""

    def __init__(self, source: Source) -> None:
        self.live, self.has_video, self.has_audio = source.live, source.has_video, source.has_audio
        self.log: EventLog | None = None
        self._source = source
        self._n_read = 0
        self._moved = asyncio.Event()

    @property
    def silent_s(self) -> float:
        return self._source.silent_s

    def read_one(self) -> None:
        """The reader is done with another event."""
        self._n_read += 1
        self._moved.set()

    async def items(self) -> AsyncGenerator[Item]:
        async with aclosing(self._source.items()) as items:
            async for item in items:
                yield item
                while not self.live and self._n_unread() > UNREAD_EVENTS:
                    self._moved.clear()
                    await self._moved.wait()

    def _n_unread(self) -> int:
        return 0 if self.log is None else self.log.seq - self._n_read
