"""Sessions with synthetic media, in real time. All else about them is real.

Pictures and sound are noise. Speech and pauses are drawn as in the simulator (`simulate.py`), so that its figures can
be compared with those of sessions on a real cluster.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from realtime.cluster.engine import RayClient, RayEngine
from realtime.cluster.sizing.simulate import PAUSE_S, SPEECH_S, Figures
from realtime.errors import NotDeployed
from realtime.observe.metrics import Metrics
from realtime.records import (
    SAMPLE_RATE_HZ,
    ClockTick,
    Item,
    Question,
    SourceEnded,
    SpeechSegment,
    SpeechStarted,
    VideoFrame,
)
from realtime.session import Session
from realtime.settings import Settings

TICK_S = 0.25
"Time between two clock ticks of a source."


@dataclass
class SyntheticSource:
    """A `roles.Source` of noise. Its media time is real time."""

    seconds: float
    seed: int
    speech_s: tuple[float, float] = SPEECH_S
    pause_s: float = PAUSE_S
    live: bool = True
    has_video: bool = True
    has_audio: bool = True
    silent_s: float = 0.0
    offered_s: dict[float, float] = field(default_factory=dict)
    "Media time of a frame → when it was yielded, on the clock of `time.monotonic`."
    spoken_s: dict[float, float] = field(default_factory=dict)
    "The same for ends of speech."

    async def items(self) -> AsyncGenerator[Item, None]:
        dice, noise = random.Random(self.seed), np.random.default_rng(self.seed)
        began_s = time.monotonic()
        speaks_s = dice.expovariate(1 / self.pause_s)
        ends_s: float | None = None
        for tick in range(round(self.seconds / TICK_S)):
            at_s = tick * TICK_S
            await asyncio.sleep(max(0.0, began_s + at_s - time.monotonic()))
            if at_s.is_integer():
                self.offered_s[at_s] = time.monotonic()
                yield VideoFrame(at_s, noise.integers(0, 256, (240, 320, 3), dtype=np.uint8))
            if ends_s is None and at_s >= speaks_s:
                speaks_s, ends_s = at_s, at_s + dice.uniform(*self.speech_s)
                yield SpeechStarted(speaks_s)
            elif ends_s is not None and at_s >= ends_s:
                n = round((at_s - speaks_s) * SAMPLE_RATE_HZ)
                sound_N = (0.1 * noise.standard_normal(n)).astype(np.float32)
                self.spoken_s[at_s] = time.monotonic()
                yield SpeechSegment(speaks_s, at_s, sound_N)
                speaks_s, ends_s = at_s + dice.expovariate(1 / self.pause_s), None
            yield ClockTick(at_s)
        yield SourceEnded("The time is over.")


class PlacedEngine:
    """The engine with a client that is open already, so that its Thinker replica is known."""

    def __init__(self, engine: RayEngine, client: RayClient) -> None:
        self.model = engine.model
        self._client = client

    async def open(self, seed: int, question: Question, adapter: Path | None = None) -> RayClient:
        return self._client


@dataclass
class SyntheticSession:
    """A session on a synthetic source, and figures from its events."""

    source: SyntheticSource
    engine: Any
    "An `Engine`, or `PlacedEngine`."
    happens: Callable[[dict[str, Any]], None] = lambda event: None
    "Called with every event as it comes."
    figures: Figures = field(default_factory=Figures)
    "The same as of a simulated session. Evidence counts as there when its event comes."
    n_wrong: int = 0
    "Events that were missing or came twice, and chains whose text differs from their deltas."
    errors: list[str] = field(default_factory=list)

    async def run(self) -> None:
        session = Session(source=self.source, engine=self.engine, settings=Settings(), metrics=Metrics())
        following = asyncio.create_task(self._follow(session), name="follow")
        await session.run()
        await following

    async def _follow(self, session: Session) -> None:
        ends: dict[int, float] = {}
        texts: dict[int, dict[str, str]] = {}
        seq = 0
        async for line in session.log.read():
            event, now_s = json.loads(line), time.monotonic()
            self.n_wrong += event["seq"] != seq + 1
            seq = event["seq"]
            match event:
                case {"type": "frame", "t": t} if t in self.source.offered_s:
                    self.figures.evidence_s.append(now_s - self.source.offered_s[t])
                case {"type": "window", "window": window, "end": end_s}:
                    ends[window] = end_s
                case {"type": "label", "source": "fast", "window": window} if ends[window] in self.source.spoken_s:
                    self.figures.label_s.append(now_s - self.source.spoken_s[ends[window]])
                case {"type": "reason.delta", "window": window, "section": section, "text": text}:
                    sections = texts.setdefault(window, {})
                    sections[section] = sections.get(section, "") + text
                case {"type": "reason.done", "window": window, "sections": sections}:
                    self.figures.chains += 1
                    self.n_wrong += texts.pop(window, {}) != sections
                # Errors about the input, such as no face in the noise, are not the cluster's.
                case {"type": "error", "code": code} if code.endswith("_failed") and not event.get("over"):
                    self.errors.append(code)
            self.happens(event)


async def open_placed(engine: RayEngine, *, elsewhere: int | None = None) -> tuple[RayClient, int]:
    """Open a client; returns it with the process id of its Thinker replica, which is not `elsewhere`.

    Raises NotDeployed where every session is routed to one replica.
    """
    for _ in range(64):
        client = await engine.open(0, Question())
        pid = (await client.route.thinker().counts.remote())["pid"]
        if pid != elsewhere:
            return client, pid
        client.close()
    raise NotDeployed("Every session is routed to one Thinker replica.", "Deploy at least two (serve.yaml).")


def percentile_ms(seconds: list[float], share: int) -> float:
    """In milliseconds; 0 where nothing was measured."""
    return round(1000 * float(np.percentile(seconds, share)), 1) if seconds else 0.0
