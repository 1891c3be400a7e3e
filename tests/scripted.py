"""Stand-ins with a script: a source that hands on what it was told to, and a model that says what it was told to.

They have exactly the signatures of the real ones (`realtime.roles`): a session runs on them without a GPU, a codec or a
wait.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from realtime.engine.scheduler.queue import Rank
from realtime.engine.worker import ModelWorker
from realtime.observe.metrics import Metrics
from realtime.records import (
    LABELS,
    SAMPLE_RATE_HZ,
    Answer,
    AnsweredFrom,
    ClockTick,
    Conflict,
    Contradiction,
    CueFrame,
    Face,
    FaceCues,
    FrameEvidence,
    Glimpse,
    HeardWords,
    Item,
    Label,
    Question,
    ReasonDelta,
    ReasonDone,
    Rewritten,
    Scene,
    SoundKind,
    SourceEnded,
    SpeechEvidence,
    SpeechSegment,
    SpeechSoFar,
    SpeechStarted,
    Summary,
    TokenCounts,
    TurnedBy,
    Unsupported,
    VideoFrame,
    VoiceCues,
    Window,
)
from realtime.roles import GathersAppends, HearsTogether, SeesTogether, Step, Words, unsaid
from tests.waiting import WITHIN_S, eventually

T = TypeVar("T")
WIDTH = 8
TURNS = 40
"Turns of the loop in which every stage of a session has passed on what it was given."
CHAIN = (
    ("face", "The lip corners "),
    ("face", "are pulled up."),
    ("context", "One person."),
    ("atmosphere", "Evenly lit."),
    ("voice", "Higher than before."),
    ("coarse", "Positive."),
    ("fine", "Happy, moderate."),
    ("answer", "happy, moderate, 0.6"),
)


def picture(at_s: float, *, level: int = 120) -> VideoFrame:
    """A 64×48 picture; no two moments look the same unless `level` is 0."""
    noise = np.random.default_rng(round(at_s * 1000)).integers(0, 40, (48, 64, 3))
    return VideoFrame(at_s, np.clip(noise + level - 20 if level else noise * 0, 0, 255).astype(np.uint8))


def speech(start_s: float, end_s: float) -> SpeechSegment:
    return SpeechSegment(start_s, end_s, np.zeros(round((end_s - start_s) * SAMPLE_RATE_HZ), np.float32))


Scripted = Item | Callable[[], Awaitable[None] | None]


@dataclass
class ScriptedSource:
    """Gives the items of its script in order. A function is called, and awaited while the session does things."""

    script: Sequence[Scripted]
    live: bool = True
    has_video: bool = True
    has_audio: bool = True
    silent_s: float = 0.0
    reason: str = "end of script"

    async def items(self) -> AsyncGenerator[Item, None]:
        for item in self.script:
            if not callable(item):
                yield item
            elif (waiting := item()) is not None:
                await waiting
        yield SourceEnded(self.reason)


def conversation(duration_s: float, *spoken: tuple[float, float]) -> list[Scripted]:
    """A frame a second, a tick a quarter of one, and speech at the given times."""
    timed: list[tuple[float, int, Scripted]] = [(float(s), 0, picture(float(s))) for s in range(int(duration_s) + 1)]
    timed += [(quarter / 4, 2, ClockTick(quarter / 4)) for quarter in range(int(duration_s * 4) + 1)]
    timed += [(start_s, 1, SpeechStarted(start_s)) for start_s, _ in spoken]
    # A segment is handed on once its end is certain.
    timed += [(end_s + 0.3, 1, speech(start_s, end_s)) for start_s, end_s in spoken]
    return [item for _, _, item in sorted(timed, key=lambda entry: entry[:2])]


class Hold(threading.Event):
    """A gate in the model. While it is clear, whoever comes to it waits there: a machine that is too slow."""

    n_waiting = 0

    def wait(self, timeout: float | None = None) -> bool:
        self.n_waiting += 1
        try:
            return super().wait(timeout)
        finally:
            self.n_waiting -= 1

    @property
    def holds(self) -> bool:
        """Whether somebody waits there and will go on waiting."""
        return self.n_waiting > 0 and not self.is_set()


class SteppedWorker(ModelWorker):
    """A worker of which a script can wait until it has nothing left to do, or stands before a `Hold`."""

    def __init__(self, metrics: Metrics) -> None:
        super().__init__(metrics)
        self.holds: list[Hold] = []
        self._n_put = 0

    def submit(
        self,
        stage: str,
        work: Callable[..., T],
        *args: Any,
        rank: Rank = Rank.EVIDENCE,
        after: Future[Any] | None = None,
    ) -> Future[T]:
        self._n_put += 1
        return super().submit(stage, work, *args, rank=rank, after=after)

    async def settled(self) -> None:
        """Return when the worker can do no more, and every task has taken its results and asked for nothing new."""
        while not await self._stands_still():
            pass

    async def _stands_still(self) -> bool:
        # Results come to the loop in their order, so this one comes after all those before it.
        last = asyncio.wrap_future(self.submit("settle", lambda: None, rank=Rank.REASON))
        n_put = self._n_put
        await eventually(lambda: last.done() or any(hold.holds for hold in self.holds), "the worker's end of work")
        held = last.cancel()
        for _ in range(TURNS):
            await asyncio.sleep(0)
        return held or n_put == self._n_put


@dataclass
class ScriptedPerceiver:
    faces: int = 1
    fail_at_s: tuple[float, ...] = ()
    fails_with: type[Exception] = RuntimeError
    hold: Hold | None = None
    "While it is clear, seeing waits: a machine that is too slow."
    speaks_s: tuple[float, float] = (0.0, 0.0)
    "When the mouth moves."
    kind: SoundKind = "voice"
    closed: bool = False
    asked: list[Question] = field(default_factory=list)
    heard_ahead: list[SpeechSoFar] = field(default_factory=list)

    def hear_ahead(self, so_far: SpeechSoFar) -> None:
        self.heard_ahead.append(so_far)

    def put_off(self) -> None:
        return None

    def set_question(self, question: Question) -> None:
        self.asked.append(question)

    def see(self, frame: VideoFrame) -> FrameEvidence:
        if self.hold is not None:
            self.hold.wait(WITHIN_S)
        if frame.at_s in self.fail_at_s:
            raise self.fails_with("out of memory")
        face = Face(track=1, box=(0.4, 0.2, 0.2, 0.4), score=0.9, mesh_N3=None)
        cues = FaceCues(1, {"jaw_drop": 0.3}, (0.0, 0.0, 0.0), np.zeros(4, np.float32))
        return FrameEvidence(
            at_s=frame.at_s,
            faces=(face,) * self.faces,
            cues=(cues,) * self.faces,
            scene=Scene(float(frame.rgb_HW3.mean()) / 255, 0.2),
            counts=TokenCounts(4, 3, 1),
            tokens_ND=np.zeros((7, WIDTH), np.float32),
            positions_3N=np.zeros((3, 7), np.int64),
            timings_ms={"faces": 4.0},
        )

    def glimpse(self, frame: CueFrame) -> Glimpse:
        moves = self.speaks_s[0] <= frame.at_s <= self.speaks_s[1]
        gap = 0.1 * (round(10 * frame.at_s) % 2) if moves else 0.0
        cues = FaceCues(1, {"jaw_drop": 0.3}, (0.0, 0.0, 0.0), np.zeros(0, np.float32), mouth_gap=gap)
        return Glimpse(frame.at_s, (cues,) * self.faces)

    def hear(self, segment: SpeechSegment) -> SpeechEvidence:
        values = {"pitch_hz": 180.0, "pitch_movement_st_s": 20.0, "voiced_ratio": 0.6}
        cues = VoiceCues(values, {"pitch_hz": 0.5}, np.zeros(4, np.float32), self.kind)
        return SpeechEvidence(
            segment.start_s, segment.end_s, cues, np.zeros((5, WIDTH), np.float32), np.zeros((3, 5), np.int64)
        )

    def close(self) -> None:
        self.closed = True


@dataclass
class ScriptedTranscriber:
    text: str | None
    "None: words that are not trusted."
    probabilities: dict[str, float] | None = None
    fails_with: Exception | None = None
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    "While it is clear, writing down waits."
    asked: list[SpeechSegment] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.go_on.set()

    async def transcribe(self, segment: SpeechSegment) -> HeardWords | None:
        self.asked.append(segment)
        await self.go_on.wait()
        if self.fails_with is not None:
            raise self.fails_with
        if self.text is None:
            return None
        return HeardWords(segment.start_s, segment.end_s, self.text, "en", 0.9, self.probabilities)


@dataclass
class ScriptedThinker:
    chain: Sequence[tuple[str, str]] = CHAIN
    fail_windows: tuple[int, ...] = ()
    hold: Hold | None = None
    "While it is clear, the chain stops before its next word."
    windows: list[Window] = field(default_factory=list)
    n_closed: int = 0
    "Chains that were given up or came to their end."
    contradictions: tuple[Contradiction, ...] = ()
    rewritten: Rewritten = "no"
    unsupported: tuple[Unsupported, ...] = ()
    n_withheld: int = 0
    answered_from: AnsweredFrom | None = None
    turned_by: tuple[TurnedBy, ...] = ()
    again_s: list[float | None] = field(default_factory=list)
    "The limit of each chain for arguing again."

    def fast_label(self, window: Window, question: Question) -> Label:
        self.windows.append(window)
        return self._label(window, question, "fast")

    def reason(
        self, window: Window, question: Question, said: Words = unsaid, *, again_s: float | None = None
    ) -> Iterator[Step | None]:
        self.again_s.append(again_s)
        try:
            for section, text in self.chain:
                if self.hold is not None:
                    self.hold.wait(WITHIN_S)
                if window.index in self.fail_windows:
                    raise RuntimeError("out of memory")
                yield ReasonDelta(section, text)
            yield self._label(window, question, "chain")
            sections: dict[str, str] = {}
            for section, text in self.chain:
                sections[section] = sections.get(section, "") + text
            label = "unsure" if self.contradictions else "happy"
            answer = Answer(label, "moderate", 0.6)
            timings, read = {"prefill": 12.0}, bool(said())
            checked = self.contradictions, self.rewritten, read, self.unsupported, self.n_withheld, self.answered_from
            yield ReasonDone(sections, answer, timings, *checked, self.turned_by)
        finally:
            self.n_closed += 1

    @staticmethod
    def _label(window: Window, question: Question, source: str) -> Label:
        names = question.told_labels
        best, rest = names[0], 0.4 / (len(names) - 1)
        probabilities = {label: 0.6 if label == best else rest for label in names}
        conflict = Conflict(probabilities, probabilities, 0.0) if window.speech and window.frames else None
        return Label(best, probabilities, "fast" if source == "fast" else "chain", conflict)


@dataclass
class ScriptedSummariser:
    """Tells these texts, one for each summary."""

    texts: Sequence[str | None]
    hold: Hold | None = None
    "While it is clear, the summary stops before its end."
    asked: list[tuple[str, ...]] = field(default_factory=list)
    "The statements of each."
    n_closed: int = 0

    def summarise(self, statements: Sequence[str], labels: Sequence[str]) -> Iterator[Summary | None]:
        self.asked.append(tuple(statements))
        try:
            yield None
            if self.hold is not None:
                self.hold.wait(WITHIN_S)
            yield Summary(self.texts[len(self.asked) - 1])
        finally:
            self.n_closed += 1


@dataclass
class ScriptedModel:
    perceivers: ScriptedPerceiver = field(default_factory=ScriptedPerceiver)
    thinker: ScriptedThinker = field(default_factory=ScriptedThinker)
    name: str = "scripted"
    runtime_reason: str = "none (the words are given)"
    labels: tuple[str, ...] = LABELS
    open_labels: bool = True
    stock: bool = False
    summariser: ScriptedSummariser | None = None
    label_model: str | None = None
    answer_model: str | None = None
    words: bool = False
    together: SeesTogether | None = None
    hears_together: HearsTogether | None = None
    appends: GathersAppends | None = None

    def perceiver(self, seed: int) -> ScriptedPerceiver:
        return self.perceivers
