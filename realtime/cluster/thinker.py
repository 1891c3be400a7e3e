"""A Thinker replica: the rings of the sessions that were routed to it, and the chains being written.

What it holds of a session is a copy. The session's node keeps the evidence of its last window, so a replica that does
not have what a window needs (it is new, the session moved, it forgot) says which numbers it misses, is sent them, reads
them again, and goes on: one prefill, nothing else is lost.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import torch

from realtime.cluster import backbone
from realtime.cluster.backbone import Variant
from realtime.cluster.wire import SCHEMA, Card, Evidence, Labelled, Missing, Told, Who, WindowRequest
from realtime.engine.scheduler.queue import Rank
from realtime.engine.worker import ModelWorker
from realtime.model import checkpoint
from realtime.observe.metrics import Metrics
from realtime.reason.rings import SessionRing
from realtime.records import FrameEvidence, ReasonDone, SpeechEvidence, Window

KEPT_PARTS = 48
"Frames and stretches of speech kept of a session: those of two windows and to spare."
KEPT_WINDOWS = 4
ARRIVE_S = 0.15
"Evidence travels beside the question and may come after it; this long a question waits for it."
BUNDLE_S = 0.05
"So long words after the first may wait for each other: a message for each costs more than writing it."
IDLE_S = 60.0
"A session that sent nothing for so long has ended or moved."

T = TypeVar("T")


@dataclass
class Held:
    """One session as this replica knows it."""

    who: Who
    ring: SessionRing | None
    parts: OrderedDict[int, Evidence] = field(default_factory=OrderedDict)
    windows: OrderedDict[int, Window] = field(default_factory=OrderedDict)
    used_s: float = 0.0
    arrived: asyncio.Event = field(default_factory=asyncio.Event)


class ThinkerReplica:
    """Async methods on the replica's loop; the model itself runs in the worker's one thread, best rank first."""

    def __init__(
        self,
        model: str,
        adapters: Mapping[str, str] | None = None,
        *,
        device: str = "cpu",
        n_threads: int = 1,
        max_sessions: int = 64,
        version: str = "",
    ) -> None:
        torch.set_num_threads(n_threads)
        self._backbone = backbone.load(model, adapters, engine="torch", device=device)
        self._version = version
        self._max_sessions = max_sessions
        self._held: OrderedDict[str, Held] = OrderedDict()
        self._worker = ModelWorker(Metrics())
        self._worker.__enter__()
        self._decode = self._worker.scheduler.decode
        self._numbers = itertools.count(1)
        self._waiting: dict[int, float] = {}
        self._n_asked = 0
        self.n_prefills = 0
        "Times that a window's evidence had to be read again."

    def end(self) -> None:
        """Wait for what runs and let the model's thread go."""
        self._worker.__exit__(None, None, None)

    # What a session's node calls.

    async def append(self, who: Who, parts: Sequence[Evidence]) -> None:
        """Evidence that just came, or that a question missed."""
        held = await self._session(who)
        if held.who.ask != who.ask:
            # Another question is another trunk; what lies under the old one stays readable as a whole.
            await self._release(held)
            held.who, held.ring = who, await self._open(who)
        for part in parts:
            # A call that is made again brings what may be here already.
            if part.number not in held.parts:
                await self._read(held, part)
        held.arrived.set()
        held.arrived = asyncio.Event()

    async def forget(self, who: Who, number: int) -> None:
        """It turned out not to be evidence."""
        held = self._held.get(who.session)
        part = held.parts.pop(number, None) if held is not None else None
        if held is not None and part is not None and held.ring is not None:
            self._worker.submit("forget", held.ring.forget, part)

    async def label(self, question: WindowRequest, parts: Sequence[Evidence] = ()) -> Labelled | Missing:
        """`parts`: evidence that goes with the question for it, so that nothing has to arrive before it."""
        if parts:
            await self.append(question.who, parts)
        window = await self._window(question)
        if isinstance(window, Missing):
            return window
        reasoner = self._variant(question.who).reasoner
        label, waited_s = await self._run(Rank.LABEL, lambda: reasoner.fast_label(window, question.who.ask))
        return Labelled(label, waited_s)

    async def reason(self, question: WindowRequest) -> AsyncGenerator[Told | Missing, None]:
        """The chain, or what is missing for it; written together with other sessions' (`engine/scheduler/`)."""
        window = await self._window(question)
        if isinstance(window, Missing):
            yield window
            return
        reasoner, ask = self._variant(question.who).reasoner, question.who.ask
        key, budget_s = (0, next(self._numbers)), 0.0
        await self._run(Rank.REASON, lambda: self._decode.begin(key, reasoner.reason(window, ask)))
        try:
            while True:
                self._decode.request(key, budget_s)
                steps, _ = await self._run(Rank.REASON, partial(self._decode.run, key, budget_s))
                if steps:
                    yield Told(tuple(steps))
                    if isinstance(steps[-1], ReasonDone):
                        return
                    # The first word travels alone; after it, words may wait for each other.
                    budget_s = BUNDLE_S
        finally:
            self._worker.submit("close", self._decode.end, key)

    async def close(self, session: str) -> None:
        """Forget the session."""
        held = self._held.pop(session, None)
        if held is not None:
            await self._release(held)

    async def waited_s(self) -> float:
        """The age of the oldest label or chain step that waits for the model."""
        now_s = time.monotonic()
        return max((now_s - came_s for came_s in self._waiting.values()), default=0.0)

    async def counts(self) -> dict[str, int]:
        return {"sessions": len(self._held), "prefills": self.n_prefills, "pid": os.getpid()}

    async def check_health(self) -> None:
        await asyncio.sleep(0)

    async def card(self) -> Card:
        folder = self._backbone.folder
        variants = self._backbone.variants
        return Card(
            schema=SCHEMA,
            version=self._version,
            model=self._backbone.model,
            fingerprint=self._backbone.fingerprint,
            adapters=tuple(variants),
            labels=self._backbone.labels,
            engine_reason=self._backbone.engine_reason,
            config=checkpoint.read_json(folder / "config.json"),
            emotion_config={name: variant.emotion_config for name, variant in variants.items()},
            emotion={name: backbone.instruments(variant.weights) for name, variant in variants.items()},
        )

    # What it holds.

    def _variant(self, who: Who) -> Variant:
        return self._backbone.variant(who.adapter)

    async def _session(self, who: Who) -> Held:
        held = self._held.get(who.session)
        if held is None:
            while self._held and (len(self._held) >= self._max_sessions or self._idle()):
                _, gone = self._held.popitem(last=False)
                await self._release(gone)
            made = Held(who, await self._open(who))
            # Another append of the same session may have come first while the ring was being made.
            held = self._held.setdefault(who.session, made)
            if held is not made:
                await self._release(made)
        held.used_s = time.monotonic()
        self._held.move_to_end(who.session)
        return held

    def _idle(self) -> bool:
        return time.monotonic() - next(iter(self._held.values())).used_s > IDLE_S

    async def _open(self, who: Who) -> SessionRing | None:
        ring, _ = await self._run(Rank.EVIDENCE, lambda: self._variant(who).reasoner.open_ring(who.ask))
        return ring

    async def _release(self, held: Held) -> None:
        if held.ring is not None:
            self._worker.submit("close", held.ring.close)

    async def _read(self, held: Held, part: Evidence) -> None:
        number, ring = part.number, held.ring
        if ring is not None:
            rank = Rank.LABEL if isinstance(part, SpeechEvidence) else Rank.EVIDENCE
            part, _ = await self._run(rank, lambda: _added(ring, part))
        held.parts[number] = part
        while len(held.parts) > KEPT_PARTS:
            held.parts.popitem(last=False)

    async def _window(self, question: WindowRequest) -> Window | Missing:
        """The window with the evidence as it lies here, the same object for its label and its chain."""
        held = self._held.get(question.who.session)
        window = held.windows.get(question.index) if held is not None else None
        if window is not None:
            return window
        wanted = (*question.frames, *question.speech)
        missing = await self._arrived(question.who.session, wanted)
        if missing:
            self.n_prefills += 1
            return Missing(missing)
        held = self._held[question.who.session] if wanted else await self._session(question.who)
        frames = [held.parts[number] for number in question.frames]
        speech = [held.parts[number] for number in question.speech]
        window = Window(
            question.index,
            question.start_s,
            question.end_s,
            tuple(part for part in frames if isinstance(part, FrameEvidence)),
            tuple(part for part in speech if isinstance(part, SpeechEvidence)),
        )
        held.windows[question.index] = window
        while len(held.windows) > KEPT_WINDOWS:
            held.windows.popitem(last=False)
        return window

    async def _arrived(self, session: str, wanted: Sequence[int]) -> tuple[int, ...]:
        """What is still missing once it had the time to come."""
        until_s = time.monotonic() + ARRIVE_S
        while True:
            held = self._held.get(session)
            missing = tuple(number for number in wanted if held is None or number not in held.parts)
            left_s = until_s - time.monotonic()
            # Only the newest can still be on its way.
            if not missing or left_s <= 0 or held is None or len(missing) > 2:
                return missing
            try:
                await asyncio.wait_for(held.arrived.wait(), left_s)
            except TimeoutError:
                continue

    async def _run(self, rank: Rank, work: Callable[[], T]) -> tuple[T, float]:
        """Its result and how long it waited for the model."""
        self._n_asked += 1
        number, came_s = self._n_asked, time.monotonic()
        self._waiting[number] = came_s
        began_s = came_s

        def begin() -> T:
            nonlocal began_s
            began_s = time.monotonic()
            self._waiting.pop(number, None)
            return work()

        try:
            result = await self._worker.run("model", begin, rank=rank)
        finally:
            self._waiting.pop(number, None)
        return result, began_s - came_s


def _added(ring: SessionRing, part: Evidence) -> Evidence:
    return ring.add_frame(part) if isinstance(part, FrameEvidence) else ring.add_speech(part)
