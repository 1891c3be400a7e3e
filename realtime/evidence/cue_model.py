"""The part of the model that a session runs on the CPU when towers and Thinker are on a GPU or in a cluster.

The experts and projectors of cue tokens are small and run once per face. Sending each measurement to a GPU and back
would take longer than they do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor

from realtime.model.blank import blank_modules
from realtime.model.config import ModelConfig
from realtime.model.thinker import EmoThinker
from realtime.towers.choice import Towers

ELSEWHERE = ("hybrid.", "correlation.")
"The second merger runs with the towers, and the aggregator of voice and words with the Thinker."


def cue_weights(weights: EmoThinker) -> dict[str, Tensor]:
    """The weights of EmoThinker's additions in float32 on the CPU. Integer counters of norm layers stay integers."""
    state = weights.emotion.state_dict()
    kept = {key: tensor for key, tensor in state.items() if not key.startswith(ELSEWHERE)}
    plain = {key: tensor.float() if tensor.is_floating_point() else tensor for key, tensor in kept.items()}
    return {key: tensor.cpu().contiguous() for key, tensor in plain.items()}


def cue_model(config: ModelConfig, state: Mapping[str, Tensor]) -> EmoThinker:
    """A model with these additions only. Its towers and language model have no weights (meta device).

    Raises RuntimeError for a state of another model.
    """
    with blank_modules():
        model = EmoThinker(config)
    model.emotion.hybrid = model.emotion.correlation = None
    model.emotion.load_state_dict(state, assign=True)
    return model.eval().requires_grad_(False)


class TowersOnCpu:
    """Towers that run elsewhere, with outputs in float32 on the CPU."""

    def __init__(self, towers: Towers) -> None:
        self._towers = towers

    def vision(self, inputs: Mapping[str, Tensor]) -> Sequence[Tensor]:
        return [on_cpu(output) for output in self._towers.vision(inputs)]

    def audio(self, inputs: Mapping[str, Tensor]) -> Sequence[Tensor]:
        return [on_cpu(output) for output in self._towers.audio(inputs)]


def on_cpu(tensor: Tensor) -> Tensor:
    """The tensor on the CPU, in float32 unless it has integers."""
    return (tensor.float() if tensor.is_floating_point() else tensor).cpu()


def query_on_cpu(query: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """`query` with its embeddings in float32 on the CPU, where the towers take them with their other inputs."""
    return lambda question: on_cpu(query(question))
