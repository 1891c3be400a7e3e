"""Sound and pictures that a program hands over piece by piece, as a source of a session.

Media time is counted in the sound. Before the first sound it is the time since the first picture. Nothing is left out:
a program that hands over more than the model keeps up with has to wait.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from dataclasses import dataclass

import av
import numpy as np
import numpy.typing as npt

from realtime.ingest.mono import MonoResampler
from realtime.ingest.order import TICK_S
from realtime.ingest.speech import SpeechCutter, SpeechSettings
from realtime.records import AnalysisAsked, AudioChunk, ClockTick, Item, SourceEnded, UInt8, VideoFrame

WAITING = 4
"Pieces that may wait. Whoever hands over another one waits until there is room."
LEAST_STEP_S = 0.001
"Least media time between two pictures."


@dataclass(frozen=True, slots=True)
class Sound:
    """A piece of sound."""

    samples_N: npt.NDArray[np.int16]
    "(N,) int16, mono."
    rate_hz: int


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture."""

    rgb_HW3: UInt8


@dataclass(frozen=True, slots=True)
class SpeechIsOver:
    """Whatever is being said ends here."""


@dataclass(frozen=True, slots=True)
class AskNow:
    """An analysis should begin."""


Pushed = Sound | Shown | SpeechIsOver | AskNow


class PushedSource:
    """The media that `push` is given, until the session is stopped."""

    # As a recording: a live source would leave out what comes faster than real time.
    live = False
    has_video = True
    has_audio = True

    def __init__(self, speech: SpeechSettings, now_s: Callable[[], float] = time.monotonic) -> None:
        self._cutter = SpeechCutter(speech)
        self._resampler = MonoResampler(live=True)
        self._now_s = now_s
        self._waiting: asyncio.Queue[Pushed | None] = asyncio.Queue(WAITING)
        self._reached_s = 0.0
        self._next_tick_s = 0.0
        self._shown_s = -1.0
        self._first_s: float | None = None
        "When the first piece came, by the wall clock."
        self._has_sound = False

    @property
    def silent_s(self) -> float:
        return self._cutter.silent_s

    async def push(self, piece: Pushed) -> None:
        """Hand over a piece; waits while there is no room."""
        await self._waiting.put(piece)

    async def end(self) -> None:
        """Hand over nothing more."""
        await self._waiting.put(None)

    async def items(self) -> AsyncGenerator[Item, None]:
        while (piece := await self._waiting.get()) is not None:
            self._first_s = self._now_s() if self._first_s is None else self._first_s
            match piece:
                case Sound():
                    for item in self._listen(piece):
                        yield item
                        # A minute of sound may come at once, and others use this loop.
                        await asyncio.sleep(0)
                case Shown(rgb_HW3):
                    if not self._has_sound:
                        self._reached_s = max(self._reached_s, self._now_s() - self._first_s)
                    self._shown_s = max(self._reached_s, self._shown_s + LEAST_STEP_S)
                    yield VideoFrame(self._shown_s, rgb_HW3)
                    for tick in self._ticks():
                        yield tick
                case SpeechIsOver():
                    for segment in self._cutter.flush():
                        yield segment
                case AskNow():
                    yield AnalysisAsked(max(self._reached_s, self._shown_s))
        for segment in self._cutter.flush():
            yield segment
        yield SourceEnded("nothing more was handed over")

    def _listen(self, sound: Sound) -> Iterator[Item]:
        self._has_sound = True
        step = round(TICK_S * sound.rate_hz)
        for begin in range(0, sound.samples_N.size, step):
            part_N = sound.samples_N[begin : begin + step]
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(part_N)[None], format="s16", layout="mono")
            frame.sample_rate = sound.rate_hz
            for chunk in self._resampler.push(frame, start_s=self._reached_s):
                yield from self._cutter.push(AudioChunk(chunk.start_s, chunk.samples_N))
            self._reached_s += part_N.size / sound.rate_hz
            yield from self._ticks()

    def _ticks(self) -> Iterator[ClockTick]:
        while self._next_tick_s <= self._reached_s:
            yield ClockTick(self._next_tick_s)
            self._next_tick_s += TICK_S
