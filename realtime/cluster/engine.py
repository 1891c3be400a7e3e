"""The `ray` engine: to a session the same as the local ones.

    realtime serve --cluster HOST:6379        sessions here, towers and Thinkers there

    session ── RayClient ── Perception (faces, cues, experts: here) ── RemoteTowers ──► Encoder replicas
                    └──── RemoteThinker ─────────────────────────────────────────────► its Thinker replica

Every call blocks a thread of a pool while it waits for a replica: perception is blocking code, and replicas have queues
and ranks of their own.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors.torch import load as load_tensors
from threadpoolctl import threadpool_limits
from torch import Tensor

from realtime.cluster import connect
from realtime.cluster.calls import LOST, Waits
from realtime.cluster.remote import Link, RemotePerceiver, RemoteThinker
from realtime.cluster.wire import Card
from realtime.errors import BadModel, ClusterMismatch
from realtime.evidence.instruments import shell
from realtime.model.checkpoint import NANO
from realtime.model.config import ModelConfig
from realtime.model.thinker import EmoThinker
from realtime.observe.metrics import Metrics
from realtime.records import (
    FrameEvidence,
    Label,
    ModelInfo,
    Question,
    ReasonDone,
    SpeechEvidence,
    SpeechSegment,
    SpeechSoFar,
    VideoFrame,
    Window,
)
from realtime.roles import Step
from realtime.settings import ModelSettings

T = TypeVar("T")

PROBE_S = 1.0
THREADS_PER_SESSION = 6
"A session's stages that may wait for a replica at once: seeing, hearing, hearing ahead, a label, two chains."
MAX_THREADS = 512

logger = logging.getLogger(__name__)


class RayEngine:
    """An `Engine`. `started` makes one; `close` lets its threads go."""

    def __init__(self, card: Card, handles: tuple[Any, Any], *, adapter: str, metrics: Metrics, sessions: int) -> None:
        """`sessions`: how many at once, at most."""
        # Sessions perceive in this process; numpy's own threads would spin between two frames (`engine/loading.py`).
        threadpool_limits(1, user_api="blas")
        self._card = card
        self.handles = handles
        "Of encoder and Thinker."
        self._adapter = adapter
        self._instruments: dict[str, EmoThinker] = {}
        self._waits = Waits()
        self._metrics = metrics
        self._pool = ThreadPoolExecutor(min(MAX_THREADS, THREADS_PER_SESSION * sessions + 2), "cluster")
        self._hearing = ThreadPoolExecutor(min(MAX_THREADS, sessions + 1), "hearing")
        self._ended = threading.Event()
        self.model = self._info(adapter, None)
        self._pool.submit(self._probe)

    def close(self) -> None:
        """Blocking, for as long as the longest call in the making."""
        self._ended.set()
        self._pool.shutdown(cancel_futures=True)
        self._hearing.shutdown()

    async def use(self, adapter: Path) -> ModelInfo:
        """Adapters are deployed, not loaded: the folder's name is what it was deployed by. Raises BadModel."""
        if adapter.name not in self._card.adapters:
            names = ", ".join(name for name in self._card.adapters if name) or "none"
            raise BadModel(
                f"The cluster has no adapter '{adapter.name}' (there is: {names}).",
                f"Deploy it: python -m realtime.cluster deploy --adapter {adapter.name}=FOLDER.",
            )
        return self._info(adapter.name, adapter)

    async def open(self, seed: int, ask: Question, adapter: Path | None = None) -> RayClient:
        name = self._adapter if adapter is None else adapter.name
        link = Link(*self.handles, session=secrets.token_hex(16), adapter=name, waits=self._waits)
        return RayClient(self, await self.run("open", self._perceiver, link, ask, seed), link)

    async def ready(self) -> None:
        for handle in self.handles:
            await handle.waited_s.remote()

    def stats(self) -> Mapping[str, float]:
        """`behind_s`: how long work has lately waited on the cluster; `restarts`: calls made again."""
        return {"chain_cpu_s": 0.0, "restarts": float(self._waits.n_retries), "behind_s": self._waits.typical_s()}

    async def run(self, stage: str, work: Callable[..., T], *args: Any) -> T:
        """The result of `work(*args)`, called in a thread of the pool."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._timed, stage, work, *args)

    def post(self, stage: str, work: Callable[[], None]) -> None:
        if not self._ended.is_set():
            self._pool.submit(self._timed, stage, work)

    def _perceiver(self, link: Link, ask: Question, seed: int) -> RemotePerceiver:
        if link.adapter not in self._instruments:
            self._instruments[link.adapter] = instruments(self._card, link.adapter)
        return RemotePerceiver(link, self._instruments[link.adapter], ask, seed=seed, beside=self._beside)

    def _beside(self, work: Callable[[], Tensor]) -> Callable[[], Tensor]:
        """A tower hears over there while the voice is measured here."""
        return self._hearing.submit(work).result

    def _info(self, adapter: str, folder: Path | None) -> ModelInfo:
        card = self._card
        name = card.model if not adapter else f"{card.model} + {adapter}"
        return ModelInfo(name, f"ray (on a cluster, its Thinkers in {card.engine_reason})", card.labels, folder)

    def _timed(self, stage: str, work: Callable[..., T], *args: Any) -> T:
        began_s = time.perf_counter()
        try:
            return work(*args)
        finally:
            self._metrics.stage.labels(stage).observe(time.perf_counter() - began_s)

    def _probe(self) -> None:
        """Asks a replica of each kind once a second, so that a node without sessions knows how busy they are."""
        answered_s = dict.fromkeys(range(len(self.handles)), time.monotonic())
        while not self._ended.wait(PROBE_S):
            for index, handle in enumerate(self.handles):
                try:
                    self._waits.add(handle.waited_s.remote().result(timeout_s=PROBE_S))
                    answered_s[index] = time.monotonic()
                except LOST:
                    # What does not answer is as far behind as its last answer is long ago.
                    self._waits.add(time.monotonic() - answered_s[index])
                except Exception as error:  # the probe outlives whatever the cluster goes through
                    logger.warning("the cluster could not be asked how far behind it is (%s)", type(error).__name__)


class RayClient:
    """One session's `EngineClient`: what it perceives with is here, what it thinks with is wherever its id leads to."""

    def __init__(self, engine: RayEngine, perceiver: RemotePerceiver, link: Link) -> None:
        self.link = link
        self._engine = engine
        self._perceiver = perceiver
        self._thinker = RemoteThinker(link)

    async def see(self, frame: VideoFrame) -> FrameEvidence:
        return await self._engine.run("see", self._perceiver.see, frame)

    async def hear(self, segment: SpeechSegment) -> SpeechEvidence:
        return await self._engine.run("hear", self._perceiver.hear, segment)

    async def hear_ahead(self, so_far: SpeechSoFar) -> None:
        await self._engine.run("hear_ahead", self._perceiver.hear_ahead, so_far)

    async def set_question(self, ask: Question) -> None:
        await self._engine.run("ask", self._perceiver.set_question, ask)

    async def fast_label(self, window: Window, ask: Question) -> Label:
        return await self._engine.run("fast", self._thinker.fast_label, window, ask)

    async def reason(self, window: Window, ask: Question) -> AsyncGenerator[Step, None]:
        chain = self._thinker.reason(window, ask)
        try:
            while True:
                step = await self._engine.run("reason", next, chain)
                yield step
                if isinstance(step, ReasonDone):
                    return
        finally:
            chain.close()

    def close(self) -> None:
        self._engine.post("close", self._perceiver.close)


def instruments(card: Card, adapter: str) -> EmoThinker:
    """Experts and projectors of the deployed model; its towers and language model are shapes without weights."""
    config = ModelConfig.parse(card.config, card.emotion_config[adapter])
    try:
        return shell(config, load_tensors(card.emotion[adapter]))
    except RuntimeError as error:
        raise ClusterMismatch(
            "The cluster's instruments do not fit this version.",
            "Install the same version everywhere, then `python -m realtime.cluster deploy` again.",
        ) from error


@asynccontextmanager
async def started(address: str, wanted: ModelSettings, *, metrics: Metrics, sessions: int) -> AsyncIterator[RayEngine]:
    """Joined to the cluster, what is deployed there checked before any session; its threads are ended when left.

    Raises RayMissing, ClusterUnreachable, NotDeployed or ClusterMismatch.
    """
    engine = await asyncio.to_thread(_connected, address, wanted, metrics, sessions)
    n_threads = torch.get_num_threads()
    # What is left to compute here is small: shared out among threads it takes longer, and the cores are the sessions'.
    torch.set_num_threads(wanted.threads or 1)
    try:
        await engine.ready()
        yield engine
    finally:
        torch.set_num_threads(n_threads)
        await asyncio.to_thread(engine.close)


def _connected(address: str, wanted: ModelSettings, metrics: Metrics, sessions: int) -> RayEngine:
    connect.join(address)
    found = connect.card()
    adapter = wanted.adapter.name if wanted.adapter is not None else ""
    here = Path(wanted.name).expanduser()
    folder = NANO if wanted.name == "nano" else here if here.is_dir() else None
    mark = None
    if folder is not None:
        from realtime.cluster.backbone import fingerprint

        mark = fingerprint(folder)
    connect.check_model(found, model=wanted.name, adapter=adapter, fingerprint=mark)
    return RayEngine(found, connect.handles(), adapter=adapter, metrics=metrics, sessions=sessions)
