"""Annotates clip by clip: perceive, three stages per annotator, the gate, the record.

Many clips wait for endpoints at the same time; one thread measures.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol

import av

from realtime.errors import RealtimeError
from realtime.outputs import DiskFull
from realtime.records import LABELS
from realtime.words.expert import WordsExpert
from train.chat import EndpointDown
from train.coet import gate, record
from train.coet.annotators import Annotator
from train.coet.observe import SeenClip, observe
from train.readers.clip import Clip
from train.readers.perceived import Perceived

Perceive = Callable[[Clip], Perceived]


class RecordStore(Protocol):
    """Where a run keeps its results: `Store` on disk, or that of an actor (`on_ray.py`)."""

    done: dict[str, dict[str, Any]]
    "Finished records by key."
    stages: dict[tuple[str, str, str], Any]
    "Results of paid stages by key, annotator and stage."

    def stage(self, key: str, annotator: str, stage: str, value: Any) -> None: ...

    def finish(self, record: dict[str, Any]) -> None: ...


@dataclass
class Counts:
    """Counts of this run for the summary."""

    status: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    objections: Counter[str] = field(default_factory=Counter)
    "How often the gate objected, by rule."
    asked_again: int = 0
    without: Counter[str] = field(default_factory=Counter)
    already_done: int = 0


class Run:
    """Annotates clips, `concurrency` at a time. An annotator may correct a chain `reask` times before it is dropped."""

    def __init__(
        self,
        *,
        annotators: Sequence[Annotator],
        perceive: Perceive,
        store: RecordStore,
        concurrency: int,
        reask: int,
        reader: WordsExpert | None = None,
    ) -> None:
        """With a `reader` chains read the clips' words, too."""
        self._annotators = annotators
        self._perceive = perceive
        self._store = store
        self._concurrency = concurrency
        self._reask = reask
        self._reader = reader
        self._measuring = ThreadPoolExecutor(max_workers=1, thread_name_prefix="measure")
        self.counts = Counts()

    async def all(self, clips: Iterable[Clip], progress: Callable[[], object]) -> None:
        """Annotate every clip that has no record yet. Raises DiskFull; records that were finished stay."""
        todo = []
        for clip in clips:
            if clip.key in self._store.done:
                self.counts.already_done += 1
                progress()
            else:
                todo.append(clip)
        waiting = iter(todo)
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(min(self._concurrency, len(todo))):
                    group.create_task(self._work(waiting, progress), name=f"annotate {number}")
        except* DiskFull as full:
            raise full.exceptions[0] from None
        finally:
            self._measuring.shutdown(wait=True, cancel_futures=True)
            for annotator in self._annotators:
                await annotator.close()

    async def _work(self, waiting: Iterable[Clip], progress: Callable[[], object]) -> None:
        for clip in waiting:
            finished = await self.one(clip)
            self._store.finish(finished)
            self.counts.status[finished["status"]] += 1
            progress()

    async def one(self, clip: Clip) -> dict[str, Any]:
        """The record of one clip: done, dropped or failed."""
        if clip.label and clip.label not in LABELS:
            return self._failed(clip, "label", f"The label '{clip.label}' is none of {', '.join(LABELS)}.")
        try:
            loop = asyncio.get_running_loop()
            perceived = await loop.run_in_executor(self._measuring, self._perceive, clip)
            seen = observe(clip, perceived, self._reader)
        except RealtimeError as error:
            return self._failed(clip, error.code, str(error))
        # What a damaged file raises in the decoder, the converter or the measurements.
        except (av.FFmpegError, OSError, ValueError, RuntimeError, MemoryError) as error:
            return self._failed(clip, "unreadable", f"{type(error).__name__}: {error}")
        self.counts.without["sound"] += not perceived.has_sound
        self.counts.without["picture"] += not perceived.has_picture
        self.counts.without["speech"] += not perceived.speech
        self.counts.without["face"] += not seen.whole.people
        told: dict[str, Any] = {}
        for annotator in self._annotators:
            told[annotator.name] = await self._annotate(annotator, seen)
        # The last annotator named is preferred; the others are used where it fails.
        good = [name for name, said in told.items() if "failed" not in said and not said["objections"]]
        if good:
            return record.judged(seen, "done", "", good[-1], told)
        if all("failed" in said for said in told.values()):
            reasons = "; ".join(f"{name}: {said['failed']}" for name, said in told.items())
            self.counts.failures["annotator"] += 1
            return record.failed(clip, reasons, told)
        against = [objection["text"] for said in told.values() for objection in said.get("objections", [])]
        return record.judged(seen, "dropped", " ".join(against), "", told)

    def _failed(self, clip: Clip, kind: str, reason: str) -> dict[str, Any]:
        self.counts.failures[kind] += 1
        return record.failed(clip, reason)

    async def _annotate(self, annotator: Annotator, seen: SeenClip) -> dict[str, Any]:
        """The three stages of one annotator. A stage that an earlier run finished is not requested again."""
        said: dict[str, Any] = {}
        try:
            for stage in ("describe", "question"):
                said[stage] = await self._stage(annotator, seen, stage, said, [])
            objections: list[gate.Objection] = []
            for attempt in itertools.count(1):
                texts = [objection.text for objection in objections]
                said["think"] = await self._stage(annotator, seen, "think", said, texts, attempt)
                objections = gate.objections(said["think"], seen)
                self.counts.objections.update(objection.rule for objection in objections)
                said |= {"attempts": attempt, "objections": [vars(objection) for objection in objections]}
                if not objections or attempt > self._reask:
                    return said
                self.counts.asked_again += 1
        except EndpointDown as error:
            said["failed"] = error.message
        return said

    async def _stage(
        self,
        annotator: Annotator,
        seen: SeenClip,
        stage: str,
        told: dict[str, Any],
        objections: list[str],
        attempt: int = 1,
    ) -> Any:
        key, name = seen.clip.key, f"{stage} {attempt}"
        remembered = self._store.stages.get((key, annotator.name, name))
        if remembered is not None:
            return remembered
        match stage:
            case "describe":
                value: Any = await annotator.describe(seen)
            case "question":
                value = await annotator.question(seen, told)
            case _:
                value = await annotator.think(seen, told, objections)
        if annotator.usage.requests:
            # Only paid results are journalled; measuring again is cheaper than a write.
            self._store.stage(key, annotator.name, name, value)
        return value
