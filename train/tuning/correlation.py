"""What teaches the aggregator of voice and words: a voice is nearer to its own words than to those of other windows."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from realtime.model.methods.correlation import Correlated, CorrelationAggregator, same_size
from train.layout import JUDGED

SHARE = 0.1
"Weight of this loss; the chain's is 1."
TEMPERATURE = 0.07
N_OTHERS = 64
"Windows whose words are compared with. A step has too few of its own."


class TaughtWords:
    """Collects the voices that were read with their words in a step, and what they lose."""

    def __init__(self, aggregator: CorrelationAggregator | None) -> None:
        self._aggregator = aggregator
        self._made: list[tuple[Tensor, Correlated]] = []
        self._others: deque[Tensor] = deque(maxlen=N_OTHERS)
        "Mean embeddings of words, newest last."
        self._losses: list[Tensor] = []
        if aggregator is not None:
            aggregator.register_forward_hook(self._keep)

    def _keep(self, aggregator: nn.Module, given: tuple[Tensor, Tensor], made: Correlated) -> None:
        self._made.append((same_size(given[1].detach()).mean(0), made))

    def of_window(self, labels: Mapping[str, str]) -> None:
        """Take what was made since the last call as one window's, whose label branches learn these words.

        Voice and words are brought together only where they say the same: an ironic voice is not that of its words.
        """
        for words_D, made in self._made:
            alike = labels.get("voice", labels.get("both")) == labels.get(JUDGED, labels.get("both"))
            others = [other for other in self._others if not torch.allclose(other, words_D)]
            if self._aggregator is not None and self._aggregator.words.weight.requires_grad and alike and others:
                others_MI = self._aggregator.words(torch.stack(others))
                self._losses.append(SHARE * info_nce(made.voice_I, torch.cat([made.words_I[None], others_MI])))
            self._others.append(words_D)
        self._made.clear()

    def outputs(self) -> dict[str, Tensor]:
        """Of the windows since the last call: `correlation`, the mean loss, where there is one."""
        told = {"correlation": torch.stack(self._losses).mean()} if self._losses else {}
        self._losses.clear()
        return told


def info_nce(voice_I: Tensor, words_MI: Tensor) -> Tensor:
    """Cross-entropy of finding a voice's own words, which come first, among those of others."""
    scores_M = F.cosine_similarity(voice_I[None].float(), words_MI.float(), dim=-1) / TEMPERATURE
    return F.cross_entropy(scores_M, torch.tensor(0, device=scores_M.device))
