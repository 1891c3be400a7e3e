"""The model in a thread of this process: for recordings, benches and scripted models."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from realtime.engine.client import HostClient
from realtime.engine.host import Host
from realtime.engine.models import LoadAdapter, Models
from realtime.engine.worker import ModelWorker, Rank
from realtime.records import Ask, ModelInfo
from realtime.roles import Model


class LocalEngine:
    """An `Engine` on a `ModelWorker`, which whoever made it enters and leaves."""

    generation = 1
    bundle_s = 0.0

    def __init__(self, model: Model, worker: ModelWorker, load_adapter: LoadAdapter | None = None) -> None:
        self._models = Models(model, load_adapter)
        self.model = self._models.info()
        self._worker = worker
        self._host = Host(self._models, waiting=lambda: worker.n_waiting, urgent=lambda: worker.urgent)
        self._numbers = itertools.count(1)

    async def use(self, adapter: Path) -> ModelInfo:
        return await asyncio.to_thread(self._models.info, adapter)

    async def open(self, seed: int, ask: Ask, adapter: Path | None = None) -> HostClient:
        client = HostClient(self, next(self._numbers))
        try:
            await self.call("open", client.session, seed, ask, adapter, stage="open")
        except BaseException:
            # It may be open in a moment, with nobody to close it.
            client.close()
            raise
        return client

    async def ready(self) -> None:
        await self._worker.run("ready", lambda: None)

    def stats(self) -> Mapping[str, float]:
        return {**self._host.stats(), "restarts": 0.0}

    async def alive(self) -> None:
        """Always."""

    async def call(self, method: str, *args: Any, stage: str, rank: Rank = Rank.EVIDENCE) -> Any:
        self._host.announce(method, args)
        return await self._worker.run(stage, getattr(self._host, method), *args, rank=rank)

    def post(self, method: str, *args: Any, stage: str) -> None:
        self._worker.submit(stage, getattr(self._host, method), *args)

    def asked(self, session: int, ask: Ask) -> None:
        """The host of this process lives as long as its sessions."""

    def forget(self, session: int) -> None:
        """Nothing is kept beside the host."""
