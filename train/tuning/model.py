"""The model in training: EmoThinker as it serves, with a forward pass that gives the loss of annotated windows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from realtime.model.thinker import EmoThinker
from realtime.model.tokenizer import Vocabulary
from realtime.reason import prompt
from realtime.reason.branches import branch_names, labels_before_sections, n_faces
from realtime.reason.chain import read_answer
from realtime.reason.parts import labels_before_argument
from realtime.reason.sequence import WindowTokens
from realtime.records import Window
from train.evaluation.variants import WHOLE, Variant
from train.layout import (
    CHAIN,
    JUDGED,
    TrainingSequence,
    added_by_words,
    append,
    asked_branch,
    chain_branches,
    hidden_states,
    judged_branch,
    label_branch,
    lay_out,
    token_losses,
)
from train.tuning.action_units import SHARE, action_unit_loss, faces_of
from train.tuning.clip_tokens import ClipTokens
from train.tuning.correlation import TaughtWords
from train.tuning.data import AnnotatedWindow
from train.tuning.emotion_tokens import TaughtTokens


def recompute(model: EmoThinker) -> None:
    """Turn on gradient checkpointing: a layer keeps its input alone and is computed again in the backward pass."""
    for layer in model.thinker.model.layers:
        layer.forward = partial(checkpoint, layer.forward, use_reentrant=False)


class Trainee(nn.Module):
    """The trained module. `net` is an EmoThinker, or a peft model that wraps one."""

    def __init__(
        self,
        net: nn.Module,
        vocabulary: Vocabulary,
        *,
        label_share: float = 0.5,
        cues_off: float = 0.05,
        variant: Variant = WHOLE,
    ) -> None:
        """`label_share`: weight of the label branches' loss beside the chain's. The rest is as in `ClipTokens`."""
        super().__init__()
        self.net = net
        self._vocabulary = vocabulary
        self._label_share, self._cues_off, self._variant = label_share, cues_off, variant
        self._clip_tokens: list[ClipTokens] = []
        "A list, because the graphs in it hold modules that `net` registers already."
        self._shares: list[Tensor] = []
        "Weights of a hybrid's emotion merger since the last step."
        self._taught = TaughtTokens(self.thinker.emotion)
        self._taught_words = TaughtWords(self.thinker.emotion.correlation)
        hybrid = self.thinker.emotion.hybrid
        if hybrid is not None:
            hybrid.gate.register_forward_hook(lambda gate, given, share_B: self._shares.append(share_B.detach()))

    @property
    def thinker(self) -> EmoThinker:
        base: Callable[[], nn.Module] | None = getattr(self.net, "get_base_model", None)
        model = base() if base is not None else self.net
        assert isinstance(model, EmoThinker)
        return model

    @property
    def clip_tokens(self) -> ClipTokens:
        if not self._clip_tokens:
            self._clip_tokens.append(ClipTokens(self.thinker, cues_off=self._cues_off, variant=self._variant))
        return self._clip_tokens[0]

    def forward(self, examples: Sequence[AnnotatedWindow]) -> dict[str, Tensor]:
        """`loss`, and its parts `chain` and `label` for the curves, each as a mean over the examples.

        For a hybrid also `gate`, the mean weight of its emotion merger, where the examples have frames. For EmoChat
        also `action_units`, the loss of its agent, where they have faces, of its emotion tokens `emotion_tokens` and
        `kept` (`TaughtTokens`), and of its aggregator `correlation` (`TaughtWords`).
        """
        sequences = self.sequences(examples)
        losses = token_losses(self.thinker, hidden_states(self.thinker, sequences), sequences)
        each = losses.nll_N * losses.weights_N / len(sequences)
        chain = losses.is_chain_N
        outputs = {"loss": each.sum(), "chain": each[chain].sum().detach(), "label": each[~chain].sum().detach()}
        if self._shares:
            outputs["gate"] = torch.cat(self._shares).float().mean()
            self._shares.clear()
        agent = self.thinker.emotion.action_units
        if agent is not None and agent.codes.weight.requires_grad and (faces := faces_of(examples)):
            taught = action_unit_loss(self.thinker, faces)
            outputs |= {"loss": outputs["loss"] + SHARE * taught, "action_units": taught.detach()}
        told = self._taught.outputs() | self._taught_words.outputs()
        for name in ("emotion_tokens", "correlation"):
            outputs["loss"] = outputs["loss"] + told.get(name, 0.0)
        return outputs | {name: value.detach() for name, value in told.items()}

    def forget_gathered(self) -> None:
        """Drop what windows that were laid out since the last step left for the losses of a method's own parts."""
        self._shares.clear()
        self._taught.outputs()
        self._taught_words.outputs()

    def sequences(
        self, examples: Sequence[AnnotatedWindow], asked: Sequence[TrainingSequence] | None = None
    ) -> list[TrainingSequence]:
        """Lay out windows with their chains, after the label branches `asked` where these are laid out already.

        First-look labels are those of the model as it is at this step. What an evidence-first chain judged is what the
        annotated chain answers.
        """
        asked = [self.with_labels(example) for example in examples] if asked is None else asked
        form = self.thinker.config.emotion.chain_form
        looks: list[dict[str, tuple[str, ...]]] = [{}] * len(examples)
        if form == "evidence_first":
            labels = prompt.Question().labels
            for place, sections in enumerate(example.sections for example in examples):
                judged = read_answer(sections["answer"], labels).label or prompt.UNSURE
                looks[place] = {prompt.ARGUMENT: labels_before_argument(judged, sections, labels)}
        elif form == "first_look":
            with torch.no_grad():
                looks = self.first_looks(asked, [example.window for example in examples])
        return [self.with_chain(a, e, looked) for a, e, looked in zip(asked, examples, looks, strict=True)]

    def tokens_of(self, example: AnnotatedWindow) -> WindowTokens:
        """The tokens of a window's evidence, as the model makes them at this step."""
        model = self.thinker
        query = self._vocabulary.ids(prompt.query_text(model.config.emotion.prompt, question_of(example)))
        text_QD = model.embed(torch.tensor(query, device=model.device)).detach()
        return self.clip_tokens.make(example.perceived, text_QD, example.draw)

    def with_labels(self, example: AnnotatedWindow, tokens: WindowTokens | None = None) -> TrainingSequence:
        """Lay out evidence and label branches, from which the first look is read. None makes the tokens."""
        model, vocabulary, question = self.thinker, self._vocabulary, question_of(example)
        made = self.tokens_of(example) if tokens is None else tokens
        self._taught.of_window(example.labels)
        sequence = lay_out(model, vocabulary, example.window, made, question)
        for name in branch_names(example.window):
            word = example.labels.get(name, "")
            branch = label_branch(vocabulary, example.window, name, word, self._label_share)
            sequence = append(model, sequence, branch)
        return sequence

    def with_chain(
        self, sequence: TrainingSequence, example: AnnotatedWindow, looked: Mapping[str, tuple[str, ...]]
    ) -> TrainingSequence:
        """Append the chain, which is given the labels `looked` before its sections, and what else is asked."""
        emotion, sections = self.thinker.config.emotion, dict(example.sections)
        form = emotion.chain_form
        if example.asked is not None:
            sections["answer"] = f"{example.asked.answer}. {sections['answer']}"
        question = question_of(example)
        branches = chain_branches(
            self._vocabulary, example.window, sections, looked, form, question, measured=emotion.measured
        )
        if form == "evidence_first":
            branches += [
                asked_branch(self._vocabulary, f"asked {number}", other.question, f"{other.answer}.")
                for number, other in enumerate(example.others)
            ]
        added = added_by_words(self.thinker, self._vocabulary, example.window, sequence)
        self._taught_words.of_window(example.labels)
        n_learnt = max(1, sum(weight > 0 for branch in branches for weight in branch.weights))
        for branch in branches:
            weights = [weight / n_learnt for weight in branch.weights]
            mine = added if branch.name == CHAIN else None
            sequence = append(self.thinker, sequence, replace(branch, weights=weights, added=mine))
        if form == "evidence_first":
            word = example.labels.get(JUDGED, example.labels.get("both", ""))
            judged = judged_branch(self._vocabulary, example.window, word, self._label_share)
            sequence = append(self.thinker, sequence, replace(judged, added=added))
        return sequence

    def first_looks(
        self, asked: Sequence[TrainingSequence], windows: Sequence[Window]
    ) -> list[dict[str, tuple[str, ...]]]:
        """For each window the labels that its chain is given: the likeliest of each branch, by its first token."""
        hidden, labels = hidden_states(self.thinker, asked), prompt.Question().labels
        first = [self._vocabulary.ids(label)[0] for label in labels]
        looks = []
        for row, (one, window) in enumerate(zip(asked, windows, strict=True)):
            scores = self.thinker.thinker.lm_head(hidden[row, list(one.label_rows.values())])[:, first]
            best = dict(zip(one.label_rows, (labels[index] for index in scores.argmax(1).tolist()), strict=True))
            looks.append(labels_before_sections(best, has_face=n_faces(window) > 0, has_speech=bool(window.speech)))
        return looks


def question_of(example: AnnotatedWindow) -> prompt.Question:
    """The question that a window is asked in training."""
    return prompt.Question(query=example.asked.question if example.asked is not None else None)
