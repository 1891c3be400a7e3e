"""Sounds of several sessions, heard together: measured in threads while they wait, then encoded in one call.

    announced ── mel and voice, in a thread ──┐
    announced ── mel and voice, in a thread ──┼─ the first of their jobs: one call of the audio tower ── each job
    announced ── mel and voice, in a thread ──┘                                                         finds its own

To measure a voice takes longer than a GPU needs for its tower, and needs no model. What the job of another session does
of a sound is what `Perceiver.hear_ahead` does: it changes no result, and the sound's own job finds it done. So nobody
waits for a batch, and what fails for one sound is raised by its own job, which tries again alone. Only a model that
says how (`roles.HearsTogether`) is heard with in this way.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from realtime.records import SpeechEvidence, SpeechSegment, SpeechSoFar
from realtime.roles import HearsTogether, Perceiver


@dataclass(slots=True, eq=False)
class WaitingSound:
    """A sound whose job is in the queue."""

    so_far: SpeechSoFar
    ended: bool
    "Whether it is the whole utterance."
    perceiver: Perceiver
    together: HearsTogether
    measured: Future[object | None]
    done: bool | None = None
    "Whether it was heard ahead in the job of another session; None where that was not tried."

    @property
    def found(self) -> object | None:
        """What was measured, if it was and if something is left to do."""
        there = self.measured.done() and not self.measured.cancelled() and self.measured.exception() is None
        return self.measured.result() if there else None


class Hearing:
    """`announce` may be called from any thread, the rest from the model's alone."""

    def __init__(self) -> None:
        self._threads: ThreadPoolExecutor | None = None
        self._sessions: dict[int, list[WaitingSound]] = {}
        "Of each session, oldest first: at most one that goes on or may, and one that has ended."
        self._lock = threading.Lock()
        self._n_calls = self._n_sounds = 0

    def stats(self) -> Mapping[str, float]:
        """Sounds that were heard ahead of their end or with others, and how often; empty where there was none."""
        return {"heard_sounds": self._n_sounds, "heard_calls": self._n_calls} if self._n_calls else {}

    def announce(
        self, session: int, perceiver: Perceiver, together: HearsTogether, so_far: SpeechSoFar, *, ended: bool
    ) -> None:
        """A sound whose job is in the queue: begin to measure it."""
        with self._lock:
            self._threads = self._threads or ThreadPoolExecutor(together.n_threads, "voice")
            measured = self._threads.submit(together.measure, perceiver, so_far)
            # What was not taken, since its job was cancelled, goes.
            others = [one for one in self._sessions.get(session, []) if one.ended != ended]
            self._sessions[session] = [*others, WaitingSound(so_far, ended, perceiver, together, measured)]

    def hear_ahead(self, session: int, perceiver: Perceiver, so_far: SpeechSoFar) -> None:
        """`Perceiver.hear_ahead`, and on the way that of others that wait. Raises what the perceiver raises."""
        mine = self._take(session, so_far.segment)
        if mine is None or not self._heard_with(session, mine):
            perceiver.hear_ahead(so_far)

    def hear(self, session: int, perceiver: Perceiver, segment: SpeechSegment) -> SpeechEvidence:
        """`Perceiver.hear`, likewise."""
        mine = self._take(session, segment)
        if mine is not None:
            self._heard_with(session, mine)
        return perceiver.hear(segment)

    def forget(self, session: int) -> None:
        """Drop what nobody took."""
        with self._lock:
            self._sessions.pop(session, None)

    def _take(self, session: int, segment: SpeechSegment) -> WaitingSound | None:
        with self._lock:
            waiting = self._sessions.get(session, [])
            mine = next((one for one in waiting if one.so_far.segment is segment), None)
            if mine is not None:
                waiting.remove(mine)
        return mine

    def _heard_with(self, session: int, mine: WaitingSound) -> bool:
        """Hear a sound ahead, together with others that are measured by now. Returns whether nothing is left to do."""
        if mine.done is not None:
            return mine.done
        # Where no thread has begun to measure it, it is not waited for.
        if mine.measured.cancel() or mine.measured.exception() is not None:
            return False
        if mine.found is None:
            return True
        group = {session: mine}
        with self._lock:
            for number, waiting in self._sessions.items():
                if len(group) == mine.together.n_sounds:
                    break
                # In the order of its session: a sound that is not measured holds up what comes after it.
                oldest = next((one for one in waiting if one.done is None), None)
                if oldest is not None and oldest.together is mine.together and oldest.found is not None:
                    group.setdefault(number, oldest)
        heard = mine.together.hear_ahead([(one.perceiver, one.so_far, one.found) for one in group.values()])
        for one, done in zip(group.values(), heard, strict=True):
            one.done = done
        self._n_calls += 1
        self._n_sounds += len(group)
        return heard[0]
