"""What a session works with itself, on the CPU, where towers and Thinker are elsewhere: on a card, or on a cluster.

Experts and projectors of the cue tokens are small and are asked face by face; sending each measurement to a card and
back would take longer than they do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from realtime.model.config import ModelConfig
from realtime.model.thinker import EmoThinker
from realtime.towers.choice import Towers


def cue_weights(weights: EmoThinker) -> dict[str, Tensor]:
    """Experts and projectors as a CPU computes with them: float32; counters of normalisation layers stay whole."""
    state = weights.emotion.state_dict()
    plain = {key: tensor.float() if tensor.is_floating_point() else tensor for key, tensor in state.items()}
    return {key: tensor.cpu().contiguous() for key, tensor in plain.items()}


def cue_model(config: ModelConfig, state: Mapping[str, Tensor]) -> EmoThinker:
    """A model that has nothing else: its towers and language model are shapes without weights.

    Raises RuntimeError for a state of another model.
    """
    with torch.device("meta"):
        model = EmoThinker(config)
    model.emotion.load_state_dict(state, assign=True)
    return model.eval().requires_grad_(False)


class TowersOnCpu:
    """Towers elsewhere, for who works on the CPU in float32."""

    def __init__(self, towers: Towers) -> None:
        self._towers = towers

    def vision(self, inputs: Mapping[str, Tensor]) -> Sequence[Tensor]:
        return [on_cpu(output) for output in self._towers.vision(inputs)]

    def audio(self, inputs: Mapping[str, Tensor]) -> Tensor:
        return on_cpu(self._towers.audio(inputs))


def on_cpu(tensor: Tensor) -> Tensor:
    return (tensor.float() if tensor.is_floating_point() else tensor).cpu()


def query_on_cpu(query: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The embedded question, likewise: the towers take it with their other inputs."""
    return lambda question: on_cpu(query(question))
