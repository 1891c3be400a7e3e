"""The session's side of an engine: calls become messages to the host, whichever way they travel."""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any, Protocol

from realtime.engine.host import WindowParts
from realtime.engine.worker import Rank
from realtime.records import (
    Ask,
    FrameEvidence,
    Label,
    ReasonDone,
    SpeechEvidence,
    SpeechSegment,
    SpeechSoFar,
    VideoFrame,
    Window,
)
from realtime.roles import Step

KNOWN_EVIDENCE = 32
"Less than the host keeps, so that what is named is always still there."

_chains = itertools.count(1)


class Transport(Protocol):
    """Brings calls to a `Host`, best rank first."""

    @property
    def generation(self) -> int:
        """Which host it is: another number is another one, which knows nothing of what the last was told."""

    @property
    def bundle_s(self) -> float:
        """How long steps are gathered before they travel; 0 where a message costs nothing."""

    async def alive(self) -> object:
        """Returns once there is a host to call. What is made up for it then, without awaiting, reaches that one."""

    async def call(self, method: str, *args: Any, stage: str, rank: Rank = Rank.EVIDENCE) -> Any: ...

    def post(self, method: str, *args: Any, stage: str) -> None:
        """A call whose end nobody awaits."""

    def asked(self, session: int, ask: Ask) -> None:
        """What a new host shall be told when it opens the session again."""

    def forget(self, session: int) -> None: ...


class HostClient:
    """One session's `EngineClient`. Both sides keep evidence, so a new host is sent it with the next window."""

    def __init__(self, transport: Transport, session: int) -> None:
        self._transport = transport
        self.session = session
        self._generation = transport.generation
        self._frames: OrderedDict[float, None] = OrderedDict()
        self._speech: OrderedDict[float, None] = OrderedDict()

    async def see(self, frame: VideoFrame) -> FrameEvidence:
        generation = self._transport.generation
        evidence: FrameEvidence = await self._transport.call("see", self.session, frame, stage="see")
        self._know(self._frames, frame.at_s, generation)
        return evidence

    async def hear(self, segment: SpeechSegment) -> SpeechEvidence:
        generation = self._transport.generation
        evidence: SpeechEvidence = await self._transport.call(
            "hear", self.session, segment, stage="hear", rank=Rank.LABEL
        )
        self._know(self._speech, segment.start_s, generation)
        return evidence

    async def hear_ahead(self, so_far: SpeechSoFar) -> None:
        await self._transport.call("hear_ahead", self.session, so_far, stage="hear_ahead", rank=Rank.LABEL)

    async def ask(self, ask: Ask) -> None:
        self._transport.asked(self.session, ask)
        await self._transport.call("ask", self.session, ask, stage="ask")

    async def fast_label(self, window: Window, ask: Ask) -> Label:
        await self._transport.alive()
        parts = self._parts(window)
        label: Label = await self._transport.call("fast_label", self.session, parts, ask, stage="fast", rank=Rank.LABEL)
        return label

    async def reason(self, window: Window, ask: Ask) -> AsyncGenerator[Step, None]:
        chain, budget_s = next(_chains), 0.0
        await self._transport.alive()
        generation = self._transport.generation
        options: dict[str, Any] = {"stage": "reason", "rank": Rank.REASON}
        try:
            await self._transport.call("reason", self.session, chain, self._parts(window), ask, **options)
            while True:
                steps: list[Step] = await self._transport.call("steps", self.session, chain, budget_s, **options)
                for step in steps:
                    yield step
                    if isinstance(step, ReasonDone):
                        return
                # The first word travels alone; after it, words may wait for each other.
                budget_s = self._transport.bundle_s if steps else budget_s
        finally:
            if self._transport.generation == generation:
                self._transport.post("give_up", self.session, chain, stage="reason")

    def close(self) -> None:
        self._transport.forget(self.session)
        self._transport.post("close", self.session, stage="close")

    def _know(self, known: OrderedDict[float, None], at_s: float, generation: int) -> None:
        self._renew()
        if generation != self._generation:
            # Its host ended before the answer was read, or began after the question was put.
            return
        known[at_s] = None
        while len(known) > KNOWN_EVIDENCE:
            known.popitem(last=False)

    def _renew(self) -> None:
        if self._generation != self._transport.generation:
            self._generation = self._transport.generation
            self._frames.clear()
            self._speech.clear()

    def _parts(self, window: Window) -> WindowParts:
        self._renew()
        # A place in the ring of a host that is gone would be somebody else's in a new one.
        return WindowParts(
            window.index,
            window.start_s,
            window.end_s,
            tuple(
                part.at_s if part.at_s in self._frames else replace(part, ring=0, number=0) for part in window.frames
            ),
            tuple(
                part.start_s if part.start_s in self._speech else replace(part, ring=0, number=0)
                for part in window.speech
            ),
            window.before,
        )
