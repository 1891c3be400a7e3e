"""The model's side of an engine: every session's perception and chains, called by name from wherever sessions live."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from realtime.engine.models import Models
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
from realtime.roles import Perceiver, Step, Thinker

K = TypeVar("K")
V = TypeVar("V")

KEPT_EVIDENCE = 48
"Frames, and stretches of speech, that a session's windows can name instead of bringing them along: a buffer's worth."
KEPT_WINDOWS = 8
"Labelled windows that wait for their chain."


@dataclass(frozen=True, slots=True)
class WindowParts:
    """A window as it travels: evidence that the host gave out itself is named by its time."""

    index: int
    start_s: float
    end_s: float
    frames: tuple[FrameEvidence | float, ...]
    "A number is the `at_s` of a frame."
    speech: tuple[SpeechEvidence | float, ...]
    "A number is the `start_s` of a stretch."


@dataclass(slots=True)
class Hosted:
    """What is kept for one session."""

    perceiver: Perceiver
    thinker: Thinker
    frames: OrderedDict[float, FrameEvidence] = field(default_factory=OrderedDict)
    speech: OrderedDict[float, SpeechEvidence] = field(default_factory=OrderedDict)
    windows: OrderedDict[int, Window] = field(default_factory=OrderedDict)
    chains: dict[int, Iterator[Step]] = field(default_factory=dict)


class Host:
    """Blocking; called from the model worker's thread only."""

    def __init__(self, models: Models, *, waiting: Callable[[], int] = lambda: 0) -> None:
        self._models = models
        self._waiting = waiting
        "How many jobs wait for this thread."
        self._sessions: dict[int, Hosted] = {}
        self._chain_cpu_s = 0.0

    def open(self, session: int, seed: int, ask: Ask, adapter: Path | None) -> None:
        """A session's perception; one that is open already goes first. Its adapter is loaded unless it is there."""
        self.close(session)
        model = self._models.get(adapter)
        hosted = Hosted(model.perceiver(seed), model.thinker)
        self._sessions[session] = hosted
        hosted.perceiver.ask(ask)

    def close(self, session: int) -> None:
        hosted = self._sessions.pop(session, None)
        if hosted is None:
            return
        for steps in hosted.chains.values():
            _close(steps)
        hosted.perceiver.close()

    def see(self, session: int, frame: VideoFrame) -> FrameEvidence:
        hosted = self._sessions[session]
        return _keep(hosted.frames, frame.at_s, hosted.perceiver.see(frame), KEPT_EVIDENCE)

    def hear(self, session: int, segment: SpeechSegment) -> SpeechEvidence:
        hosted = self._sessions[session]
        return _keep(hosted.speech, segment.start_s, hosted.perceiver.hear(segment), KEPT_EVIDENCE)

    def hear_ahead(self, session: int, so_far: SpeechSoFar) -> None:
        self._sessions[session].perceiver.hear_ahead(so_far)

    def ask(self, session: int, ask: Ask) -> None:
        self._sessions[session].perceiver.ask(ask)

    def fast_label(self, session: int, parts: WindowParts, ask: Ask) -> Label:
        hosted = self._sessions[session]
        window = _keep(hosted.windows, parts.index, _whole(hosted, parts), KEPT_WINDOWS)
        return hosted.thinker.fast_label(window, ask)

    def reason(self, session: int, chain: int, parts: WindowParts, ask: Ask) -> None:
        """Begin a chain; its steps are asked for one bundle after the other."""
        hosted = self._sessions[session]
        # The very window that was labelled: the thinker may have kept what it read of it.
        window = hosted.windows.pop(parts.index, None) or _whole(hosted, parts)
        hosted.chains[chain] = hosted.thinker.reason(window, ask)

    def steps(self, session: int, chain: int, budget_s: float) -> list[Step]:
        """The next step of a chain, and those after it that fit into `budget_s` while nobody else waits."""
        chains = self._sessions[session].chains
        began_cpu_s, until_s = time.thread_time(), time.perf_counter() + budget_s
        taken: list[Step] = []
        try:
            for step in chains[chain]:
                taken.append(step)
                if isinstance(step, ReasonDone):
                    del chains[chain]
                    return taken
                if time.perf_counter() >= until_s or self._waiting():
                    return taken
        finally:
            self._chain_cpu_s += time.thread_time() - began_cpu_s
        raise RuntimeError("the chain ended without a verdict")

    def give_up(self, session: int, chain: int) -> None:
        hosted = self._sessions.get(session)
        if hosted is not None and chain in hosted.chains:
            _close(hosted.chains.pop(chain))

    def stats(self) -> Mapping[str, float]:
        return {"chain_cpu_s": self._chain_cpu_s, "waiting": self._waiting()}


def _keep(kept: OrderedDict[K, V], key: K, value: V, bound: int) -> V:
    kept[key] = value
    while len(kept) > bound:
        kept.popitem(last=False)
    return value


def _whole(hosted: Hosted, parts: WindowParts) -> Window:
    return Window(
        parts.index,
        parts.start_s,
        parts.end_s,
        tuple(hosted.frames[part] if isinstance(part, float) else part for part in parts.frames),
        tuple(hosted.speech[part] if isinstance(part, float) else part for part in parts.speech),
    )


def _close(steps: Iterator[Step]) -> None:
    if isinstance(steps, Generator):
        steps.close()
