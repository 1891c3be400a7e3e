"""The model's side of an engine: the perception and the chains of every session."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar, assert_never, cast

from realtime.engine.hearing import Hearing
from realtime.engine.messages import (
    BeginChain,
    BeginSummary,
    CloseSession,
    EndChain,
    FastLabel,
    Hear,
    HearAhead,
    Look,
    Message,
    NextSteps,
    OpenSession,
    Ping,
    Request,
    See,
    SetQuestion,
    TellWords,
    UseAdapter,
    WindowParts,
)
from realtime.engine.models import Models
from realtime.engine.scheduler import Scheduler
from realtime.engine.scheduler.queue import Rank
from realtime.engine.seeing import Seeing
from realtime.observe import heap
from realtime.records import FrameEvidence, SpeechEvidence, SpeechSoFar, Window
from realtime.roles import HearsTogether, Perceiver, SeesTogether, Summariser, Thinker

K = TypeVar("K")
V = TypeVar("V")
R = TypeVar("R")

KEPT_EVIDENCE = 48
"Frames, and utterances, that a session's windows can name instead of sending them again: a buffer's worth."
KEPT_WINDOWS = 8
"Labelled windows that wait for their chain."


@dataclass(slots=True)
class HostedSession:
    """What the host keeps of a session."""

    perceiver: Perceiver
    thinker: Thinker
    summariser: Summariser | None = None
    together: SeesTogether | None = None
    hears_together: HearsTogether | None = None
    frames: OrderedDict[float, FrameEvidence] = field(default_factory=OrderedDict)
    speech: OrderedDict[float, SpeechEvidence] = field(default_factory=OrderedDict)
    windows: OrderedDict[int, Window] = field(default_factory=OrderedDict)
    said: OrderedDict[int, str] = field(default_factory=OrderedDict)
    "Window → the words that were told of it."
    catches_up: bool = False
    "Whether a job with work that was put off is in the queue."


class Host:
    """Does what requests ask for. Its methods block."""

    def __init__(self, models: Models, scheduler: Scheduler) -> None:
        self._models = models
        self._scheduler = scheduler
        self._sessions: dict[int, HostedSession] = {}
        self._seeing = Seeing()
        self._hearing = Hearing()

    def announce(self, request: Request[Any]) -> Future[Any] | None:
        """Take note of a request that will be in the queue, from any thread. Returns what it has to wait for first.

        A frame is measured, in a thread of its own, before its job. A chain whose steps are wanted joins decode steps
        before its own job runs, and on a GPU a frame or a sound joins the call of another.
        """
        match request:
            case See(number, frame):
                if (session := self._sessions.get(number)) is not None and session.together is not None:
                    return self._seeing.announce(number, session.perceiver, session.together, frame)
            case Look(number, cue_frame):
                if (session := self._sessions.get(number)) is not None and session.together is not None:
                    return self._seeing.announce_glimpse(number, session.perceiver, session.together, cue_frame)
            case Hear(number, segment):
                self._announce_sound(number, SpeechSoFar(segment, paused=True), ended=True)
            case HearAhead(number, so_far):
                self._announce_sound(number, so_far, ended=False)
            case NextSteps(session, chain, budget_s):
                self._scheduler.decode.request((session, chain), budget_s)
            case _:
                pass
        return None

    def _announce_sound(self, number: int, so_far: SpeechSoFar, *, ended: bool) -> None:
        if (session := self._sessions.get(number)) is not None and session.hears_together is not None:
            self._hearing.announce(number, session.perceiver, session.hears_together, so_far, ended=ended)

    def handle(self, request: Request[R]) -> R:
        """Do it and return its result. In the model's thread only, but for `UseAdapter`, which any thread may bring."""
        # A generic class cannot be sealed, so mypy is told here that these are all the requests there are.
        return cast("R", self._handle(cast("Message", request)))

    def stats(self) -> Mapping[str, float]:
        """Of the scheduler, and of what sessions did together, under the names of `Engine.stats`."""
        return {**self._scheduler.stats(), **self._seeing.stats(), **self._hearing.stats(), **self._models.stats()}

    def _handle(self, request: Message) -> object:
        match request:
            case OpenSession():
                self._open(request)
            case CloseSession(number):
                self._close(number)
            case See(number, frame):
                session = self._sessions[number]
                seen = _keep(
                    session.frames, frame.at_s, self._seeing.see(number, session.perceiver, frame), KEPT_EVIDENCE
                )
                self._do_later(number)
                return request.result(seen)
            case Look(number, cue_frame):
                return request.result(self._seeing.glimpse(number, self._sessions[number].perceiver, cue_frame))
            case Hear(number, segment):
                session = self._sessions[number]
                evidence = self._hearing.hear(number, session.perceiver, segment)
                return request.result(_keep(session.speech, segment.start_s, evidence, KEPT_EVIDENCE))
            case HearAhead(number, so_far):
                self._hearing.hear_ahead(number, self._sessions[number].perceiver, so_far)
                self._do_later(number)
            case SetQuestion(number, question):
                self._seeing.settle(number)
                self._sessions[number].perceiver.set_question(question)
            case FastLabel(number, parts, question):
                session = self._sessions[number]
                window = _keep(session.windows, parts.index, _whole(session, parts), KEPT_WINDOWS)
                return request.result(session.thinker.fast_label(window, question))
            case BeginChain(number, chain, parts, question, again_s):
                session = self._sessions[number]
                # The same object that was labelled, since the thinker may have kept the KV cache of it.
                labelled = session.windows.pop(parts.index, None)
                said = partial(_said, session, parts.index)
                window = labelled or _whole(session, parts)
                steps = session.thinker.reason(window, question, said, again_s=again_s)
                self._scheduler.decode.begin((number, chain), steps)
            case BeginSummary(number, chain, statements, labels):
                summariser = self._sessions[number].summariser
                assert summariser is not None, "only a model that summarises is asked"
                self._scheduler.decode.begin((number, chain), summariser.summarise(statements, labels))
            case TellWords(number, index, words):
                # The session may have been closed meanwhile: nobody waits for this request.
                if number in self._sessions:
                    _keep(self._sessions[number].said, index, words, KEPT_WINDOWS)
            case NextSteps(number, chain, budget_s):
                return request.result(self._scheduler.decode.run((number, chain), budget_s))
            case EndChain(number, chain):
                self._scheduler.decode.end((number, chain))
            case UseAdapter(adapter):
                return request.result(self._models.info(adapter))
            case Ping():
                pass
            case _:
                assert_never(request)
        return None

    def _open(self, request: OpenSession) -> None:
        self._close(request.session)
        model = self._models.get(request.adapter)
        session = HostedSession(
            model.perceiver(request.seed), model.thinker, model.summariser, model.together, model.hears_together
        )
        self._sessions[request.session] = session
        session.perceiver.set_question(request.question)

    def _do_later(self, number: int) -> None:
        """Put what the perceiver left undone into the queue, a piece at a time and behind all that a label needs.

        Not while a chain of the session is written, which would get slower for what the next one may not need. Nor
        after an utterance: its label is asked for next, and would wait. The next chain then does what it needs.
        """
        session = self._sessions.get(number)
        if session is None or session.catches_up or self._scheduler.decode.writes(number):
            return
        if (work := session.perceiver.put_off()) is not None:
            session.catches_up = True
            self._scheduler.queue.put(Rank.REASON, "prefill", partial(self._catch_up, number, session, work))

    def _catch_up(self, number: int, session: HostedSession, work: Callable[[], None]) -> None:
        session.catches_up = False
        work()
        self._do_later(number)

    def _close(self, number: int) -> None:
        session = self._sessions.pop(number, None)
        if session is None:
            return
        self._scheduler.decode.end_session(number)
        self._seeing.forget(number)
        self._hearing.forget(number)
        session.perceiver.close()
        del session
        heap.trim()


def _said(session: HostedSession, window: int) -> str:
    """What was told of the words of a window so far."""
    return session.said.get(window, "")


def _keep(kept: OrderedDict[K, V], key: K, value: V, bound: int) -> V:
    kept[key] = value
    while len(kept) > bound:
        kept.popitem(last=False)
    return value


def _whole(session: HostedSession, parts: WindowParts) -> Window:
    return Window(
        parts.index,
        parts.start_s,
        parts.end_s,
        tuple(session.frames[part] if isinstance(part, float) else part for part in parts.frames),
        tuple(session.speech[part] if isinstance(part, float) else part for part in parts.speech),
    )
