"""Where the recogniser runs: one worker for all sessions, beside the event loop and behind the model.

A server gives it a process of its own with a low priority, so that labels and chains come first on a busy machine and a
crash of the recogniser ends nothing else. A recording waits for every step anyway; for it a thread is enough, and a
program that imports `emothinker` needs no guard around its main module.
"""

from __future__ import annotations

import asyncio
import functools
import multiprocessing
import os
import signal
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import asynccontextmanager
from typing import Literal, ParamSpec, TypeVar

from realtime.errors import WordsStopped
from realtime.ingest.speech import SpeechSettings
from realtime.records import Float32, HeardWords, SpeechSegment
from realtime.words.expert import LANGUAGE, WordsExpert
from realtime.words.guard import doubt
from realtime.words.whisper import Whisper

P = ParamSpec("P")
T = TypeVar("T")
NICENESS = 10


class WhisperTranscriber:
    """The `Transcriber` over one Whisper model."""

    def __init__(self, model: str, *, where: Literal["process", "thread"]) -> None:
        self._model = model
        self._where: Literal["process", "thread"] = where
        self._executor = _executor(where)

    async def load(self) -> None:
        """Load the model, so that the first utterance need not wait. Raises ExtraMissing, BadModel, WordsStopped."""
        await self._run(_load, self._model)

    async def transcribe(self, segment: SpeechSegment) -> HeardWords | None:
        return await self._run(_transcribe, self._model, segment.start_s, segment.end_s, segment.samples_N)

    async def close(self) -> None:
        """End the worker after what it is doing now, which takes less than a second."""
        await asyncio.to_thread(self._executor.shutdown, cancel_futures=True)

    async def _run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await asyncio.wrap_future(self._executor.submit(work, *args, **kwargs))
        except BrokenProcessPool as error:
            # Several utterances may have waited for the process that is gone; the first puts another one there.
            if getattr(self._executor, "_broken", True):
                self._executor = _executor(self._where)
            raise WordsStopped(
                "What writes the words down has stopped.", "It starts again with what is said next."
            ) from error


@asynccontextmanager
async def transcribing(
    settings: SpeechSettings, *, where: Literal["process", "thread"]
) -> AsyncIterator[WhisperTranscriber | None]:
    """The transcriber that the settings ask for, loaded; None where words are off. Raises ExtraMissing and BadModel."""
    if settings.words == "off":
        yield None
        return
    transcriber = WhisperTranscriber(settings.words_model, where=where)
    try:
        await transcriber.load()
        yield transcriber
    finally:
        await transcriber.close()


def _executor(where: Literal["process", "thread"]) -> Executor:
    if where == "thread":
        return ThreadPoolExecutor(1, thread_name_prefix="words")
    return ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"), initializer=_begin)


# What runs in the worker.


def _begin() -> None:
    # Ctrl+C goes to every process of the terminal; the server ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Not on Windows.
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    threading.Thread(target=_leave_with_parent, name="parent", daemon=True).start()


def _leave_with_parent() -> None:
    """A server that was killed cannot end its processes."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


@functools.cache
def _whisper(model: str) -> Whisper:
    return Whisper(model)


@functools.cache
def _expert() -> WordsExpert:
    return WordsExpert.load()


def _load(model: str) -> None:
    _whisper(model)
    _expert()


def _transcribe(model: str, start_s: float, end_s: float, samples_N: Float32) -> HeardWords | None:
    found = _whisper(model).transcribe(samples_N)
    if doubt(found) is not None:
        return None
    probabilities = _expert().probabilities(found.text) if found.language == LANGUAGE else None
    return HeardWords(start_s, end_s, found.text, found.language, found.confidence, probabilities)
