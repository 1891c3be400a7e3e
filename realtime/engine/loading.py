"""A checkpoint by name, with its engine, ready to serve sessions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from threadpoolctl import threadpool_limits

from realtime.errors import EngineMissing
from realtime.evidence.instruments import Fetched, fetching, shell, state_of
from realtime.evidence.perceive import Perception
from realtime.model import checkpoint
from realtime.model.config import ModelConfig
from realtime.model.products import Narrow
from realtime.model.thinker import EmoThinker
from realtime.model.tokenizer import Vocabulary
from realtime.reason.stream import Reasoner
from realtime.records import LABELS, Ask
from realtime.towers.choice import Checkpoint, Towers, choose

Device = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True)
class LoadedModel:
    """What `session.Model` asks for."""

    name: str
    engine_reason: str
    labels: tuple[str, ...]
    thinker: Reasoner
    weights: EmoThinker
    towers: Towers
    instruments: EmoThinker | None = None
    "What sessions work with themselves where `weights` lie on a card; None: those."

    def perceiver(self, seed: int, ask: Ask | None = None) -> Perception:
        """A fresh perception for one session. Blocking: it starts the face models."""
        query = self.thinker.query_embeddings
        return Perception(
            self.instruments or self.weights,
            Fetched(self.towers) if self.instruments else self.towers,
            query=fetching(query) if self.instruments else query,
            ask=ask or Ask(labels=self.labels),
            seed=seed,
            open_ring=self.thinker.open_ring,
        )


SHARED_OUT_FROM = 100_000_000
"""Parameters of a model whose products gain by several threads: below, they cost twice the CPU and are hardly sooner.
The same models gain by a card; to a smaller one the way there is longer than the work."""


def load(
    name: str,
    *,
    adapter: Path | None = None,
    engine: str = "auto",
    engine_dir: Path | None = None,
    narrow: Narrow | None = None,
    threads: int | None = None,
    device: Device = "cpu",
) -> LoadedModel:
    """Read `nano`, a folder or a hub id; with `narrow` its chains are decoded in 8 bits.

    `threads`: of this process's products on a CPU; 0 goes by the model's size, None leaves them as they are.
    `device`: where towers and Thinker run; `auto` is the card, if there is one and the model is worth the way to it.
    Raises BadModel or EngineMissing with what to do next.
    """
    folder = checkpoint.locate(name)
    on_card = wants_card(device, checkpoint.read_config(folder, adapter))
    weights = checkpoint.load(folder, adapter=adapter, dtype=card_dtype() if on_card else torch.float32)
    if on_card:
        weights = weights.to("cuda")
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
        instruments=shell(weights.config, state_of(weights)) if on_card else None,
    )


def wants_card(device: Device, config: ModelConfig) -> bool:
    """Raises EngineMissing where a card is asked for and there is none."""
    if device == "cuda" and not torch.cuda.is_available():
        raise EngineMissing("There is no CUDA device here.", "Run `realtime doctor`, or take --device cpu.")
    if device != "auto":
        return device == "cuda"
    with torch.device("meta"):
        n = sum(parameter.numel() for parameter in EmoThinker(config).parameters())
    return n >= SHARED_OUT_FROM and torch.cuda.is_available()


def card_dtype() -> torch.dtype:
    """Cards before Ampere compute no bf16."""
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
