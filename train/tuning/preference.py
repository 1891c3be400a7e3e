"""Direct preference optimisation on annotated windows: the loss, its pairs, and the module that gives it.

    loss = −log σ(β · ((log π(y⁺) − log π₀(y⁺)) − (log π(y⁻) − log π₀(y⁻)))) + share · (the loss of stage 2 on y⁺)

(Rafailov et al., *Direct Preference Optimization*, NeurIPS 2023, equation 7; the second term as in Pang et al.,
*Iterative Reasoning Preference Optimization*, 2024, since without it the likelihood of both chains falls.) π₀ is the
same model with its new low-rank part switched off, so no second copy of the weights is in memory.
`tests/train/test_trl.py` computes the first term with trl's code, too, from the same log-probabilities.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from peft import PeftModel
from torch import Tensor, nn

from realtime.model.thinker import EmoThinker
from realtime.model.tokenizer import Vocabulary
from train.coet.observe import observe
from train.evaluation.variants import WHOLE, Variant
from train.layout import IGNORED, TrainingSequence, hidden_states, token_losses
from train.tuning.data import AnnotatedWindow, AnnotatedWindows, clip_of
from train.tuning.model import Trainee
from train.tuning.rejected import rejected


@dataclass(frozen=True)
class PreferredWindow(AnnotatedWindow):
    """A window with its annotated chain, and with one that is worse in a known way."""

    rejected: Mapping[str, str] = field(default_factory=dict)
    "Its sections; empty where no worse one can be made, such as with neither face nor voice."


class PreferredWindows(AnnotatedWindows):
    """The same windows, each with a rejected chain that the draw decides on."""

    def __getitem__(self, at: tuple[int, int]) -> PreferredWindow:
        example, record = super().__getitem__(at), self.records[at[0]]
        seen = observe(clip_of(record), example.perceived, self._reader).whole
        made = rejected(example.sections, seen, np.random.default_rng((example.draw, 2)))
        parts: dict[str, Any] = {one.name: getattr(example, one.name) for one in dataclasses.fields(example)}
        return PreferredWindow(**parts, rejected=made.sections if made is not None else {})


def margins(now: tuple[Tensor, Tensor], before: tuple[Tensor, Tensor], beta: float) -> Tensor:
    """(B,) by how much more the annotated chain is preferred than at the beginning, times β.

    Each pair has the log-likelihoods (B,) of the annotated chains and of the rejected ones.
    """
    return beta * ((now[0] - before[0]) - (now[1] - before[1]))


def pair_losses(margin_B: Tensor) -> Tensor:
    """(B,) the loss of each pair, from its margin."""
    return -F.logsigmoid(margin_B)


def log_likelihoods(model: EmoThinker, sequences: Sequence[TrainingSequence]) -> Tensor:
    """(B,) log-likelihoods of the chains, without their label branches. Tokens that serving gives do not count."""
    losses = token_losses(model, hidden_states(model, sequences), sequences)
    counts = [int((sequence.targets_T != IGNORED).sum()) for sequence in sequences]
    of_chain = torch.where(losses.is_chain_N, -losses.nll_N, torch.zeros_like(losses.nll_N))
    return torch.stack([part.sum() for part in torch.split(of_chain, counts)])


class PreferenceTrainee(Trainee):
    """A peft model that learns to prefer annotated chains to rejected ones."""

    def __init__(
        self,
        net: nn.Module,
        vocabulary: Vocabulary,
        *,
        beta: float,
        chain_share: float,
        label_share: float,
        cues_off: float,
        variant: Variant = WHOLE,
    ) -> None:
        """`chain_share`: weight of the loss of stage 2 on the annotated chain. The rest is as in `Trainee`."""
        super().__init__(net, vocabulary, label_share=label_share, cues_off=cues_off, variant=variant)
        self._beta, self._chain_share = beta, chain_share

    def forward(self, examples: Sequence[AnnotatedWindow]) -> dict[str, Tensor]:
        """`loss`; for the curves its parts `chain` and `label`, the mean `margin`, and the share that is `preferred`.

        Windows without a rejected chain give the loss of stage 2 alone.
        """
        kept = super().forward(examples)
        outputs = kept | {"loss": self._chain_share * kept["loss"]}
        pairs = [one for one in examples if isinstance(one, PreferredWindow) and one.rejected]
        if not pairs:
            return outputs
        worse = [dataclasses.replace(one, sections=one.rejected) for one in pairs]
        now = self._likelihoods(pairs, worse)
        net = self.net
        assert isinstance(net, PeftModel)
        with torch.no_grad(), net.disable_adapter():
            before = self._likelihoods(pairs, worse)
        margin_B = margins(now, before, self._beta)
        return outputs | {
            "loss": outputs["loss"] + pair_losses(margin_B).sum() / len(examples),
            "margin": margin_B.mean().detach(),
            "preferred": (margin_B > 0).float().mean(),
        }

    def _likelihoods(
        self, chosen: Sequence[AnnotatedWindow], worse: Sequence[AnnotatedWindow]
    ) -> tuple[Tensor, Tensor]:
        """Of the annotated chains, and of the rejected ones."""
        model = self.thinker
        found = log_likelihoods(model, self.sequences(chosen)), log_likelihoods(model, self.sequences(worse))
        # What a method's own loss gathers of each window was told with the loss of stage 2.
        self.forget_gathered()
        return found
