"""The session's side of an engine: method calls become requests to the host."""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import AsyncGenerator, Sequence
from typing import Any, Protocol, TypeVar

from realtime.engine.messages import (
    BeginChain,
    BeginSummary,
    CloseSession,
    EndChain,
    FastLabel,
    Hear,
    HearAhead,
    Look,
    NextSteps,
    Request,
    See,
    SetQuestion,
    TellWords,
    WindowParts,
)
from realtime.records import (
    CueFrame,
    FrameEvidence,
    Glimpse,
    Label,
    Question,
    ReasonDone,
    SpeechEvidence,
    SpeechSegment,
    SpeechSoFar,
    Summary,
    VideoFrame,
    Window,
)
from realtime.roles import Step

R = TypeVar("R")

KNOWN_EVIDENCE = 32
"Less than the host keeps (`KEPT_EVIDENCE`), so that it still has whatever is named."

_chains = itertools.count(1)


class Transport(Protocol):
    """Brings requests to a `Host`, best rank first."""

    @property
    def generation(self) -> int:
        """The number of the host. A new host has another number and no session's state."""

    @property
    def bundle_s(self) -> float:
        """How long steps are gathered into one message; 0 where a message costs nothing."""

    async def alive(self) -> object:
        """Wait until there is a host. A request that is made next, without awaiting in between, reaches this host."""

    async def call(self, request: Request[R]) -> R: ...

    def post(self, request: Request[Any]) -> None:
        """Make a request and ignore its result."""

    def set_question(self, session: int, question: Question) -> None:
        """Remember the question that a new host is told when it opens the session again."""

    def forget(self, session: int) -> None:
        """Do not open the session again."""


class HostClient:
    """One session's `EngineClient`. Both sides keep evidence, so a new host is sent it with the next window."""

    def __init__(self, transport: Transport, session: int) -> None:
        self._transport = transport
        self.session = session
        self._generation = transport.generation
        self._frames: OrderedDict[float, None] = OrderedDict()
        "Times of frames that the host has."
        self._speech: OrderedDict[float, None] = OrderedDict()

    async def see(self, frame: VideoFrame) -> FrameEvidence:
        generation = self._transport.generation
        evidence = await self._transport.call(See(self.session, frame))
        self._know(self._frames, frame.at_s, generation)
        return evidence

    async def glimpse(self, frame: CueFrame) -> Glimpse:
        return await self._transport.call(Look(self.session, frame))

    async def hear(self, segment: SpeechSegment) -> SpeechEvidence:
        generation = self._transport.generation
        evidence = await self._transport.call(Hear(self.session, segment))
        self._know(self._speech, segment.start_s, generation)
        return evidence

    async def hear_ahead(self, so_far: SpeechSoFar) -> None:
        await self._transport.call(HearAhead(self.session, so_far))

    async def set_question(self, question: Question) -> None:
        self._transport.set_question(self.session, question)
        await self._transport.call(SetQuestion(self.session, question))

    async def fast_label(self, window: Window, question: Question) -> Label:
        await self._transport.alive()
        return await self._transport.call(FastLabel(self.session, self._parts(window), question))

    async def reason(
        self, window: Window, question: Question, *, again_s: float | None = None
    ) -> AsyncGenerator[Step | None, None]:
        chain, budget_s = next(_chains), 0.0
        await self._transport.alive()
        generation = self._transport.generation
        try:
            await self._transport.call(BeginChain(self.session, chain, self._parts(window), question, again_s))
            while True:
                steps = await self._transport.call(NextSteps(self.session, chain, budget_s))
                if not steps:
                    yield None
                for step in steps:
                    yield step
                    if isinstance(step, ReasonDone):
                        return
                # The first word travels alone; later ones may be gathered.
                budget_s = self._transport.bundle_s if steps else budget_s
        finally:
            if self._transport.generation == generation:
                self._transport.post(EndChain(self.session, chain))

    async def summarise(self, statements: Sequence[str], labels: Sequence[str]) -> str | None:
        chain = next(_chains)
        await self._transport.alive()
        generation = self._transport.generation
        try:
            await self._transport.call(BeginSummary(self.session, chain, tuple(statements), tuple(labels)))
            while True:
                for step in await self._transport.call(NextSteps(self.session, chain, 0.0)):
                    if isinstance(step, Summary):
                        return step.text
        finally:
            if self._transport.generation == generation:
                self._transport.post(EndChain(self.session, chain))

    def tell_words(self, window: Window, said: str) -> None:
        self._transport.post(TellWords(self.session, window.index, said))

    def close(self) -> None:
        self._transport.forget(self.session)
        self._transport.post(CloseSession(self.session))

    def _know(self, known: OrderedDict[float, None], at_s: float, generation: int) -> None:
        self._renew()
        if generation != self._generation:
            # The request was made to another host than the one there is now.
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
        # A slot in the ring of a host that is gone may belong to another session in the new host.
        return WindowParts(
            window.index,
            window.start_s,
            window.end_s,
            tuple(part.at_s if part.at_s in self._frames else part.outside() for part in window.frames),
            tuple(part.start_s if part.start_s in self._speech else part.outside() for part in window.speech),
        )
