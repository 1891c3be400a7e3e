"""Group relative policy optimisation on annotated windows: the module that draws, rewards and gives the loss.

For each window the model draws a group of chains (`drawn.py`), which are rewarded (`rewards.py`) and compared with each
other (`group_policy.py`). A window's chains are branches of one sequence, so its evidence is read once for all of them.
π₀ is the same model with its new low-rank part switched off, so no second copy of the weights is in memory.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from realtime.model.experts import EXPERT_LABELS
from realtime.model.tokenizer import Vocabulary
from train.coet.observe import observe
from train.evaluation.variants import WHOLE, Variant
from train.layout import (
    IGNORED,
    TokenLosses,
    TrainingSequence,
    added_by_words,
    append,
    hidden_states,
    lay_out,
    token_losses,
)
from train.tuning.data import AnnotatedWindow, AnnotatedWindows, clip_of
from train.tuning.drawn import ChainSampler, DrawnChain, named, numbered, with_tokens
from train.tuning.group_policy import advantages, policy_loss, spread
from train.tuning.model import Trainee, question_of
from train.tuning.rewards import APART, REWARDS, Known, WrittenChain, consistent, statements_of


@dataclass(frozen=True)
class RewardedWindow(AnnotatedWindow):
    """A window with what its chains are rewarded by."""

    votes: Mapping[str, float] = field(default_factory=dict)
    alone: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    "As in `Known`."

    @property
    def known(self) -> Known:
        return Known(self.window, self.votes, self.alone)


class RewardedWindows(AnnotatedWindows):
    """The same windows, each with the votes for all labels, and with what face and voice show alone."""

    def __getitem__(self, at: tuple[int, int]) -> RewardedWindow:
        example, record = super().__getitem__(at), self.records[at[0]]
        seen = observe(clip_of(record), example.perceived, self._reader).whole
        alone = {
            "face": seen.people[0].shares if seen.people else None,
            "voice": seen.voice.shares if seen.voice else None,
        }
        parts: dict[str, Any] = {one.name: getattr(example, one.name) for one in dataclasses.fields(example)}
        return RewardedWindow(
            **parts,
            votes=by_label(seen.shares) if seen.shares is not None else {},
            alone={name: by_label(shares) for name, shares in alone.items() if shares is not None},
        )


def by_label(shares_7: Any) -> dict[str, float]:
    return dict(zip(EXPERT_LABELS, map(float, shares_7), strict=True))


@dataclass(frozen=True)
class Policy:
    """How chains are drawn and what they are learnt with."""

    n_drawn: int
    "Chains of each window."
    weights: Mapping[str, float]
    "Weight of each reward that is used."
    beta: float
    clip: float
    chain_share: float
    "Weight of the loss of stage 2 on the annotated chain."


class ReinforcedTrainee(Trainee):
    """A peft model that learns from chains which it draws itself."""

    def __init__(
        self,
        net: nn.Module,
        vocabulary: Vocabulary,
        sampler: ChainSampler,
        policy: Policy,
        *,
        label_share: float,
        cues_off: float,
        variant: Variant = WHOLE,
    ) -> None:
        super().__init__(net, vocabulary, label_share=label_share, cues_off=cues_off, variant=variant)
        self._sampler, self._policy = sampler, policy

    def forward(self, examples: Sequence[AnnotatedWindow]) -> dict[str, Tensor]:
        """`loss`; for the curves `kl`, `spread`, `unsupported`, `inconsistent` and the mean of each reward.

        `spread` is the share of windows whose chains are rewarded differently; the others teach nothing. `unsupported`
        counts the statements of a chain that its measurements do not bear out, which serving would have withheld.
        """
        windows = [one for one in examples if isinstance(one, RewardedWindow)]
        assert len(windows) == len(examples)
        tokens = [self.tokens_of(one) for one in windows]
        self._sampler.refresh()
        seen = [with_tokens(one.window, made) for one, made in zip(windows, tokens, strict=True)]
        groups = self._sampler.draw(seen, question_of(windows[0]), self._policy.n_drawn, windows[0].draw)
        sequences = self._laid_out(windows, tokens, groups)
        losses = token_losses(self.thinker, hidden_states(self.thinker, sequences), sequences)
        net = self.net
        assert isinstance(net, PeftModel)
        with torch.no_grad(), net.disable_adapter():
            before = token_losses(self.thinker, hidden_states(self.thinker, sequences), sequences)
        self.forget_gathered()
        chain_N = torch.cat([self._chains_of(one, place) for place, one in enumerate(sequences)]).to(
            losses.nll_N.device
        )
        rewarded, outputs = self._rewards(windows, groups, losses.nll_N.device)
        now_BT, mask_BT = self._of_chains(losses, chain_N)
        log_p = [torch.tensor(chain.log_p, device=now_BT.device) for group in groups for chain in group]
        drawn_BT = pad_sequence(log_p, batch_first=True)
        loss, outputs["kl"] = policy_loss(
            now_BT,
            torch.where(drawn_BT.isnan(), now_BT.detach(), drawn_BT),
            self._of_chains(before, chain_N)[0],
            advantages(rewarded, self._policy.weights, APART).flatten(),
            mask_BT,
            beta=self._policy.beta,
            clip=self._policy.clip,
        )
        if self._policy.chain_share:
            each_N = losses.nll_N * losses.weights_N / len(windows)
            kept = torch.where(chain_N < 0, each_N, 0.0)
            outputs |= {
                "chain": kept[losses.is_chain_N].sum().detach(),
                "label": kept[~losses.is_chain_N].sum().detach(),
            }
            loss = loss + self._policy.chain_share * kept.sum()
        return outputs | {"loss": loss}

    def _laid_out(
        self, windows: Sequence[RewardedWindow], tokens: Sequence[Any], groups: Sequence[Sequence[DrawnChain]]
    ) -> list[TrainingSequence]:
        """Each window with its chains, and before them the annotated one where that is learnt, too."""
        if self._policy.chain_share:
            asked = [self.with_labels(one, made) for one, made in zip(windows, tokens, strict=True)]
            sequences = self.sequences(windows, asked)
        else:
            sequences = [
                lay_out(self.thinker, self._vocabulary, one.window, made, question_of(one))
                for one, made in zip(windows, tokens, strict=True)
            ]
        laid_out = []
        for one, sequence, group in zip(windows, sequences, groups, strict=True):
            added = added_by_words(self.thinker, self._vocabulary, one.window, sequence)
            for number, chain in enumerate(group):
                for branch in numbered(chain, number, added):
                    sequence = append(self.thinker, sequence, branch)
            laid_out.append(sequence)
        return laid_out

    def _chains_of(self, sequence: TrainingSequence, place: int) -> Tensor:
        """For each place of a sequence that carries loss the number of its chain in the batch; −1 outside of them."""
        number_T = torch.full(sequence.targets_T.shape, -1)
        for number in range(self._policy.n_drawn):
            for name, (first, end) in sequence.spans.items():
                if name.startswith(named(number, "")):
                    number_T[first:end] = place * self._policy.n_drawn + number
        return number_T[sequence.targets_T != IGNORED]

    @staticmethod
    def _of_chains(losses: TokenLosses, chain_N: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T) log-probabilities of the tokens of each chain, and which of these places are tokens."""
        each = [-losses.nll_N[chain_N == number] for number in range(int(chain_N.max()) + 1)]
        mask = [torch.ones_like(one, dtype=torch.bool) for one in each]
        return pad_sequence(each, batch_first=True), pad_sequence(mask, batch_first=True)

    def _rewards(
        self, windows: Sequence[RewardedWindow], groups: Sequence[Sequence[DrawnChain]], device: torch.device
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """(N, G) of each reward; and what the curves tell."""
        pairs = [
            [(WrittenChain(each.sections, each.argued_for, len(each.log_p), each.n_cut), one.known) for each in group]
            for one, group in zip(windows, groups, strict=True)
        ]

        def each(of: Any) -> Tensor:
            return torch.tensor([[float(of(*pair)) for pair in group] for group in pairs], device=device)

        rewarded = {name: each(REWARDS[name]) for name in self._policy.weights}
        unequal_N = torch.stack([spread(values_NG) for values_NG in rewarded.values()]).any(0)
        return rewarded, {
            **{f"reward_{name}": values_NG.mean() for name, values_NG in rewarded.items()},
            "spread": unequal_N.float().mean(),
            "unsupported": each(lambda written, known: n_unsupported(written, known)).mean(),
            "inconsistent": 1 - each(consistent).mean(),
        }


def n_unsupported(written: WrittenChain, known: Known) -> int:
    """Statements of a chain that the measurements of its window do not bear out."""
    return sum(not each.holds for each in statements_of(written, known.window))
