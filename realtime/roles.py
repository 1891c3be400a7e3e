"""Protocols between the parts: what a session calls on an engine, an engine on a model, and evidence on its ring.

`engine/loading.py` makes the real model. Tests use scripted ones.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from realtime.records import (
    CueFrame,
    FrameEvidence,
    Glimpse,
    HeardWords,
    Item,
    Label,
    ModelInfo,
    Question,
    ReasonDelta,
    ReasonDone,
    SpeechEvidence,
    SpeechSegment,
    SpeechSoFar,
    Summary,
    VideoFrame,
    Window,
)

Step = ReasonDelta | Label | ReasonDone | Summary
"A step of a chain; `Summary` is that of a summary."


class Source(Protocol):
    """One stream of media: a WebRTC peer, a file, or a camera's address."""

    @property
    def live(self) -> bool:
        """Whether media arrives by itself. A slow consumer of a live source has to skip; a recording waits for it."""

    @property
    def has_video(self) -> bool: ...

    @property
    def has_audio(self) -> bool: ...

    @property
    def silent_s(self) -> float:
        """Seconds of digital silence (every sample zero) up to now: a muted microphone, not a quiet room."""

    def items(self) -> AsyncGenerator[Item, None]:
        """The media in media-time order, `SourceEnded` last. Iterate it once, and close it (`contextlib.aclosing`).

        A recording is read only as fast as items are taken. Everything the source holds is freed when the iterator
        ends, fails, is cancelled or is closed.
        """


class Perceiver(Protocol):
    """Turns one session's media into evidence. Calls block; only the worker's thread makes them, one at a time."""

    def see(self, frame: VideoFrame) -> FrameEvidence: ...

    def glimpse(self, frame: CueFrame) -> Glimpse: ...

    def hear(self, segment: SpeechSegment) -> SpeechEvidence: ...

    def hear_ahead(self, so_far: SpeechSoFar) -> None:
        """Do in advance what can be done of `hear`. The result of `hear` stays the same and comes sooner."""

    def set_question(self, question: Question) -> None:
        """Use another question for what is seen and heard from now on."""

    def put_off(self) -> Callable[[], None] | None:
        """A piece of work that only a chain needs, for a job of its own, before which labels are given; None: none."""

    def close(self) -> None: ...


class EvidenceRing(Protocol):
    """Keeps one session's evidence prefilled in the Thinker's KV cache, so that a window need not prefill it again."""

    @property
    def question(self) -> Question:
        """The question that its prompt prefix ends with. Another question needs another ring."""

    def add_frame(self, frame: FrameEvidence) -> FrameEvidence:
        """Prefill a frame; returns it with `ring` and `number` set."""

    def again(self, frame: FrameEvidence) -> FrameEvidence:
        """The same for a frame that shows what an earlier one showed. Its keys and values are used again."""

    def add_speech(self, speech: SpeechEvidence) -> SpeechEvidence:
        """Prefill an utterance; returns it with `ring` and `number` set."""

    def forget(self, evidence: FrameEvidence | SpeechEvidence) -> None:
        """Free the slots of evidence that turned out to be none. It need not be in this ring."""

    def put_off(self) -> Callable[[], None] | None:
        """As in `Perceiver`."""

    def close(self) -> None:
        """Free the whole ring."""


class GathersAppends(Protocol):
    """Prefills evidence of several sessions in one pass. Only the model worker's thread may call it."""

    n_chunks: int
    "Frames and utterances that were gathered so far."
    n_passes: int
    "Forward passes that prefilled them."

    def gathered(self) -> AbstractContextManager[Mapping[tuple[int, int], Exception]]:
        """Prefill what is added to rings in this block at its end.

        After the block the mapping has what was raised, by `ring` and `number` of the evidence.
        """


Words = Callable[[], str]
"What is known by now of the words of a window's newest utterance."


def unsaid() -> str:
    """No words are known."""
    return ""


class Thinker(Protocol):
    """Labels windows and writes their chains, for all sessions. Several `reason` iterators may be open at once."""

    def fast_label(self, window: Window, question: Question) -> Label: ...

    def reason(
        self, window: Window, question: Question, said: Words = unsaid, *, again_s: float | None = None
    ) -> Iterator[Step | None]:
        """Yields deltas, the chain's label, and `ReasonDone` last. Each step is short.

        A model that reads words asks for `said` before it judges. An argument that contradicts what the chain found is
        written again within `again_s` of wall time; None sets no limit.

        None means that nothing new can be shown yet. A caller that continues other chains at that point lets their
        tokens be decoded in one batch.
        """


class Summariser(Protocol):
    """Writes summaries with a model that can write other texts than chains."""

    def summarise(self, statements: Sequence[str], labels: Sequence[str]) -> Iterator[Summary | None]:
        """The steps of a summary: None, and `Summary` last. Each step is short."""


class SeesTogether(Protocol):
    """How frames of several sessions of one model are seen in one call (`engine/seeing.py`)."""

    @property
    def n_frames(self) -> int:
        """The most that share a call."""

    @property
    def n_threads(self) -> int:
        """Threads that measure frames."""

    def measure(self, perceiver: Perceiver, frame: VideoFrame) -> object:
        """What needs no model of `Perceiver.see`. Calls of one perceiver, this and `glimpse`, do not overlap."""

    def see(self, looks: Sequence[tuple[Perceiver, VideoFrame, object]]) -> list[FrameEvidence | Exception]:
        """The rest of `Perceiver.see` for each frame that was measured, or what was raised for it."""


class HearsTogether(Protocol):
    """How sounds of several sessions of one model are heard in one call (`engine/hearing.py`)."""

    @property
    def n_sounds(self) -> int:
        """The most that share a call."""

    @property
    def n_threads(self) -> int:
        """Threads that measure sounds."""

    def measure(self, perceiver: Perceiver, so_far: SpeechSoFar) -> object | None:
        """What needs no model of `Perceiver.hear_ahead`; None where it was done already. Calls may overlap."""

    def hear_ahead(self, sounds: Sequence[tuple[Perceiver, SpeechSoFar, object]]) -> list[bool]:
        """The rest of `Perceiver.hear_ahead` for each sound that was measured; whether it was done.

        What is raised for a sound is not raised here: nothing of it is then done ahead.
        """


class Model(Protocol):
    """A loaded checkpoint."""

    @property
    def name(self) -> str: ...

    @property
    def runtime_reason(self) -> str:
        """The runtime of the towers and why it was chosen, for people."""

    @property
    def labels(self) -> tuple[str, ...]: ...

    @property
    def open_labels(self) -> bool:
        """Whether it can score labels that it was not trained with."""

    @property
    def stock(self) -> bool:
        """Whether it is as it was published, without an adapter."""

    @property
    def label_model(self) -> str | None:
        """Name of the model that gives the labels, where this one only writes the chains; else None."""

    @property
    def answer_model(self) -> str | None:
        """Name of the model that answers a person's own questions, where this one leaves them to it; else None."""

    @property
    def words(self) -> bool:
        """Whether its judgement reads what was said."""

    @property
    def summariser(self) -> Summariser | None:
        """Who writes summaries; None where the model knows its chains alone."""

    @property
    def together(self) -> SeesTogether | None:
        """How frames of several sessions are seen in one call; None where one after the other is as fast."""

    @property
    def hears_together(self) -> HearsTogether | None:
        """The same for sounds."""

    @property
    def appends(self) -> GathersAppends | None:
        """What prefills evidence for its labels and chains together; None where nothing is gathered."""

    @property
    def thinker(self) -> Thinker: ...

    def perceiver(self, seed: int) -> Perceiver: ...


class EngineClient(Protocol):
    """One session's part of an engine. Raises ModelStopped where the model went away in the middle of a call."""

    async def see(self, frame: VideoFrame) -> FrameEvidence: ...

    async def glimpse(self, frame: CueFrame) -> Glimpse: ...

    async def hear(self, segment: SpeechSegment) -> SpeechEvidence: ...

    async def hear_ahead(self, so_far: SpeechSoFar) -> None: ...

    async def set_question(self, question: Question) -> None:
        """Another question, for what is seen and heard from now on; it stands across a restart of the model."""

    async def fast_label(self, window: Window, question: Question) -> Label: ...

    def reason(
        self, window: Window, question: Question, *, again_s: float | None = None
    ) -> AsyncGenerator[Step | None, None]:
        """The steps of a chain, `ReasonDone` last. It is decoded as it is read; closed early, it is given up.

        `again_s` is as in `Thinker.reason`.

        A step is None where other work came in between and nothing new is there: a reader may wait, or give it up.
        """

    def tell_words(self, window: Window, said: str) -> None:
        """Tell a model that reads words what was said in this window, before its chain comes to judge it.

        Nothing is awaited. What comes too late is not read.
        """

    async def summarise(self, statements: Sequence[str], labels: Sequence[str]) -> str | None:
        """A text that the model writes from these statements and that holds to them; None where none does.

        Only a model that summarises may be asked (`ModelInfo.summarises`). Cancelled, it is given up.
        """

    def close(self) -> None:
        """Forget the session. Nothing is awaited, so that a session can end whatever the model is doing."""


class Transcriber(Protocol):
    """Writes down what is said, for all sessions that agreed to it."""

    async def transcribe(self, segment: SpeechSegment) -> HeardWords | None:
        """The words of an utterance; None where they cannot be trusted. Raises WordsStopped where it broke off."""


class Engine(Protocol):
    """Where the model runs: in a thread of this process, in a process of its own, or on other machines."""

    @property
    def model(self) -> ModelInfo:
        """The one that answers sessions without an adapter of their own."""

    async def use(self, adapter: Path) -> ModelInfo:
        """Load the model with the adapter of that folder while others go on. Raises BadModel if it does not fit."""

    async def open(self, seed: int, question: Question, adapter: Path | None = None) -> EngineClient:
        """A session's perception, with its first question; with an adapter, of the model that has it."""

    async def ready(self) -> None:
        """Returns once the model has answered; whoever asks sets the limit."""

    def stats(self) -> Mapping[str, float]:
        """What the model has cost so far: `chain_cpu_s`, `restarts`; of a process of its own `cpu_s`, `rss_mb` and,
        on a GPU, `device_used_mb` and `device_total_mb`; of a cluster `behind_s`, for how long work lately waits there.
        """
