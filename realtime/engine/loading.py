"""Loads a checkpoint by its name and chooses the runtime of its towers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from threadpoolctl import threadpool_limits

from realtime.errors import EngineMissing
from realtime.evidence.cue_model import TowersOnCpu, cue_model, cue_weights, query_on_cpu
from realtime.evidence.face_engines.choice import check
from realtime.evidence.perceive import Perception
from realtime.evidence.settings import FaceEngineName
from realtime.model import checkpoint
from realtime.model.config import ModelConfig
from realtime.model.products import Narrow
from realtime.model.thinker import EmoThinker
from realtime.model.tokenizer import Vocabulary
from realtime.reason.reasoner import Reasoner
from realtime.records import LABELS, Question
from realtime.towers.choice import Checkpoint, Towers, choose

Device = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True)
class LoadedModel:
    """A `Model` of `realtime.roles` with its weights."""

    name: str
    runtime_reason: str
    labels: tuple[str, ...]
    thinker: Reasoner
    weights: EmoThinker
    towers: Towers
    instruments: EmoThinker | None = None
    "Experts and projectors on the CPU, where `weights` are on a GPU; None where `weights` serve for them too."
    face_engine: FaceEngineName = "auto"

    def perceiver(self, seed: int, question: Question | None = None) -> Perception:
        """A new perception for one session. It blocks while it starts the face models."""
        query = self.thinker.query_embeddings
        return Perception(
            self.instruments or self.weights,
            TowersOnCpu(self.towers) if self.instruments else self.towers,
            query=query_on_cpu(query) if self.instruments else query,
            question=question or Question(labels=self.labels),
            seed=seed,
            open_ring=self.thinker.open_ring,
            face_engine=self.face_engine,
        )


LARGE_FROM = 100_000_000
"""Parameters from which a model gains by several threads or by a GPU.

The matrix products of a smaller one take twice the CPU time on several threads and are hardly sooner; on a GPU,
transfers and launches take longer than its arithmetic.
"""


def load(
    name: str,
    *,
    adapter: Path | None = None,
    engine: str = "auto",
    engine_dir: Path | None = None,
    narrow: Narrow | None = None,
    threads: int | None = None,
    device: Device = "cpu",
    face_engine: FaceEngineName = "auto",
) -> LoadedModel:
    """Load `nano`, a folder or a hub id. `narrow` decodes its chains with 8-bit weights.

    `engine` is the runtime of the towers. `threads` is the number of threads for matrix products on a CPU; 0 chooses
    by the model's size, None changes nothing. `device` is where towers and Thinker run; `auto` takes the GPU if there
    is one and the model is large enough to gain by it. `face_engine` is the setting `faces.engine`. Raises BadModel or
    EngineMissing with what to do next.
    """
    check(face_engine)
    folder = checkpoint.locate(name)
    on_gpu = wants_gpu(device, checkpoint.read_config(folder, adapter))
    weights = checkpoint.load(folder, adapter=adapter, dtype=gpu_dtype() if on_gpu else torch.float32)
    if on_gpu:
        weights = weights.to("cuda")
    if threads is not None:
        # numpy's matrix products are smaller still, and its threads spin while they wait for the next one.
        threadpool_limits(1, user_api="blas")
    if threads is not None and weights.device.type == "cpu":
        small = sum(parameter.numel() for parameter in weights.parameters()) < LARGE_FROM
        torch.set_num_threads(threads or (1 if small else torch.get_num_threads()))
    towers, reason = choose(engine, Checkpoint(weights, folder, adapter, engine_dir))
    return LoadedModel(
        name=name if adapter is None else f"{name} + {adapter.name}",
        runtime_reason=reason,
        labels=LABELS,
        thinker=Reasoner(weights, Vocabulary.read(folder), narrow=narrow),
        weights=weights,
        towers=towers,
        instruments=cue_model(weights.config, cue_weights(weights)) if on_gpu else None,
        face_engine=face_engine,
    )


def wants_gpu(device: Device, config: ModelConfig) -> bool:
    """Whether the model goes to the GPU. Raises EngineMissing where one is asked for and there is none."""
    if device == "cuda" and not torch.cuda.is_available():
        raise EngineMissing("There is no CUDA device here.", "Run `realtime doctor`, or take --device cpu.")
    if device != "auto":
        return device == "cuda"
    with torch.device("meta"):
        n = sum(parameter.numel() for parameter in EmoThinker(config).parameters())
    return n >= LARGE_FROM and torch.cuda.is_available()


def gpu_dtype() -> torch.dtype:
    """Half precision of this GPU: those before Ampere do not compute in bf16."""
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
