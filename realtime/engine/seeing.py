"""Frames are measured in threads of their own, and only then come into the model's queue.

    announced ── measured, in the session's lane ──┐
    announced ── measured, in the session's lane ──┼─ the first of their jobs: one call of the towers ── each job
    announced ── measured, in the session's lane ──┘                                                     takes its own

Finding and measuring faces is half of the time that a frame takes on a CPU, and more on a GPU, and needs no model. So
meanwhile the model's thread labels and decodes. A session has one lane, so its frames are measured one at a time and in
their order. On a GPU, frames of several sessions that are measured share a call of the towers; what a job finds already
done was done by the job of another session. Only a model that says how (`roles.SeesTogether`) is seen with in this way.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any

from realtime.records import CueFrame, FrameEvidence, Glimpse, VideoFrame
from realtime.roles import Perceiver, SeesTogether


@dataclass(frozen=True, slots=True, eq=False)
class WaitingFrame:
    """A frame that is measured, or whose job is in the queue."""

    frame: VideoFrame
    perceiver: Perceiver
    together: SeesTogether
    measured: Future[object]


@dataclass(slots=True)
class SessionFrames:
    """What was announced of a session, and not taken yet. A session awaits each before it announces the next."""

    frame: WaitingFrame | None = None
    glimpse: tuple[CueFrame, Future[Glimpse]] | None = None
    seen: tuple[VideoFrame, FrameEvidence | Exception] | None = None
    under_way: set[Future[Any]] = field(default_factory=set)

    def add(self, measured: Future[Any]) -> None:
        """Note that something is being measured. What was and was not taken, since its job was cancelled, goes."""
        self.under_way = {measured, *(one for one in self.under_way if not one.done())}


class Seeing:
    """`announce…` may be called from any thread, the rest from the model's alone."""

    def __init__(self) -> None:
        self._lanes: list[ThreadPoolExecutor] = []
        self._sessions: dict[int, SessionFrames] = {}
        self._lock = threading.Lock()
        self._n_calls = self._n_frames = 0

    def stats(self) -> Mapping[str, float]:
        """Frames that could share calls of the towers, and these calls; empty where there was none."""
        return {"seen_frames": self._n_frames, "seen_calls": self._n_calls} if self._n_calls else {}

    def announce(self, session: int, perceiver: Perceiver, together: SeesTogether, frame: VideoFrame) -> Future[object]:
        """A frame that is to be seen: begin to measure it. Its job comes into the queue when the result is done."""
        with self._lock:
            mine = self._of(session)
            measured = self._lane(session, together).submit(together.measure, perceiver, frame)
            mine.add(measured)
            mine.frame, mine.seen = WaitingFrame(frame, perceiver, together, measured), None
        return measured

    def announce_glimpse(
        self, session: int, perceiver: Perceiver, together: SeesTogether, frame: CueFrame
    ) -> Future[Glimpse]:
        """The same for a frame between two sampled ones."""
        with self._lock:
            mine = self._of(session)
            found = self._lane(session, together).submit(perceiver.glimpse, frame)
            mine.add(found)
            mine.glimpse = frame, found
        return found

    def see(self, session: int, perceiver: Perceiver, frame: VideoFrame) -> FrameEvidence:
        """The evidence of a frame, and on the way that of others that wait. Raises what its perceiver raises."""
        mine = self._sessions.get(session)
        if mine is not None and mine.seen is not None and mine.seen[0] is frame:
            seen, mine.seen = mine.seen[1], None
        elif mine is not None and mine.frame is not None and mine.frame.frame is frame:
            seen = self._see_with(session, mine.frame)
        else:
            return perceiver.see(frame)
        if isinstance(seen, Exception):
            raise seen
        return seen

    def glimpse(self, session: int, perceiver: Perceiver, frame: CueFrame) -> Glimpse:
        """The faces of a frame between two sampled ones. Raises what its perceiver raises."""
        mine = self._sessions.get(session)
        if mine is None or mine.glimpse is None or mine.glimpse[0] is not frame:
            return perceiver.glimpse(frame)
        found, mine.glimpse = mine.glimpse[1], None
        return found.result()

    def settle(self, session: int) -> None:
        """Wait until nothing of a session is being measured."""
        with self._lock:
            mine = self._sessions.get(session)
            under_way: set[Future[Any]] = set(mine.under_way) if mine else set()
        wait(under_way)

    def forget(self, session: int) -> None:
        """Settle, and drop what nobody took."""
        self.settle(session)
        with self._lock:
            self._sessions.pop(session, None)

    def _of(self, session: int) -> SessionFrames:
        return self._sessions.setdefault(session, SessionFrames())

    def _lane(self, session: int, together: SeesTogether) -> ThreadPoolExecutor:
        while len(self._lanes) < together.n_threads:
            self._lanes.append(ThreadPoolExecutor(1, f"faces {len(self._lanes) + 1}"))
        return self._lanes[session % together.n_threads]

    def _see_with(self, session: int, first: WaitingFrame) -> FrameEvidence | Exception:
        """See a frame together with those that are measured by now."""
        group = {session: first}
        with self._lock:
            for number, other in self._sessions.items():
                if len(group) == first.together.n_frames:
                    break
                waiting = other.frame
                if waiting is not None and waiting.together is first.together and waiting.measured.done():
                    group.setdefault(number, waiting)
        measured = {number: _result(one.measured) for number, one in group.items()}
        looks = {
            number: (one.perceiver, one.frame, found)
            for (number, one), found in zip(group.items(), measured.values(), strict=True)
            if not isinstance(found, Exception)
        }
        results: dict[int, FrameEvidence | Exception] = {
            number: found for number, found in measured.items() if isinstance(found, Exception)
        }
        if looks:
            if first.together.n_frames > 1:
                self._n_calls += 1
                self._n_frames += len(looks)
            results |= dict(zip(looks, first.together.see(list(looks.values())), strict=True))
        with self._lock:
            for number, one in group.items():
                of_session = self._of(number)
                if of_session.frame is one:
                    of_session.frame = None
                    of_session.seen = None if number == session else (one.frame, results[number])
        return results[session]


def _result(measured: Future[object]) -> object:
    """What was measured, or the exception that stopped it."""
    error = measured.exception()
    if error is not None and not isinstance(error, Exception):
        raise error
    return error if error is not None else measured.result()
