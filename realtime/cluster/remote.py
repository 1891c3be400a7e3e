"""A session's far ends: towers and a ring that look like local ones to its perception, and a Thinker.

Perception, with faces, measured cues, baselines and the small experts, stays on the session's node; only tower inputs
and evidence travel. Blocking, like what they stand for; called from the pool's threads.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from realtime.cluster.calls import ATTEMPTS, LOST, Waits, ask
from realtime.cluster.encoder import packed_frames
from realtime.cluster.wire import EncodeRequest, Evidence, Missing, Who, WindowRequest, in_pieces, slim
from realtime.errors import ReplicaLost
from realtime.evidence.listen import Beside, later
from realtime.evidence.perceive import Perception
from realtime.records import (
    FrameEvidence,
    Label,
    Question,
    ReasonDelta,
    ReasonDone,
    SpeechEvidence,
    SpeechSegment,
    SpeechSoFar,
    VideoFrame,
    Window,
)
from realtime.roles import Step

ENCODE_S = 2.0
LABEL_S = 2.5
"Then another replica is asked, which costs a prefill: longer than a busy one takes, shorter than anyone waits."
ON_A_REPLICA = 1
"The `ring` of evidence that lies in a ring elsewhere."


class Link:
    """One session's way into the cluster."""

    def __init__(self, encoder: Any, thinker: Any, *, session: str, adapter: str, waits: Waits) -> None:
        self.encoder = encoder
        self.session = session
        self.adapter = adapter
        self.waits = waits
        self._thinker = thinker
        self._detours = 0
        self._held: list[Evidence] = []
        self._holding = threading.Lock()

    @property
    def key(self) -> str:
        """What its place on the hash ring is computed from."""
        return f"{self.session}.{self._detours}"

    def thinker(self, *, stream: bool = False) -> Any:
        return self._thinker.options(session_id=self.key, stream=stream)

    def detour(self) -> None:
        """Its replica does not answer and nobody says that it died: from now on another place on the ring."""
        self._detours += 1

    def who(self, ask_: Question) -> Who:
        return Who(self.session, self.adapter, ask_)

    def hold(self, part: Evidence) -> None:
        """It goes with the next call to the Thinker: what was heard, with the label that it is heard for."""
        with self._holding:
            self._held.append(part)

    def held(self) -> tuple[Evidence, ...]:
        """What was held, which is now the caller's to send."""
        with self._holding:
            held, self._held = tuple(self._held), []
        return held

    def send(self, question: Question, *parts: Evidence) -> None:
        """Nobody waits. Lost with its replica, it is missed by the next question, which brings it again."""
        if parts := (*self.held(), *parts):
            self.thinker().append.remote(self.who(question), parts)


class RemoteTowers:
    """`engine.Towers` in encoder replicas."""

    def __init__(self, link: Link, question: Question) -> None:
        self._link = link
        self.question = question

    def vision(self, inputs: Mapping[str, Tensor]) -> Sequence[Tensor]:
        return self._call("vision", packed_frames(inputs))

    def audio(self, inputs: Mapping[str, Tensor]) -> Tensor:
        return self._call("audio", {name: inputs[name].cpu().numpy() for name in ("mel", "n_frames")})[0]

    def _call(self, method: str, arrays: dict[str, npt.NDArray[Any]]) -> list[Tensor]:
        pieces = in_pieces(EncodeRequest(self._link.adapter, self.question, arrays))
        remote = getattr(self._link.encoder, method)
        encoded = ask(lambda attempt: remote.remote(*pieces), timeout_s=ENCODE_S, waits=self._link.waits)
        self._link.waits.add(encoded.waited_s)
        return [torch.from_numpy(np.array(output)) for output in encoded.outputs]


class RemoteRing:
    """An evidence ring (`roles.EvidenceRing`) on a Thinker replica. Frames are sent at once and nobody waits for it."""

    def __init__(self, link: Link, question: Question, numbers: Callable[[], int]) -> None:
        self.question = question
        self._link = link
        self._numbers = numbers

    def close(self) -> None:
        """The replica turns to another ring when evidence under another question comes."""
        self._link.send(self.question)

    def add_frame(self, frame: FrameEvidence) -> FrameEvidence:
        frame = replace(frame, ring=ON_A_REPLICA, number=self._numbers())
        self._link.send(self.question, slim(frame))
        return frame

    def add_speech(self, speech: SpeechEvidence) -> SpeechEvidence:
        speech = replace(speech, ring=ON_A_REPLICA, number=self._numbers())
        self._link.hold(slim(speech))
        return speech

    def again(self, frame: FrameEvidence) -> FrameEvidence:
        """A frame that shows what an earlier one did is evidence of its own: replicas know evidence by its number."""
        return self.add_frame(frame)

    def forget(self, evidence: Evidence) -> None:
        self._link.thinker().forget.remote(self._link.who(self.question), evidence.number)


class RemotePerceiver:
    """What the session sees and hears with. Seeing and hearing may overlap; each of them never does with itself."""

    def __init__(self, link: Link, instruments: Any, question: Question, *, seed: int, beside: Beside = later) -> None:
        self.link = link
        self._eye, self._ear = threading.Lock(), threading.Lock()
        self._towers = RemoteTowers(link, question)
        counter = itertools.count(1)
        self._perception = Perception(
            instruments,
            self._towers,
            query=self._asked,
            question=question,
            seed=seed,
            open_ring=lambda ask_: RemoteRing(link, ask_, lambda: next(counter)),
            beside=beside,
        )

    def _asked(self, question: Question) -> Tensor:
        """The replicas embed the question themselves."""
        self._towers.question = question
        return torch.zeros(0, 0)

    def see(self, frame: VideoFrame) -> FrameEvidence:
        with self._eye:
            return self._perception.see(frame)

    def hear(self, segment: SpeechSegment) -> SpeechEvidence:
        with self._ear:
            return self._perception.hear(segment)

    def hear_ahead(self, so_far: SpeechSoFar) -> None:
        # What was done ahead is only ever of use before the segment ends, so it never makes that wait.
        if self._ear.acquire(blocking=False):
            try:
                self._perception.hear_ahead(so_far)
                # Its label is some time ahead, and is the sooner for what has been read by then.
                self.link.send(self._towers.question)
            finally:
                self._ear.release()

    def set_question(self, question: Question) -> None:
        with self._eye, self._ear:
            self._perception.set_question(question)

    def close(self) -> None:
        with self._eye, self._ear:
            self._perception.close()
        self.link.thinker().close.remote(self.link.session)


class RemoteThinker:
    """One session's Thinker: whichever replica its id leads to."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def fast_label(self, window: Window, question: Question) -> Label:
        asked, parts = WindowRequest.of(window, self._link.who(question)), self._link.held()

        def send(attempt: int) -> Any:
            if attempt > 0:
                self._link.detour()
            return self._link.thinker().label.remote(asked, parts)

        for _ in range(ATTEMPTS):
            answer = ask(send, timeout_s=LABEL_S, waits=self._link.waits, attempts=2)
            if not isinstance(answer, Missing):
                self._link.waits.add(answer.waited_s)
                label: Label = answer.label
                return label
            self.bring(window, question, answer)
        raise ReplicaLost("The replica does not keep what it is sent.", "python -m realtime.cluster status")

    def bring(self, window: Window, question: Question, missing: Missing) -> None:
        """Send the evidence of a window again, and wait until it was read."""
        held: tuple[Evidence, ...] = (*window.frames, *window.speech)
        parts = tuple(slim(part) for part in held if part.number in missing.numbers)
        who = self._link.who(question)
        ask(
            lambda attempt: self._link.thinker().append.remote(who, parts),
            timeout_s=LABEL_S,
            waits=self._link.waits,
            attempts=2,
        )

    def reason(self, window: Window, question: Question) -> Chain:
        return Chain(self._link, self, window, question)


class Chain(Iterator[Step]):
    """A chain as it is written. When its replica dies, another writes it again, and what was said is not said twice.

    Decoding is greedy, so the second chain is the first one; should it part ways with what was told already (another
    kind of GPU rounds differently), the chain ends with an error rather than with a contradiction.
    """

    def __init__(self, link: Link, thinker: RemoteThinker, window: Window, question: Question) -> None:
        self._link = link
        self._thinker = thinker
        self._window = window
        self._question = question
        self._said: dict[str, str] = {}
        self._told_label = False
        self._closed = False
        self._stream: Any = None
        self._steps = self._run()

    def __next__(self) -> Step:
        return next(self._steps)

    def close(self) -> None:
        """From any thread, also while a step is awaited."""
        self._closed = True
        if self._stream is not None:
            self._stream.cancel()

    def _run(self) -> Generator[Step, None, None]:
        for attempt in range(ATTEMPTS):
            if self._closed:
                return
            unsaid = Unsaid(dict(self._said))
            try:
                for step in self._written():
                    if isinstance(step, ReasonDelta):
                        delta = unsaid.rest(step)
                        if delta is None:
                            continue
                        self._said[delta.section] = self._said.get(delta.section, "") + delta.text
                        yield delta
                    elif isinstance(step, Label):
                        if not self._told_label:
                            self._told_label = True
                            yield step
                    else:
                        yield step
                        return
            except LOST:
                self._link.waits.n_retries += 1
                if self._closed or attempt == ATTEMPTS - 1:
                    break
        if not self._closed:
            raise ReplicaLost("The chain's replica was lost more than once.", "It goes on with the next window.")

    def _written(self) -> Generator[Step, None, None]:
        """The steps of one replica, evidence brought to it first where it has none."""
        asked = WindowRequest.of(self._window, self._link.who(self._question))
        for _ in range(ATTEMPTS):
            missing = None
            self._stream = self._link.thinker(stream=True).reason.remote(asked)
            for told in self._stream:
                if isinstance(told, Missing):
                    missing = told
                    break
                yield from told.steps
                if isinstance(told.steps[-1], ReasonDone):
                    return
            if missing is None:
                return
            self._thinker.bring(self._window, self._question, missing)


class Unsaid:
    """Cuts off what was said already from a chain that is written again."""

    def __init__(self, said: dict[str, str]) -> None:
        self._said = said

    def rest(self, delta: ReasonDelta) -> ReasonDelta | None:
        """None when all of it was said. Raises ReplicaLost when it says something else."""
        before = self._said.get(delta.section, "")
        n = min(len(before), len(delta.text))
        if before[:n] != delta.text[:n]:
            raise ReplicaLost(
                "The chain was lost with its replica, and another wrote it differently.",
                "It goes on with the next window.",
            )
        self._said[delta.section] = before[n:]
        return ReasonDelta(delta.section, delta.text[n:]) if n < len(delta.text) else None
