"""What travels between a session and the model's host: requests, and their envelopes between two processes.

A request is a frozen dataclass that knows the type of its result: a `Request[R]` is answered by an `R`. An engine's
`call(request: Request[R]) -> R` carries it to the host, whose `handle` has the one `match` over all requests.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from realtime.engine.scheduler.queue import Rank
from realtime.errors import RealtimeError
from realtime.records import (
    CueFrame,
    FrameEvidence,
    Glimpse,
    Label,
    ModelInfo,
    Question,
    SpeechEvidence,
    SpeechSegment,
    SpeechSoFar,
    VideoFrame,
)
from realtime.roles import Step

R = TypeVar("R")


@dataclass(frozen=True)
class Request(Generic[R]):
    """Something that the host does for a result of type `R`."""

    stage: ClassVar[str]
    "Its name in metrics."
    rank: ClassVar[Rank] = Rank.EVIDENCE
    "Its place in the queue."

    def result(self, value: R) -> R:
        """`value` itself. The host returns its results through this, so that mypy checks their types."""
        return value


@dataclass(frozen=True, slots=True)
class WindowParts:
    """A window as it travels. Evidence that the host made itself is named by its time."""

    index: int
    start_s: float
    end_s: float
    frames: tuple[FrameEvidence | float, ...]
    "A number is the `at_s` of a frame."
    speech: tuple[SpeechEvidence | float, ...]
    "A number is the `start_s` of an utterance."


@dataclass(frozen=True)
class OpenSession(Request[None]):
    """Make a session's perception, in place of one that is open under this number."""

    stage = "open"
    session: int
    seed: int
    question: Question
    adapter: Path | None = None
    "Loaded unless it is already; None is the model that the engine began with."


@dataclass(frozen=True)
class CloseSession(Request[None]):
    """Forget a session. It need not be open."""

    stage = "close"
    session: int


@dataclass(frozen=True)
class See(Request[FrameEvidence]):
    stage = "see"
    session: int
    frame: VideoFrame


@dataclass(frozen=True)
class Look(Request[Glimpse]):
    """Find and measure the faces of a frame between two sampled ones."""

    stage = "glimpse"
    session: int
    frame: CueFrame


@dataclass(frozen=True)
class Hear(Request[SpeechEvidence]):
    stage = "hear"
    rank = Rank.LABEL
    session: int
    segment: SpeechSegment


@dataclass(frozen=True)
class HearAhead(Request[None]):
    """Do now what can be done of hearing an utterance that has not ended."""

    stage = "hear_ahead"
    rank = Rank.LABEL
    session: int
    so_far: SpeechSoFar


@dataclass(frozen=True)
class SetQuestion(Request[None]):
    """Another question for what the session sees and hears from now on."""

    stage = "ask"
    session: int
    question: Question


@dataclass(frozen=True)
class FastLabel(Request[Label]):
    stage = "fast"
    rank = Rank.LABEL
    session: int
    window: WindowParts
    question: Question


@dataclass(frozen=True)
class BeginChain(Request[None]):
    """Begin a chain; `NextSteps` brings its steps."""

    stage = "reason"
    rank = Rank.REASON
    session: int
    chain: int
    window: WindowParts
    question: Question
    again_s: float | None = None
    "As in `Thinker.reason`."


@dataclass(frozen=True)
class BeginSummary(Request[None]):
    """Begin a summary from statements; `NextSteps` brings its one step, and `EndChain` gives it up."""

    stage = "summary"
    rank = Rank.REASON
    session: int
    chain: int
    statements: tuple[str, ...]
    labels: tuple[str, ...]


@dataclass(frozen=True)
class TellWords(Request[None]):
    """What was said in a window, for the chain about it."""

    stage = "words"
    session: int
    window: int
    said: str


@dataclass(frozen=True)
class NextSteps(Request[list[Step]]):
    """Steps of a chain, gathered for up to `budget_s`. The list may be empty; then ask again."""

    stage = "reason"
    rank = Rank.REASON
    session: int
    chain: int
    budget_s: float


@dataclass(frozen=True)
class EndChain(Request[None]):
    """Stop decoding a chain. It may be over already."""

    stage = "reason"
    session: int
    chain: int


@dataclass(frozen=True)
class UseAdapter(Request[ModelInfo]):
    """Load the model with an adapter. It takes seconds, so it runs beside the model's thread."""

    stage = "use"
    adapter: Path


@dataclass(frozen=True)
class Ping(Request[None]):
    """Answered when the model's thread gets to it."""

    stage = "ready"


Message = (
    OpenSession
    | CloseSession
    | See
    | Look
    | Hear
    | HearAhead
    | SetQuestion
    | FastLabel
    | BeginChain
    | BeginSummary
    | TellWords
    | NextSteps
    | EndChain
    | UseAdapter
    | Ping
)
"Every request there is, for the `match` of the host."


@dataclass(frozen=True, slots=True)
class Call:
    """A request on its way to the model's process."""

    number: int
    rank: Rank
    "Mostly the request's own."
    request: Request[Any]


@dataclass(frozen=True, slots=True)
class Cancel:
    """Nobody waits for this call any more. It is left out if it has not begun."""

    number: int


@dataclass(frozen=True, slots=True)
class Fault:
    """An exception as it travels: its class and message, since not every exception can be pickled."""

    kind: str
    message: str


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to a call."""

    number: int
    result: Any
    "A Fault or a RealtimeError where the call failed."
    queued_s: float
    "How long the call waited in the queue."
    stats: dict[str, float]
    "Of the model's process, as `Engine.stats` returns them."


ToModel = Call | Cancel | None
"What goes down the pipe to the model's process; None asks it to end."
FromModel = ModelInfo | RealtimeError | Fault | Reply
"What comes back: first that the model is loaded or why not, then replies."
