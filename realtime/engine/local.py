"""The model in a thread of this process: for recordings, benches and scripted models."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from realtime.engine.client import HostClient
from realtime.engine.host import Host
from realtime.engine.messages import OpenSession, Ping, Request, UseAdapter
from realtime.engine.models import LoadAdapter, Models
from realtime.engine.worker import ModelWorker
from realtime.records import ModelInfo, Question
from realtime.roles import Model

R = TypeVar("R")


class LocalEngine:
    """An `Engine` on a `ModelWorker`. The caller enters and leaves the worker."""

    generation = 1
    bundle_s = 0.0

    def __init__(self, model: Model, worker: ModelWorker, load_adapter: LoadAdapter | None = None) -> None:
        models = Models(model, load_adapter)
        self.model = models.info()
        self._worker = worker
        self._host = Host(models, worker.scheduler)
        self._numbers = itertools.count(1)

    async def use(self, adapter: Path) -> ModelInfo:
        return await asyncio.to_thread(self._host.handle, UseAdapter(adapter))

    async def open(self, seed: int, question: Question, adapter: Path | None = None) -> HostClient:
        client = HostClient(self, next(self._numbers))
        try:
            await self.call(OpenSession(client.session, seed, question, adapter))
        except BaseException:
            # The session may be opened after the call was cancelled, when nobody is left to close it.
            client.close()
            raise
        return client

    async def ready(self) -> None:
        await self.call(Ping())

    def stats(self) -> Mapping[str, float]:
        return {**self._host.stats(), "restarts": 0.0}

    async def alive(self) -> None:
        """Return at once: the host lives as long as this process."""

    async def call(self, request: Request[R]) -> R:
        after = self._host.announce(request)
        return await self._worker.run(request.stage, self._host.handle, request, rank=request.rank, after=after)

    def post(self, request: Request[Any]) -> None:
        self._worker.submit(request.stage, self._host.handle, request)

    def set_question(self, session: int, question: Question) -> None:
        """Do nothing: the host is never replaced."""

    def forget(self, session: int) -> None:
        """Do nothing: only the host keeps sessions."""
