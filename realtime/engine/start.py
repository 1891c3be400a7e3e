"""Starts an engine: in a thread or in a process, as the setting `model.worker` says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Literal

from realtime.engine import process
from realtime.engine.local import LocalEngine
from realtime.engine.metrics import EngineMetrics
from realtime.engine.models import LoadAdapter
from realtime.engine.process import BegunProcess, ProcessEngine
from realtime.engine.warmup import warm_up
from realtime.engine.worker import ModelWorker
from realtime.errors import BadModel, EngineMissing
from realtime.evidence.settings import FaceEngineName
from realtime.observe.metrics import Metrics
from realtime.roles import Engine, Model
from realtime.settings import ModelSettings, Settings


def load_model(
    wanted: ModelSettings,
    adapter: Path | None = None,
    *,
    face_engine: FaceEngineName = "auto",
    sound_on_onnx: bool = False,
) -> Model:
    """Load the checkpoint that the settings name, with `adapter` in place of the one in the settings.

    With it comes the model that gives its labels, where that is another (`pair.py`). Raises BadModel, BadSettings and
    EngineMissing. It imports torch itself, so that a process without a model never does.
    """
    import torch

    from realtime.engine import loading, pair

    adapter = adapter or wanted.adapter
    labeller = None
    try:
        if pair.nano_labels(wanted.label, wanted.name, adapter=adapter, engine=wanted.engine, device=wanted.device):
            labeller = loading.load(pair.LABELLER, engine="torch", device="cpu", face_engine=face_engine)
        model = loading.load(
            wanted.name,
            adapter=adapter,
            engine=wanted.engine if labeller is None else "torch",
            engine_dir=wanted.engine_dir,
            build_plans=wanted.build_plans,
            narrow=None if wanted.narrow == "none" else wanted.narrow,
            weights=wanted.weights,
            threads=wanted.threads,
            device=wanted.device if labeller is None else "cpu",
            face_engine=face_engine,
            sound_on_onnx=sound_on_onnx,
            serve_only=True,
            calibration=None if labeller is None else labeller.weights.config.emotion.calibration,
        )
        return model if labeller is None else pair.paired(labeller, model)
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, torch.AcceleratorError):
            said = str(error).partition("\n")[0].rstrip(".")
            raise EngineMissing(f"The GPU fails: {said}.", "Run `realtime doctor`, or take --device cpu.") from error
        # A GPU's allocator raises an error of its own, a CPU's only has a message of its own.
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and "allocate memory" not in str(error):
            raise
        raise BadModel(
            f"{wanted.name} does not fit into memory.", "Free some, or take a smaller model: --model nano"
        ) from error


def loader(settings: Settings, *, sound_on_onnx: bool = False) -> partial[Model]:
    """What loads the model that the settings choose; called with a folder, the model with that adapter.

    `sound_on_onnx` runs nano's audio tower on ONNX Runtime too: it takes two thirds of the time, and up to 60 MB.
    """
    return partial(load_model, settings.model, face_engine=settings.faces.engine, sound_on_onnx=sound_on_onnx)


@contextmanager
def begun(settings: Settings) -> Iterator[BegunProcess | None]:
    """The process that loads the model, while the caller imports what it needs. It is killed when this is left.

    None where the settings want the model in this process, or on a cluster.
    """
    if settings.model.worker != "process" or settings.cluster.address is not None:
        yield None
        return
    load = loader(settings)
    with process.begun(load, load) as first:
        yield first


def takes_open_labels(wanted: ModelSettings) -> bool:
    """Whether the model can score labels that it was not trained with. Only its configuration is read.

    Raises BadModel.
    """
    from realtime.model import assembly

    return assembly.read_config(wanted.name, wanted.adapter).emotion.open_labels


@asynccontextmanager
async def started(
    load: Callable[[], Model],
    *,
    where: Literal["process", "thread"],
    metrics: Metrics,
    load_adapter: LoadAdapter | None = None,
    first: BegunProcess | None = None,
    bundle_s: float = process.BUNDLE_S,
) -> AsyncIterator[Engine]:
    """An engine whose model is loaded and warm; it is ended when left.

    Raises what `load` raises. With a process, `load` and `load_adapter` are pickled, and `first` is one that was begun
    with them; steps of a chain are gathered into one message for `bundle_s`.
    """
    if where == "process":
        async with ProcessEngine(load, metrics, load_adapter, first, bundle_s=bundle_s) as engine:
            with _with_metrics(engine, metrics):
                yield engine
        return
    model = await asyncio.to_thread(load)
    with ModelWorker(metrics) as worker:
        await worker.run("warm", warm_up, model)
        local = LocalEngine(model, worker, load_adapter)
        with _with_metrics(local, metrics):
            yield local


@contextmanager
def _with_metrics(engine: Engine, metrics: Metrics) -> Iterator[None]:
    collector = EngineMetrics(engine.stats)
    metrics.registry.register(collector)
    try:
        yield
    finally:
        metrics.registry.unregister(collector)
