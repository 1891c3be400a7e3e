"""Sessions whose frames and sounds wait for a model that is busy, and towers that count their calls."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from realtime.engine.client import HostClient
from realtime.engine.local import LocalEngine
from realtime.engine.metrics import EngineMetrics
from realtime.engine.worker import ModelWorker
from realtime.evidence.perceive import Perception
from realtime.reason.session_ring import SessionRing
from realtime.records import Question
from realtime.towers.choice import Towers


class CountedTowers:
    """Towers that note the size of each call, of pictures or of chunks of sound, and may refuse batches."""

    def __init__(self, towers: Towers) -> None:
        self._towers = towers
        self.batches: list[int] = []
        self.chunks: list[int] = []
        self.full = False

    def vision(self, inputs: Mapping[str, Tensor]) -> Sequence[Tensor]:
        batch = inputs["patches"].shape[0]
        if self.full and batch > 1:
            raise torch.OutOfMemoryError("no room")
        self.batches.append(batch)
        return self._towers.vision(inputs)

    def audio(self, inputs: Mapping[str, Tensor]) -> Sequence[Tensor]:
        chunks = inputs["mel"].shape[0]
        if self.full and chunks > 1:
            raise torch.OutOfMemoryError("no room")
        self.chunks.append(chunks)
        return self._towers.audio(inputs)


@contextmanager
def held(worker: ModelWorker) -> Iterator[None]:
    """Keep the model's thread busy, so that what is asked for meanwhile waits in the queue."""
    begun, free = threading.Event(), threading.Event()

    def hold() -> None:
        begun.set()
        free.wait(30)

    worker.submit("hold", hold)
    begun.wait(30)
    try:
        yield
    finally:
        free.set()


async def opened(engine: LocalEngine, questions: Sequence[Question]) -> list[HostClient]:
    return [await engine.open(seed, question) for seed, question in enumerate(questions)]


def ring_of(engine: LocalEngine, client: HostClient) -> SessionRing:
    """The evidence ring of a session."""
    perceiver = engine._host._sessions[client.session].perceiver
    assert isinstance(perceiver, Perception)
    ring = perceiver._asked.ring
    assert isinstance(ring, SessionRing)
    return ring


def refuse(*_: object) -> None:
    """Keep no chunk."""
    raise RuntimeError("not kept")


def counted(engine: LocalEngine) -> tuple[float, float]:
    """Frames and utterances that were prefilled as they came, and the passes for them, as `/metrics` tells them."""
    told = {metric.name: metric.samples[0].value for metric in EngineMetrics(engine.stats).collect()}
    return told["emothinker_appends"], told["emothinker_append_passes"]
