"""The model in training: EmoThinker as it serves, with a forward that gives the loss of annotated windows."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from realtime.model.thinker import EmoThinker
from realtime.model.tokenizer import Vocabulary
from realtime.reason.branches import n_faces, told_before
from realtime.reason.prompt import Question
from realtime.records import Window
from train.tuning.layout import IGNORED, Example, Layout
from train.tuning.layout import Sequence as Laid


def recompute(model: EmoThinker) -> None:
    """Gradient checkpointing: layers keep their inputs alone and are computed again on the way back."""
    for layer in model.thinker.model.layers:
        layer.forward = partial(checkpoint, layer.forward, use_reentrant=False)


class Trainee(nn.Module):
    """`net` is an EmoThinker, or peft's cover over one."""

    def __init__(
        self, net: nn.Module, vocabulary: Vocabulary, *, label_share: float = 0.5, cues_off: float = 0.05
    ) -> None:
        super().__init__()
        self.net = net
        self._layout: list[Layout] = []  # a list: the graphs in it hold modules that `net` registers already
        self._vocabulary = vocabulary
        self._options = {"label_share": label_share, "cues_off": cues_off}

    @property
    def thinker(self) -> EmoThinker:
        model = self.net.get_base_model() if hasattr(self.net, "get_base_model") else self.net
        assert isinstance(model, EmoThinker)
        return model

    @property
    def layout(self) -> Layout:
        if not self._layout:
            self._layout.append(Layout(self.thinker, self._vocabulary, **self._options))
        return self._layout[0]

    def forward(self, examples: Sequence[Example]) -> dict[str, Tensor]:
        """`loss`, and its parts for the curves: `chain` and `label`, each per example."""
        laid = self.laid_out(examples)
        hidden = self.hidden(laid)
        rows, targets, weights, is_label = [], [], [], []
        for index, sequence in enumerate(laid):
            at = torch.nonzero(sequence.targets_T != IGNORED)[:, 0]
            rows.append(hidden[index, at.to(hidden.device)])
            targets.append(sequence.targets_T[at])
            weights.append(sequence.weights_T[at])
            is_label.append(at < sequence.chain_from - 1)
        # Only places that carry loss reach the head: a vocabulary's width times all evidence would not fit.
        logits = self.thinker.thinker.lm_head(torch.cat(rows)).float()
        device = logits.device
        each = F.cross_entropy(logits, torch.cat(targets).to(device), reduction="none")
        each = each * torch.cat(weights).to(device) / len(laid)
        label = torch.cat(is_label).to(device)
        return {"loss": each.sum(), "chain": each[~label].sum().detach(), "label": each[label].sum().detach()}

    def laid_out(self, examples: Sequence[Example]) -> list[Laid]:
        """Windows with their chains. What a chain is told of a first look is the model's own, as it is by now."""
        asked = [self.layout.asked(example) for example in examples]
        looks: list[dict[str, tuple[str, ...]]] = [{}] * len(examples)
        if self.thinker.config.emotion.first_look:
            with torch.no_grad():
                looks = self.first_looks(asked, [example.perceived.window for example in examples])
        return [self.layout.with_chain(a, e, looked) for a, e, looked in zip(asked, examples, looks, strict=True)]

    def first_looks(self, asked: Sequence[Laid], windows: Sequence[Window]) -> list[dict[str, tuple[str, ...]]]:
        """What chains are told of the likeliest label of each branch, by its first token."""
        hidden, labels = self.hidden(asked), Question().labels
        first = [self._vocabulary.ids(label)[0] for label in labels]
        looks = []
        for row, (one, window) in enumerate(zip(asked, windows, strict=True)):
            scores = self.thinker.thinker.lm_head(hidden[row, list(one.label_rows.values())])[:, first]
            best = dict(zip(one.label_rows, (labels[index] for index in scores.argmax(1).tolist()), strict=True))
            looks.append(told_before(best, has_face=n_faces(window) > 0, has_speech=bool(window.speech)))
        return looks

    def hidden(self, laid: Sequence[Laid]) -> Tensor:
        """(B, T, D) of sequences padded to the longest."""
        longest = max(sequence.n_tokens for sequence in laid)
        x = torch.stack([F.pad(s.x_TD, (0, 0, 0, longest - s.n_tokens)) for s in laid])
        positions = torch.stack([F.pad(s.positions_3T, (0, longest - s.n_tokens)) for s in laid], 1)
        mask = torch.zeros(len(laid), 1, longest, longest, dtype=torch.bool)
        for row, sequence in enumerate(laid):
            n = sequence.n_tokens
            mask[row, 0, :n, :n] = sequence.mask_TT
            mask[row, 0, n:, 0] = True  # padding must see something, or its softmax is NaN
        language = self.thinker.thinker.model
        return language(x, positions.to(x.device), mask.to(x.device))  # type: ignore[no-any-return]
