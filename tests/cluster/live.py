"""Live sessions on a cluster, as the tests lead and watch them."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Any

from realtime.observe.metrics import Metrics
from realtime.records import (
    ClockTick,
    CueFrame,
    FrameEvidence,
    Glimpse,
    Label,
    ModelInfo,
    Question,
    ReasonDelta,
    SpeechEvidence,
    SpeechSegment,
    SpeechSoFar,
    VideoFrame,
    Window,
)
from realtime.roles import Engine, EngineClient, Step
from realtime.session import Session
from realtime.settings import Settings
from tests.scripted import ScriptedSource, picture
from tests.waiting import eventually

PATIENCE_S = 90.0
"A replica is a process that imports torch; on a busy machine that takes its time."


class Opened:
    """The engine with a client that is open already, so that its Thinker replica is known."""

    def __init__(self, engine: Engine, client: EngineClient) -> None:
        self.model: ModelInfo = engine.model
        self._engine = engine
        self._client = client

    async def use(self, adapter: Path) -> ModelInfo:
        return await self._engine.use(adapter)

    async def open(self, seed: int, question: Question, adapter: Path | None = None) -> EngineClient:
        return self._client

    async def ready(self) -> None:
        await self._engine.ready()

    def stats(self) -> Mapping[str, float]:
        return self._engine.stats()


class Watched:
    """A session on a client of its own, and its events as they come."""

    def __init__(self, engine: Engine, client: EngineClient) -> None:
        self.items: list[Any] = []
        self.events: list[dict[str, Any]] = []
        self.session = Session(
            source=ScriptedSource(self.items),
            engine=Opened(engine, client),
            settings=Settings(),
            metrics=Metrics(),
        )

    async def run(self) -> None:
        follower = asyncio.create_task(self._follow(), name="follower")
        await self.session.run()
        await follower

    async def _follow(self) -> None:
        async for line in self.session.log.read():
            self.events.append(json.loads(line))

    def of(self, kind: str, window: int) -> list[dict[str, Any]]:
        return [event for event in self.events if event["type"] == kind and event["window"] == window]

    async def until(self, kind: str, window: int) -> None:
        await self._until(lambda: bool(self.of(kind, window)), f"{kind} of window {window}")

    async def seen(self, at_s: float) -> None:
        there = ("frame", at_s)
        await self._until(lambda: there in {(event["type"], event["t"]) for event in self.events}, f"frame at {at_s} s")

    async def _until(self, reached: Callable[[], bool], what: str) -> None:
        await eventually(reached, f"{what}, after {len(self.events)} events", within_s=PATIENCE_S)

    def script(self, *between: Callable[[], Any]) -> None:
        """Two windows of quiet; `between`: what happens once the first has its label."""
        for at_s in range(8):
            # One after the other, so that a slow machine is not taken for a late one, which does without chains.
            self.items += [picture(float(at_s)), partial(self.seen, float(at_s))]
            if at_s == 3:
                self.items += [ClockTick(4.0), partial(self.until, "label", 0), *between]
        self.items += [ClockTick(8.0), partial(self.until, "label", 1)]
        self.items += [partial(self.until, "reason.done", 0), partial(self.until, "reason.done", 1)]

    def check(self) -> None:
        """Every event once and in order, nothing failed, and what was said of each window is what was concluded."""
        assert [event["seq"] for event in self.events] == list(range(1, len(self.events) + 1))
        assert [event for event in self.events if event["type"] == "error" and "failed" in event["code"]] == []
        for window in (0, 1):
            said: dict[str, str] = defaultdict(str)
            for delta in self.of("reason.delta", window):
                said[delta["section"]] += delta["text"]
            (done,) = self.of("reason.done", window)
            assert dict(said) == done["sections"]
            assert [label["source"] for label in self.of("label", window)] == ["fast", "chain"]


class Interrupted:
    """A client to which something happens once, between the first words of its first chain and the next."""

    def __init__(self, client: EngineClient, happens: Callable[[], None]) -> None:
        self._client = client
        self._happens = [happens]

    async def see(self, frame: VideoFrame) -> FrameEvidence:
        return await self._client.see(frame)

    async def glimpse(self, frame: CueFrame) -> Glimpse:
        return await self._client.glimpse(frame)

    async def hear(self, segment: SpeechSegment) -> SpeechEvidence:
        return await self._client.hear(segment)

    async def hear_ahead(self, so_far: SpeechSoFar) -> None:
        await self._client.hear_ahead(so_far)

    async def set_question(self, question: Question) -> None:
        await self._client.set_question(question)

    async def fast_label(self, window: Window, question: Question) -> Label:
        return await self._client.fast_label(window, question)

    async def reason(
        self, window: Window, question: Question, *, again_s: float | None = None
    ) -> AsyncGenerator[Step | None, None]:
        async with aclosing(self._client.reason(window, question, again_s=again_s)) as steps:
            async for step in steps:
                yield step
                if self._happens and isinstance(step, ReasonDelta):
                    self._happens.pop()()

    async def summarise(self, statements: Sequence[str], labels: Sequence[str]) -> str | None:
        return await self._client.summarise(statements, labels)

    def tell_words(self, window: Window, said: str) -> None:
        self._client.tell_words(window, said)

    def close(self) -> None:
        self._client.close()
