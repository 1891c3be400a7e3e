"""The engine on a Ray cluster. To a session it is the same as the local ones.

    realtime serve --cluster HOST:6379        sessions here, towers and Thinkers there

    session ── RayClient ── Perception (faces, cues, experts: here) ── RemoteTowers ──► Encoder replicas
                    └────── RemoteThinker ───────────────────────────────────────────► its Thinker replica

Perception is blocking code, so every call takes a thread of a pool while it waits for a replica. There is no scheduler
here: replicas have their own.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors.torch import load as load_tensors
from threadpoolctl import threadpool_limits

from realtime.cluster import connect
from realtime.cluster.messages import DeploymentManifest
from realtime.cluster.remote import RemotePerceiver, RemoteThinker, SessionRoute
from realtime.cluster.retry import LOST, RecentWaits
from realtime.errors import BadModel, ClusterMismatch
from realtime.evidence.cue_model import cue_model
from realtime.evidence.face_engines.choice import check
from realtime.evidence.settings import FaceEngineName
from realtime.model.checkpoint import SHIPPED
from realtime.model.config import ModelConfig
from realtime.model.thinker import EmoThinker
from realtime.observe.metrics import Metrics
from realtime.records import (
    CueFrame,
    FrameEvidence,
    Glimpse,
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
"Calls of one session that may wait for a replica at once: see, hear, hear ahead, a label and two chains."
MAX_THREADS = 512

logger = logging.getLogger(__name__)


class RayEngine:
    """An `Engine`. `started` makes one; `close` ends its threads."""

    def __init__(
        self,
        manifest: DeploymentManifest,
        handles: tuple[Any, Any],
        *,
        adapter: str,
        metrics: Metrics,
        sessions: int,
        face_engine: FaceEngineName = "auto",
    ) -> None:
        """`sessions` is the largest number of sessions at once, `face_engine` the setting `faces.engine`.

        Raises EngineMissing where that engine is not installed on this machine.
        """
        check(face_engine)
        self._face_engine = face_engine
        # Perception runs in this process, and numpy's own threads would spin between two frames (`engine/loading.py`).
        threadpool_limits(1, user_api="blas")
        self._manifest = manifest
        self.handles = handles
        "Serve's handles of the encoder and of the Thinker."
        self._adapter = adapter
        self._instruments: dict[str, EmoThinker] = {}
        self._waits = RecentWaits()
        self._metrics = metrics
        self._pool = ThreadPoolExecutor(min(MAX_THREADS, THREADS_PER_SESSION * sessions + 2), "cluster")
        self._hearing = ThreadPoolExecutor(min(MAX_THREADS, sessions + 1), "hearing")
        self._ended = threading.Event()
        self.model = self._info(adapter, None)
        self._pool.submit(self._probe)

    def close(self) -> None:
        """End the threads. Blocks as long as the longest call that is under way."""
        self._ended.set()
        self._pool.shutdown(cancel_futures=True)
        self._hearing.shutdown()

    async def use(self, adapter: Path) -> ModelInfo:
        """Describe the adapter that was deployed under the folder's name. Raises BadModel where there is none."""
        if adapter.name not in self._manifest.adapters:
            names = ", ".join(name for name in self._manifest.adapters if name) or "none"
            raise BadModel(
                f"The cluster has no adapter '{adapter.name}' (there is: {names}).",
                f"Deploy it: python -m realtime.cluster deploy --adapter {adapter.name}=FOLDER.",
            )
        return self._info(adapter.name, adapter)

    async def open(self, seed: int, question: Question, adapter: Path | None = None) -> RayClient:
        name = self._adapter if adapter is None else adapter.name
        route = SessionRoute(*self.handles, session=secrets.token_hex(16), adapter=name, waits=self._waits)
        return RayClient(self, await self.run("open", self._perceiver, route, question, seed), route)

    async def ready(self) -> None:
        for handle in self.handles:
            await handle.waited_s.remote()

    def stats(self) -> Mapping[str, float]:
        """`behind_s` is how long recent calls waited on the cluster, `restarts` how many calls were made again."""
        return {"chain_cpu_s": 0.0, "restarts": float(self._waits.n_retries), "behind_s": self._waits.typical_s()}

    async def run(self, stage: str, work: Callable[..., T], *args: Any) -> T:
        """Call `work(*args)` in a thread of the pool and return its result."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._timed, stage, work, *args)

    def post(self, stage: str, work: Callable[[], None]) -> None:
        """Call `work` in a thread of the pool, without waiting."""
        if not self._ended.is_set():
            self._pool.submit(self._timed, stage, work)

    def _perceiver(self, route: SessionRoute, question: Question, seed: int) -> RemotePerceiver:
        if route.adapter not in self._instruments:
            self._instruments[route.adapter] = instruments(self._manifest, route.adapter)
        return RemotePerceiver(
            route,
            self._instruments[route.adapter],
            question,
            seed=seed,
            submit=self._beside,
            face_engine=self._face_engine,
        )

    def _beside(self, work: Callable[[], T]) -> Callable[[], T]:
        """Run the audio tower on its replica while the voice is measured here."""
        return self._hearing.submit(work).result

    def _info(self, adapter: str, folder: Path | None) -> ModelInfo:
        found = self._manifest
        name = found.model if not adapter else f"{found.model} + {adapter}"
        reason = f"ray (on a cluster, its Thinkers in {found.runtime_reason})"
        emotion = ModelConfig.parse(found.config, found.emotion_config[adapter]).emotion
        return ModelInfo(name, reason, found.labels, folder, open_labels=emotion.open_labels, stock=emotion.stock)

    def _timed(self, stage: str, work: Callable[..., T], *args: Any) -> T:
        began_s = time.perf_counter()
        try:
            return work(*args)
        finally:
            self._metrics.stage.labels(stage).observe(time.perf_counter() - began_s)

    def _probe(self) -> None:
        """Question a replica of each kind every second how long calls wait: a node without sessions makes none."""
        answered_s = dict.fromkeys(range(len(self.handles)), time.monotonic())
        while not self._ended.wait(PROBE_S):
            for index, handle in enumerate(self.handles):
                try:
                    self._waits.add(handle.waited_s.remote().result(timeout_s=PROBE_S))
                    answered_s[index] = time.monotonic()
                except LOST:
                    # A replica that does not answer is as far behind as its last answer is old.
                    self._waits.add(time.monotonic() - answered_s[index])
                except Exception as error:  # the probe has to outlive any state of the cluster
                    logger.warning("the cluster does not say how far behind it is (%s)", type(error).__name__)


class RayClient:
    """One session's `EngineClient`. Its perception runs here, its Thinker on the replica that its route leads to."""

    def __init__(self, engine: RayEngine, perceiver: RemotePerceiver, route: SessionRoute) -> None:
        self.route = route
        self._engine = engine
        self._perceiver = perceiver
        self._thinker = RemoteThinker(route)

    async def see(self, frame: VideoFrame) -> FrameEvidence:
        return await self._engine.run("see", self._perceiver.see, frame)

    async def glimpse(self, frame: CueFrame) -> Glimpse:
        return await self._engine.run("glimpse", self._perceiver.glimpse, frame)

    async def hear(self, segment: SpeechSegment) -> SpeechEvidence:
        return await self._engine.run("hear", self._perceiver.hear, segment)

    async def hear_ahead(self, so_far: SpeechSoFar) -> None:
        await self._engine.run("hear_ahead", self._perceiver.hear_ahead, so_far)

    async def set_question(self, question: Question) -> None:
        await self._engine.run("ask", self._perceiver.set_question, question)

    async def fast_label(self, window: Window, question: Question) -> Label:
        return await self._engine.run("fast", self._thinker.fast_label, window, question)

    async def reason(
        self, window: Window, question: Question, *, again_s: float | None = None
    ) -> AsyncGenerator[Step, None]:
        chain = self._thinker.reason(window, question, again_s)
        try:
            while True:
                step = await self._engine.run("reason", next, chain)
                yield step
                if isinstance(step, ReasonDone):
                    return
        finally:
            chain.close()

    async def summarise(self, statements: Sequence[str], labels: Sequence[str]) -> str | None:
        """Return None: no model on a cluster writes summaries (`RayEngine._info`)."""
        return None

    def tell_words(self, window: Window, said: str) -> None:
        """Do nothing: no model on a cluster reads words (`RayEngine._info`)."""

    def close(self) -> None:
        self._engine.post("close", self._perceiver.close)


def instruments(manifest: DeploymentManifest, adapter: str) -> EmoThinker:
    """The deployed model with the weights of its experts and projectors only, for perception on this node."""
    config = ModelConfig.parse(manifest.config, manifest.emotion_config[adapter])
    try:
        return cue_model(config, load_tensors(manifest.emotion[adapter]))
    except RuntimeError as error:
        raise ClusterMismatch(
            "The cluster's experts do not fit this version.",
            "Install the same version everywhere, then `python -m realtime.cluster deploy` again.",
        ) from error


@asynccontextmanager
async def started(
    address: str, wanted: ModelSettings, *, metrics: Metrics, sessions: int, face_engine: FaceEngineName = "auto"
) -> AsyncIterator[RayEngine]:
    """An engine on the cluster at `address`, after a check of what is deployed there. It is ended when left.

    Raises RayMissing, ClusterUnreachable, NotDeployed, ClusterMismatch or EngineMissing.
    """
    engine = await asyncio.to_thread(_connected, address, wanted, metrics, sessions, face_engine)
    n_threads = torch.get_num_threads()
    # The matrix products left here are small. On several threads they take longer, and sessions need the cores.
    torch.set_num_threads(wanted.threads or 1)
    try:
        await engine.ready()
        yield engine
    finally:
        torch.set_num_threads(n_threads)
        await asyncio.to_thread(engine.close)


def _connected(
    address: str, wanted: ModelSettings, metrics: Metrics, sessions: int, face_engine: FaceEngineName
) -> RayEngine:
    connect.join(address)
    found = connect.manifest()
    adapter = wanted.adapter.name if wanted.adapter is not None else ""
    here = Path(wanted.name).expanduser()
    folder = SHIPPED.get(wanted.name, here if here.is_dir() else None)
    expected = None
    if folder is not None:
        from realtime.cluster.backbone import fingerprint

        expected = fingerprint(folder)
    connect.check_model(found, model=wanted.name, adapter=adapter, fingerprint=expected)
    return RayEngine(
        found, connect.handles(), adapter=adapter, metrics=metrics, sessions=sessions, face_engine=face_engine
    )
