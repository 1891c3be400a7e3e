"""What a session asks of a model. `loading.py` makes the real one; tests script theirs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from realtime.records import (
    Ask,
    FrameEvidence,
    Label,
    ReasonDelta,
    ReasonDone,
    SpeechEvidence,
    SpeechSegment,
    SpeechSoFar,
    VideoFrame,
    Window,
)

Step = ReasonDelta | Label | ReasonDone


class Perceiver(Protocol):
    """Turns one session's media into evidence. Blocking, one call at a time, always in the worker's thread."""

    def see(self, frame: VideoFrame) -> FrameEvidence: ...

    def hear(self, segment: SpeechSegment) -> SpeechEvidence: ...

    def hear_ahead(self, so_far: SpeechSoFar) -> None:
        """What can be done now of what `hear` will do; `hear` gives the same, sooner."""

    def ask(self, ask: Ask) -> None:
        """Another question for what is seen and heard from now on."""

    def close(self) -> None: ...


class Thinker(Protocol):
    """Concludes from evidence. Shared by all sessions; several `reason` iterators may be open at once."""

    def fast_label(self, window: Window, ask: Ask) -> Label: ...

    def reason(self, window: Window, ask: Ask) -> Iterator[Step]:
        """Deltas, the chain's label, and `ReasonDone` last; each step short."""


class Model(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def engine_reason(self) -> str:
        """The engine in use and why, for people."""

    @property
    def labels(self) -> tuple[str, ...]: ...

    @property
    def thinker(self) -> Thinker: ...

    def perceiver(self, seed: int) -> Perceiver: ...
