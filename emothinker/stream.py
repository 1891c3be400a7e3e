"""Events as they come, for programs with and without an event loop, and as tables."""

from __future__ import annotations

import asyncio
import atexit
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator
from contextlib import aclosing, suppress
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING

from realtime.errors import BadSettings
from realtime.formats import writers
from realtime.outputs import write_whole
from realtime.publish.events import Event, encode
from realtime.publish.table_files import frame_of, write_parquet
from realtime.publish.tables import TableName, columns, rows

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Events", "TableName", "to_pandas"]

AHEAD = 64
"Events that wait for a loop that is busy with an earlier one. Until it takes one, nothing more is read."

Begin = Callable[[], AsyncGenerator[Event]]


class Events:
    """Events in the order of their `seq`, each once. Use it in `for`, in `async for`, or as a table.

    Each loop begins anew: a recording is analysed again, a session is followed from `after` again. A loop that is left
    early frees what it holds; an `async for` does so when its iterator is closed (`contextlib.aclosing`).
    """

    def __init__(self, begin: Begin, *inputs: Path | str) -> None:
        """`begin` starts one reading of the events. `inputs` are files that no output may replace."""
        self._begin = begin
        self._inputs = inputs

    def __aiter__(self) -> AsyncIterator[Event]:
        return self._begin()

    def __iter__(self) -> Iterator[Event]:
        """Read them in a thread with an event loop of its own, so that it works in a notebook too."""
        pump = _Pump(self._begin)
        try:
            yield from pump.events()
        finally:
            pump.stop()

    def to_pandas(self, table: TableName = "seconds") -> pd.DataFrame:
        """Read all events into a table (docs/studies.md). Raises ExtraMissing without pandas."""
        return to_pandas(self, table)

    def to_parquet(self, path: Path | str, table: TableName = "seconds") -> None:
        """Read all events and write a table to `path` once it is complete.

        Raises ExtraMissing without pyarrow, BadSettings where `path` is the recording itself or cannot be written, and
        RealtimeError where the disk is full; a file that was there before is then left as it was.
        """
        with write_whole(Path(path), *self._inputs) as part:
            made = list(rows(self, table))
            write_parquet([made], columns(made, table), part)

    def to_jsonl(self, path: Path | str) -> None:
        """Read all events and write them to `path`, one line of JSON each. Raises as `to_parquet` does."""
        with write_whole(Path(path), *self._inputs) as part, part.open("w", encoding="utf-8") as lines:
            for event in self:
                lines.write(encode(event, session=event.session, seq=event.seq, at_s=event.t) + "\n")

    def to_file(self, path: Path | str, media: Path | str | None = None) -> None:
        """Read all events and write them as the ending says: `.vtt`, `.eaf`, `.TextGrid` or `.xdf` (docs/studies.md).

        `media` is the recording that ELAN opens beside its annotations. Raises BadSettings for another ending, and as
        `to_parquet` does.
        """
        out, endings = Path(path), {suffix.lower(): form for form, suffix in writers.SUFFIXES.items()}
        form = endings.get(out.suffix.lower())
        if form is None:
            raise BadSettings(f"{out.name} names no format.", f"End it with {', '.join(writers.SUFFIXES.values())}.")
        with write_whole(out, *self._inputs) as part:
            writers.write(form, self, None if media is None else Path(media), part)


def to_pandas(events: Iterable[Event], table: TableName = "seconds") -> pd.DataFrame:
    """The table of events that are at hand, all of one session. Raises ExtraMissing without pandas."""
    return frame_of(events, table)


class _Pump:
    """Runs an asynchronous reading in a thread of its own, never more than `AHEAD` events before its reader."""

    def __init__(self, begin: Begin) -> None:
        self._begin = begin
        self._ready: SimpleQueue[Event | BaseException | None] = SimpleQueue()
        self._room = asyncio.Semaphore(AHEAD)
        self._loop = asyncio.new_event_loop()
        self._reading: asyncio.Task[None] | None = None
        # A program that ends while it follows a session does not wait for the next event: a daemon, stopped at exit.
        self._thread = threading.Thread(target=self._run, name="emothinker events", daemon=True)
        atexit.register(self.stop)
        self._thread.start()

    def events(self) -> Iterator[Event]:
        while True:
            match self._ready.get():
                case None:
                    return
                case BaseException() as error:
                    raise error
                case event:
                    yield event
            with suppress(RuntimeError):  # the loop has closed: everything is in the queue
                self._loop.call_soon_threadsafe(self._room.release)

    def stop(self) -> None:
        """End the reading and wait until everything that it held is freed."""
        atexit.unregister(self.stop)
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._cancel)
        self._thread.join()

    def _cancel(self) -> None:
        if self._reading is not None:
            self._reading.cancel()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            try:
                runner.run(self._read())
            except asyncio.CancelledError:
                pass
            # Whatever ended the reading belongs to the loop that reads.
            except BaseException as error:
                self._ready.put(error)
        self._ready.put(None)

    async def _read(self) -> None:
        self._reading = asyncio.current_task()
        async with aclosing(self._begin()) as events:
            async for event in events:
                await self._room.acquire()
                self._ready.put(event)
