"""A checkpoint by name, with its engine, ready to serve sessions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from threadpoolctl import threadpool_limits

from realtime.evidence.engine import Checkpoint, Towers, choose
from realtime.evidence.perceive import Perception
from realtime.model import checkpoint
from realtime.model.products import Narrow
from realtime.model.thinker import EmoThinker
from realtime.model.tokenizer import Vocabulary
from realtime.reason.stream import Reasoner
from realtime.records import LABELS, Ask


@dataclass(frozen=True)
class LoadedModel:
    """What `session.Model` asks for."""

    name: str
    engine_reason: str
    labels: tuple[str, ...]
    thinker: Reasoner
    weights: EmoThinker
    towers: Towers

    def perceiver(self, seed: int, ask: Ask | None = None) -> Perception:
        """A fresh perception for one session. Blocking: it starts the face models."""
        return Perception(
            self.weights,
            self.towers,
            query=self.thinker.query_embeddings,
            ask=ask or Ask(labels=self.labels),
            seed=seed,
            open_ring=self.thinker.open_ring,
        )


SHARED_OUT_FROM = 100_000_000
"Parameters of a model whose products gain by several threads: below, they cost twice the CPU and are hardly sooner."


def load(
    name: str,
    *,
    adapter: Path | None = None,
    engine: str = "auto",
    engine_dir: Path | None = None,
    narrow: Narrow | None = None,
    threads: int | None = None,
) -> LoadedModel:
    """Read `nano`, a folder or a hub id; with `narrow` its chains are decoded in 8 bits.

    `threads`: of this process's products on a CPU; 0 goes by the model's size, None leaves them as they are.
    Raises BadModel or EngineMissing with what to do next.
    """
    folder = checkpoint.locate(name)
    weights = checkpoint.load(folder, adapter=adapter)
    if threads is not None:
        # numpy's products are smaller still, and its threads spin while they wait for the next one.
        threadpool_limits(1, user_api="blas")
    if threads is not None and weights.device.type == "cpu":
        small = sum(parameter.numel() for parameter in weights.parameters()) < SHARED_OUT_FROM
        torch.set_num_threads(threads or (1 if small else torch.get_num_threads()))
    towers, reason = choose(engine, Checkpoint(weights, folder, adapter, engine_dir))
    return LoadedModel(
        name=name if adapter is None else f"{name} + {adapter.name}",
        engine_reason=reason,
        labels=LABELS,
        thinker=Reasoner(weights, Vocabulary.read(folder), narrow=narrow),
        weights=weights,
        towers=towers,
    )
