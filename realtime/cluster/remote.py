"""A session's proxies for what runs on the cluster: towers and a ring, which perception uses, and a Thinker.

Perception stays on the session's node with faces, measured cues, baselines and the small experts. Only tower inputs and
evidence travel. The proxies block, like what they stand for, and are called from the engine's thread pool.
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

from realtime.cluster.encoder import packed_frames
from realtime.cluster.messages import (
    EncodeRequest,
    Evidence,
    MissingEvidence,
    SessionKey,
    WindowRequest,
    in_pieces,
    slim,
)
from realtime.cluster.retry import ATTEMPTS, LOST, RecentWaits, call_replica
from realtime.errors import ReplicaLost
from realtime.evidence.beside import Submit, run_when_asked
from realtime.evidence.perceive import Perception
from realtime.evidence.settings import FaceEngineName
from realtime.records import (
    CueFrame,
    FrameEvidence,
    Glimpse,
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
"Timeout of a label, after which another replica is called and prefills the window. A busy replica takes less."
ON_A_REPLICA = 1
"The `ring` of evidence that is in a replica's ring."


class SessionRoute:
    """Leads one session's calls to its replicas."""

    def __init__(self, encoder: Any, thinker: Any, *, session: str, adapter: str, waits: RecentWaits) -> None:
        self.encoder = encoder
        self.session = session
        self.adapter = adapter
        self.waits = waits
        self._thinker = thinker
        self._n_moves = 0
        self._held: list[Evidence] = []
        "Evidence that waits for the next call."
        self._holding = threading.Lock()

    @property
    def key(self) -> str:
        """Serve's consistent hashing chooses the Thinker replica by this string."""
        return f"{self.session}.{self._n_moves}"

    def thinker(self, *, stream: bool = False) -> Any:
        return self._thinker.options(session_id=self.key, stream=stream)

    def move(self) -> None:
        """Change to another Thinker replica. For one that does not answer and that Serve does not report as dead."""
        self._n_moves += 1

    def session_key(self, question: Question) -> SessionKey:
        return SessionKey(self.session, self.adapter, question)

    def hold(self, part: Evidence) -> None:
        """Send it with the next call to the Thinker: an utterance travels with the request for its label."""
        with self._holding:
            self._held.append(part)

    def take_held(self) -> tuple[Evidence, ...]:
        """Evidence that waited, for the caller to send."""
        with self._holding:
            held, self._held = tuple(self._held), []
        return held

    def send(self, question: Question, *parts: Evidence) -> None:
        """Send evidence without waiting. If a replica loses it, the next window that needs it sends it again."""
        if parts := (*self.take_held(), *parts):
            self.thinker().append.remote(self.session_key(question), parts)


class RemoteTowers:
    """`towers.choice.Towers` in encoder replicas."""

    def __init__(self, route: SessionRoute, question: Question) -> None:
        self._route = route
        self.question = question

    def vision(self, inputs: Mapping[str, Tensor]) -> Sequence[Tensor]:
        return self._call("vision", packed_frames(inputs))

    def audio(self, inputs: Mapping[str, Tensor]) -> Sequence[Tensor]:
        return self._call("audio", {name: inputs[name].cpu().numpy() for name in ("mel", "n_frames")})

    def _call(self, method: str, arrays: dict[str, npt.NDArray[Any]]) -> list[Tensor]:
        pieces = in_pieces(EncodeRequest(self._route.adapter, self.question, arrays))
        remote = getattr(self._route.encoder, method)
        encoded = call_replica(lambda attempt: remote.remote(*pieces), timeout_s=ENCODE_S, waits=self._route.waits)
        self._route.waits.add(encoded.waited_s)
        return [torch.from_numpy(np.array(output)) for output in encoded.outputs]


class RemoteRing:
    """An evidence ring (`roles.EvidenceRing`) on a Thinker replica. Frames are sent as they come, without waiting."""

    def __init__(self, route: SessionRoute, question: Question, numbers: Callable[[], int]) -> None:
        self.question = question
        self._route = route
        self._numbers = numbers

    def close(self) -> None:
        """Send what waits. The replica opens another ring when evidence for another question comes."""
        self._route.send(self.question)

    def add_frame(self, frame: FrameEvidence) -> FrameEvidence:
        frame = replace(frame, ring=ON_A_REPLICA, number=self._numbers())
        self._route.send(self.question, slim(frame))
        return frame

    def add_speech(self, speech: SpeechEvidence) -> SpeechEvidence:
        speech = replace(speech, ring=ON_A_REPLICA, number=self._numbers())
        self._route.hold(slim(speech))
        return speech

    def again(self, frame: FrameEvidence) -> FrameEvidence:
        """Add a frame that shows the same as an earlier one, as evidence with a number of its own."""
        return self.add_frame(frame)

    def put_off(self) -> None:
        """Return None: a replica prefills in its own time."""

    def forget(self, evidence: Evidence) -> None:
        self._route.thinker().forget.remote(self._route.session_key(self.question), evidence.number)


class RemotePerceiver:
    """The session's perception. Seeing and hearing may overlap; two calls of one kind never do."""

    def __init__(
        self,
        route: SessionRoute,
        instruments: Any,
        question: Question,
        *,
        seed: int,
        submit: Submit = run_when_asked,
        face_engine: FaceEngineName = "auto",
    ) -> None:
        self.route = route
        self._seeing, self._hearing = threading.Lock(), threading.Lock()
        self._towers = RemoteTowers(route, question)
        counter = itertools.count(1)
        self._perception = Perception(
            instruments,
            self._towers,
            query=self._set_question,
            question=question,
            seed=seed,
            open_ring=lambda question: RemoteRing(route, question, lambda: next(counter)),
            submit=submit,
            judge_beside=submit,
            face_engine=face_engine,
        )

    def _set_question(self, question: Question) -> Tensor:
        """Return an empty embedding: the replicas embed the question themselves."""
        self._towers.question = question
        return torch.zeros(0, 0)

    def see(self, frame: VideoFrame) -> FrameEvidence:
        with self._seeing:
            return self._perception.see(frame)

    def glimpse(self, frame: CueFrame) -> Glimpse:
        with self._seeing:
            return self._perception.glimpse(frame)

    def hear(self, segment: SpeechSegment) -> SpeechEvidence:
        with self._hearing:
            return self._perception.hear(segment)

    def hear_ahead(self, so_far: SpeechSoFar) -> None:
        # Hearing ahead is of no use once the segment has ended, so it never makes `hear` wait.
        if self._hearing.acquire(blocking=False):
            try:
                self._perception.hear_ahead(so_far)
                # Evidence that the replica prefills now need not be prefilled when the label is due.
                self.route.send(self._towers.question)
            finally:
                self._hearing.release()

    def set_question(self, question: Question) -> None:
        with self._seeing, self._hearing:
            self._perception.set_question(question)

    def close(self) -> None:
        with self._seeing, self._hearing:
            self._perception.close()
        self.route.thinker().close.remote(self.route.session)


class RemoteThinker:
    """One session's Thinker, on the replica that its route leads to."""

    def __init__(self, route: SessionRoute) -> None:
        self._route = route

    def fast_label(self, window: Window, question: Question) -> Label:
        request, parts = WindowRequest.of(window, self._route.session_key(question)), self._route.take_held()

        def send(attempt: int) -> Any:
            if attempt > 0:
                self._route.move()
            return self._route.thinker().label.remote(request, parts)

        for _ in range(ATTEMPTS):
            answer = call_replica(send, timeout_s=LABEL_S, waits=self._route.waits, attempts=2)
            if not isinstance(answer, MissingEvidence):
                self._route.waits.add(answer.waited_s)
                label: Label = answer.label
                return label
            self.resend(window, question, answer)
        raise ReplicaLost("The replica does not keep evidence that it is sent.", "python -m realtime.cluster status")

    def resend(self, window: Window, question: Question, missing: MissingEvidence) -> None:
        """Send the missing evidence of a window again, and wait until the replica has prefilled it."""
        evidence: tuple[Evidence, ...] = (*window.frames, *window.speech)
        parts = tuple(slim(part) for part in evidence if part.number in missing.numbers)
        key = self._route.session_key(question)
        call_replica(
            lambda attempt: self._route.thinker().append.remote(key, parts),
            timeout_s=LABEL_S,
            waits=self._route.waits,
            attempts=2,
        )

    def reason(self, window: Window, question: Question, again_s: float | None = None) -> RemoteChain:
        return RemoteChain(self._route, self, window, question, again_s)


class RemoteChain(Iterator[Step]):
    """A chain as it is decoded. When its replica dies, another decodes it again, and no text is yielded twice.

    Decoding is greedy, so the second chain has the same text. If it differs from what was yielded (another kind of GPU
    rounds differently), the chain ends with an error rather than with a contradiction.
    """

    def __init__(
        self, route: SessionRoute, thinker: RemoteThinker, window: Window, question: Question, again_s: float | None
    ) -> None:
        self._route = route
        self._thinker = thinker
        self._window = window
        self._question = question
        self._again_s = again_s
        self._sent: dict[str, str] = {}
        "Section → the text that was yielded."
        self._label_sent = False
        self._closed = False
        self._stream: Any = None
        self._steps = self._run()

    def __next__(self) -> Step:
        return next(self._steps)

    def close(self) -> None:
        """End the chain, from any thread, also while another waits for a step."""
        self._closed = True
        if self._stream is not None:
            self._stream.cancel()

    def _run(self) -> Generator[Step, None, None]:
        for attempt in range(ATTEMPTS):
            if self._closed:
                return
            sent = SentText(dict(self._sent))
            try:
                for step in self._decoded():
                    if isinstance(step, ReasonDelta):
                        delta = sent.cut_off(step)
                        if delta is None:
                            continue
                        self._sent[delta.section] = self._sent.get(delta.section, "") + delta.text
                        yield delta
                    elif isinstance(step, Label):
                        if not self._label_sent:
                            self._label_sent = True
                            yield step
                    else:
                        yield step
                        return
            except LOST:
                self._route.waits.n_retries += 1
                if self._closed or attempt == ATTEMPTS - 1:
                    break
        if not self._closed:
            raise ReplicaLost("The chain's replica was lost more than once.", "It goes on with the next window.")

    def _decoded(self) -> Generator[Step, None, None]:
        """The steps of one replica, which is first sent evidence that it misses."""
        request = WindowRequest.of(self._window, self._route.session_key(self._question), self._again_s)
        for _ in range(ATTEMPTS):
            missing = None
            self._stream = self._route.thinker(stream=True).reason.remote(request)
            for message in self._stream:
                if isinstance(message, MissingEvidence):
                    missing = message
                    break
                yield from message.steps
                if isinstance(message.steps[-1], ReasonDone):
                    return
            if missing is None:
                return
            self._thinker.resend(self._window, self._question, missing)


class SentText:
    """Text of a chain that was yielded, by section. It is cut off when the chain is decoded again."""

    def __init__(self, sent: dict[str, str]) -> None:
        self._sent = sent

    def cut_off(self, delta: ReasonDelta) -> ReasonDelta | None:
        """The part of a delta that is new, or None. Raises ReplicaLost where the text is another."""
        before = self._sent.get(delta.section, "")
        n = min(len(before), len(delta.text))
        if before[:n] != delta.text[:n]:
            raise ReplicaLost(
                "The chain was lost with its replica, and another decoded it differently.",
                "It goes on with the next window.",
            )
        self._sent[delta.section] = before[n:]
        return ReasonDelta(delta.section, delta.text[n:]) if n < len(delta.text) else None
