"""The model's side of an engine: every session's perception and chains, called by name from wherever sessions live."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from realtime.engine.chains import Chains
from realtime.engine.models import Models
from realtime.observe import heap
from realtime.records import (
    Ask,
    Conclusion,
    FrameEvidence,
    Label,
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
    before: tuple[Conclusion, ...] = ()


@dataclass(slots=True)
class Hosted:
    """What is kept for one session."""

    perceiver: Perceiver
    thinker: Thinker
    frames: OrderedDict[float, FrameEvidence] = field(default_factory=OrderedDict)
    speech: OrderedDict[float, SpeechEvidence] = field(default_factory=OrderedDict)
    windows: OrderedDict[int, Window] = field(default_factory=OrderedDict)


class Host:
    """Blocking; called from the model worker's thread only, but for `announce`."""

    def __init__(
        self, models: Models, *, waiting: Callable[[], int] = lambda: 0, urgent: Callable[[], bool] = lambda: False
    ) -> None:
        """`waiting`: how many jobs wait for this thread; `urgent`: whether one of a better rank than chains does."""
        self._models = models
        self._waiting = waiting
        self._sessions: dict[int, Hosted] = {}
        self._chains = Chains(urgent=urgent)

    def announce(self, method: str, args: tuple[Any, ...]) -> None:
        """This call will be made as soon as the thread is free. From any thread."""
        if method == "steps":
            session, chain, budget_s = args
            self._chains.asked((session, chain), budget_s)

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
        self._chains.close(session)
        hosted.perceiver.close()
        del hosted
        heap.trim()

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
        self._chains.begin((session, chain), hosted.thinker.reason(window, ask))

    def steps(self, session: int, chain: int, budget_s: float) -> list[Step]:
        """What there is of a chain after its turn (`chains.py`); may be nothing yet."""
        return self._chains.turn((session, chain), budget_s)

    def give_up(self, session: int, chain: int) -> None:
        self._chains.give_up((session, chain))

    def stats(self) -> Mapping[str, float]:
        return {**self._chains.stats(), "waiting": self._waiting()}


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
        parts.before,
    )
