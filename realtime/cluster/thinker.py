"""A Thinker replica: the KV-cache rings of the sessions that were routed to it, and the chains that it decodes.

What it has of a session is a copy; the session's node keeps the evidence of its last window. A replica that is new, or
to which the session moved, or that forgot it, lacks evidence of a window. It answers with the numbers that it misses,
is sent that evidence, prefills it, and goes on. Nothing is lost but the time of one prefill.
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
from realtime.cluster.backbone import AdaptedModel
from realtime.cluster.messages import (
    SCHEMA,
    ChainSteps,
    DeploymentManifest,
    Evidence,
    MissingEvidence,
    SessionKey,
    TimedLabel,
    WindowRequest,
)
from realtime.engine.scheduler.queue import Rank
from realtime.engine.worker import ModelWorker
from realtime.model import checkpoint
from realtime.model.products import Weights
from realtime.observe.metrics import Metrics
from realtime.reason.session_ring import SessionRing
from realtime.records import FrameEvidence, ReasonDone, SpeechEvidence, Window

KEPT_PARTS = 48
"Frames and utterances kept of a session, more than two windows have."
KEPT_WINDOWS = 4
ARRIVE_S = 0.15
"A request waits this long for evidence that was sent apart from it and may arrive after it."
BUNDLE_S = 0.05
"How long words after the first are gathered into one message, which costs more than decoding a word."
IDLE_S = 60.0
"A session that sent nothing for this long has ended or moved."

T = TypeVar("T")


@dataclass
class SessionCopy:
    """What this replica has of a session."""

    key: SessionKey
    ring: SessionRing | None
    parts: OrderedDict[int, Evidence] = field(default_factory=OrderedDict)
    windows: OrderedDict[int, Window] = field(default_factory=OrderedDict)
    used_s: float = 0.0
    "When it was last used, on the clock of `time.monotonic`."
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    "Set when evidence has been prefilled, then replaced."


class ThinkerReplica:
    """Its async methods run on the replica's event loop; the model runs in the worker's thread, best rank first."""

    def __init__(
        self,
        model: str,
        adapters: Mapping[str, str] | None = None,
        *,
        device: str = "cpu",
        weights: Weights = "full",
        n_threads: int = 1,
        max_sessions: int = 64,
        version: str = "",
    ) -> None:
        torch.set_num_threads(n_threads)
        self._backbone = backbone.load(model, adapters, engine="torch", device=device, kept=weights)
        self._version = version
        self._max_sessions = max_sessions
        self._sessions: OrderedDict[str, SessionCopy] = OrderedDict()
        "Least recently used first."
        self._worker = ModelWorker(Metrics())
        self._worker.__enter__()
        self._decode = self._worker.scheduler.decode
        self._numbers = itertools.count(1)
        self._waiting: dict[int, float] = {}
        self._n_jobs = 0
        self.n_prefills = 0
        "Windows whose evidence had to be sent and prefilled again."

    def end(self) -> None:
        """Wait for the running job and end the model's thread."""
        self._worker.__exit__(None, None, None)

    # Methods that a session's node calls.

    async def append(self, key: SessionKey, parts: Sequence[Evidence]) -> None:
        """Prefill evidence that is new, or that a window missed."""
        session = await self._session(key)
        if session.key.question != key.question:
            # Another question has another prompt prefix and so another ring. Evidence of the old ring is prefilled with
            # each window that needs it.
            await self._release(session)
            session.key, session.ring = key, await self._open(key)
        for part in parts:
            # A call that is made again may bring evidence that is here already.
            if part.number not in session.parts:
                await self._prefill(session, part)
        session.arrived.set()
        session.arrived = asyncio.Event()

    async def forget(self, key: SessionKey, number: int) -> None:
        """Drop evidence that turned out to be none."""
        session = self._sessions.get(key.session)
        part = session.parts.pop(number, None) if session is not None else None
        if session is not None and part is not None and session.ring is not None:
            self._worker.submit("forget", session.ring.forget, part)

    async def label(self, request: WindowRequest, parts: Sequence[Evidence] = ()) -> TimedLabel | MissingEvidence:
        """The fast label of a window. `parts` is evidence that travels with the request, not to arrive after it."""
        if parts:
            await self.append(request.key, parts)
        window = await self._window(request)
        if isinstance(window, MissingEvidence):
            return window
        reasoner = self._model_of(request.key).reasoner
        label, waited_s = await self._run(Rank.LABEL, lambda: reasoner.fast_label(window, request.key.question))
        return TimedLabel(label, waited_s)

    async def reason(self, request: WindowRequest) -> AsyncGenerator[ChainSteps | MissingEvidence, None]:
        """The chain of a window, decoded together with others (`engine/scheduler/`), or what is missing for it."""
        window = await self._window(request)
        if isinstance(window, MissingEvidence):
            yield window
            return
        reasoner, question = self._model_of(request.key).reasoner, request.key.question
        chain, budget_s = (0, next(self._numbers)), 0.0
        steps_of = partial(reasoner.reason, window, question, again_s=request.again_s)
        await self._run(Rank.REASON, lambda: self._decode.begin(chain, steps_of()))
        try:
            while True:
                self._decode.request(chain, budget_s)
                steps, _ = await self._run(Rank.REASON, partial(self._decode.run, chain, budget_s))
                if steps:
                    yield ChainSteps(tuple(steps))
                    if isinstance(steps[-1], ReasonDone):
                        return
                    # The first word travels alone; later ones may be gathered.
                    budget_s = BUNDLE_S
        finally:
            self._worker.submit("close", self._decode.end, chain)

    async def close(self, session_id: str) -> None:
        """Forget a session."""
        session = self._sessions.pop(session_id, None)
        if session is not None:
            await self._release(session)

    async def waited_s(self) -> float:
        """How long the oldest job in the queue has waited for the model."""
        now_s = time.monotonic()
        return max((now_s - came_s for came_s in self._waiting.values()), default=0.0)

    async def counts(self) -> dict[str, int]:
        return {"sessions": len(self._sessions), "prefills": self.n_prefills, "pid": os.getpid()}

    async def check_health(self) -> None:
        """Called by Serve. A replica whose event loop is blocked does not answer."""
        await asyncio.sleep(0)

    async def manifest(self) -> DeploymentManifest:
        """What is deployed here."""
        folder = self._backbone.folder
        models = self._backbone.models
        return DeploymentManifest(
            schema=SCHEMA,
            version=self._version,
            model=self._backbone.model,
            fingerprint=self._backbone.fingerprint,
            adapters=tuple(models),
            labels=self._backbone.labels,
            runtime_reason=self._backbone.runtime_reason,
            config=checkpoint.read_json(folder / "config.json"),
            emotion_config={name: model.emotion_config for name, model in models.items()},
            emotion={name: backbone.instruments(model.weights) for name, model in models.items()},
        )

    # Sessions.

    def _model_of(self, key: SessionKey) -> AdaptedModel:
        return self._backbone.with_adapter(key.adapter)

    async def _session(self, key: SessionKey) -> SessionCopy:
        session = self._sessions.get(key.session)
        if session is None:
            while self._sessions and (len(self._sessions) >= self._max_sessions or self._idle()):
                _, gone = self._sessions.popitem(last=False)
                await self._release(gone)
            made = SessionCopy(key, await self._open(key))
            # Another call of the same session may have opened it while this ring was being made.
            session = self._sessions.setdefault(key.session, made)
            if session is not made:
                await self._release(made)
        session.used_s = time.monotonic()
        self._sessions.move_to_end(key.session)
        return session

    def _idle(self) -> bool:
        return time.monotonic() - next(iter(self._sessions.values())).used_s > IDLE_S

    async def _open(self, key: SessionKey) -> SessionRing | None:
        ring, _ = await self._run(Rank.EVIDENCE, lambda: self._model_of(key).reasoner.open_ring(key.question))
        return ring

    async def _release(self, session: SessionCopy) -> None:
        if session.ring is not None:
            self._worker.submit("close", session.ring.close)

    async def _prefill(self, session: SessionCopy, part: Evidence) -> None:
        number, ring = part.number, session.ring
        if ring is not None:
            rank = Rank.LABEL if isinstance(part, SpeechEvidence) else Rank.EVIDENCE
            part, _ = await self._run(rank, lambda: _added(ring, part))
        session.parts[number] = part
        while len(session.parts) > KEPT_PARTS:
            session.parts.popitem(last=False)

    async def _window(self, request: WindowRequest) -> Window | MissingEvidence:
        """The window with the evidence of this replica. Its label and its chain get the same object."""
        session = self._sessions.get(request.key.session)
        window = session.windows.get(request.index) if session is not None else None
        if window is not None:
            return window
        wanted = (*request.frames, *request.speech)
        missing = await self._arrived(request.key.session, wanted)
        if missing:
            self.n_prefills += 1
            return MissingEvidence(missing)
        session = self._sessions[request.key.session] if wanted else await self._session(request.key)
        frames = [session.parts[number] for number in request.frames]
        speech = [session.parts[number] for number in request.speech]
        window = Window(
            request.index,
            request.start_s,
            request.end_s,
            tuple(part for part in frames if isinstance(part, FrameEvidence)),
            tuple(part for part in speech if isinstance(part, SpeechEvidence)),
        )
        session.windows[request.index] = window
        while len(session.windows) > KEPT_WINDOWS:
            session.windows.popitem(last=False)
        return window

    async def _arrived(self, session_id: str, wanted: Sequence[int]) -> tuple[int, ...]:
        """The numbers that are still missing after they had `ARRIVE_S` to arrive."""
        until_s = time.monotonic() + ARRIVE_S
        while True:
            session = self._sessions.get(session_id)
            missing = tuple(number for number in wanted if session is None or number not in session.parts)
            left_s = until_s - time.monotonic()
            # Only the newest evidence can still be on its way.
            if not missing or left_s <= 0 or session is None or len(missing) > 2:
                return missing
            try:
                await asyncio.wait_for(session.arrived.wait(), left_s)
            except TimeoutError:
                continue

    async def _run(self, rank: Rank, work: Callable[[], T]) -> tuple[T, float]:
        """Run `work` in the model's thread. Returns its result and how long it waited for the thread."""
        self._n_jobs += 1
        number, came_s = self._n_jobs, time.monotonic()
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
