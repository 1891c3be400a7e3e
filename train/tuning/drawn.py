"""Chains that a model draws by itself, at temperature 1, and how they are laid out to be learnt from.

They are written by serving's own parts (`realtime/reason/parts.py`), all chains of a step as one batch, as in
evaluation (`train/evaluation/batch.py`). No bound keeps a chain to its evidence, and no argument is written again: what
the model would do by itself is what it is rewarded for.

The judgement is drawn, too, from what the model gives to each label after its texts. Serving takes the likeliest there.
Then the chains of seven windows in eight had one answer, and nothing could be learnt from the votes.

`tests/train/test_reinforced.py` compares the log-probabilities that tokens were drawn with and those of the same tokens
in the sequence that is learnt from.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import torch
from peft import LoraConfig, PeftModel, get_peft_model_state_dict
from torch import Tensor

from realtime.errors import BadSettings
from realtime.model.adapters import unmerged
from realtime.model.fused import FusedLanguageModel, LayerAdapter
from realtime.model.thinker import EmoThinker
from realtime.model.tokenizer import Vocabulary
from realtime.reason import prompt
from realtime.reason.branches import HIDDEN, tagged_label_ids
from realtime.reason.parts import ARGUED, FOUND, BegunPart, ChainPart, LabelledWindow, labels_before_argument
from realtime.reason.reasoner import Reasoner
from realtime.reason.rows import ChainRow
from realtime.reason.sequence import Tokens, WindowTokens
from realtime.reason.with_words import Added
from realtime.records import FrameEvidence, SpeechEvidence, Window
from train.evaluation.batch import decode
from train.layout import CHAIN, JUDGED, TrainingBranch, found, judged_branch

E = TypeVar("E", FrameEvidence, SpeechEvidence)


@dataclass
class DrawnRow(ChainRow):
    """A part of a chain while it is drawn: all its tokens, and with which log-probability each was drawn."""

    tokens: list[int] = field(default_factory=list)
    log_p: list[float | None] = field(default_factory=list)
    "None where the token was given."
    n_cut: int = 0
    "Sections that the model did not close by their own tags."

    def next_token(self, best: int, logits_V: Tensor | None = None) -> int | None:
        is_given = bool(self.forced)
        token = super().next_token(best, logits_V)
        if token is not None:
            # One that ends a section in another way than by its own tag is left out, and its tag is given.
            drawn = not is_given and token == best and logits_V is not None
            self.tokens.append(token)
            self.log_p.append(float(torch.log_softmax(logits_V.float(), -1)[token]) if drawn else None)  # type: ignore[union-attr]
        return token

    def _store(self) -> None:
        assert self.section is not None
        self.n_cut += not self.section.well_closed
        super()._store()


@dataclass(frozen=True)
class DrawnChain:
    """A chain that was drawn."""

    sections: Mapping[str, str]
    branches: tuple[TrainingBranch, ...]
    "Its parts. Tokens that the model drew have the weight 1."
    log_p: tuple[float, ...]
    """With which log-probability each of these was drawn, in the order of the branches. NaN for the tokens of the label
    that was judged, of which only the whole is known."""
    argued_for: str | None
    "The label that was drawn as its judgement."
    judged: float | None
    "Log-probability of that label; None where there was nothing to judge by."
    n_cut: int


class ChainSampler:
    """Draws chains with a peft model as it is at this step. Its weights are in memory once."""

    def __init__(self, net: PeftModel, model: EmoThinker, vocabulary: Vocabulary, language: FusedLanguageModel) -> None:
        """`language` is the fused form of the language model in `net`, made before it was wrapped.

        Raises BadSettings for a model whose chains judge before they have found anything.
        """
        form = model.config.emotion.chain_form
        if form != "evidence_first":
            raise BadSettings(
                f"train.rl is for chains of the form evidence_first, and this model's are {form}.",
                "Begin from a model that train.warmup and train.lora trained.",
            )
        self._net, self._model, self._vocabulary = net, model, vocabulary
        self._adapter = self._now()
        self._reasoner = Reasoner(model, vocabulary, language=language.adapted(self._adapter))

    def _now(self) -> list[LayerAdapter]:
        settings = self._net.peft_config["default"]
        assert isinstance(settings, LoraConfig)
        return unmerged(
            get_peft_model_state_dict(self._net, save_embedding_layers=False),
            self._model.config.text,
            scale=settings.lora_alpha / settings.r,
            dtype=self._model.dtype,
            device=self._model.device,
            told="The trained part",
        )

    @torch.no_grad()
    def refresh(self) -> None:
        """Take over the low-rank part as it is now. Before the first token, evidence and labels are read with it."""
        for kept, now in zip(self._adapter, self._now(), strict=True):
            for name in LayerAdapter.__dataclass_fields__:
                for old, new in zip(getattr(kept, name) or (), getattr(now, name) or (), strict=True):
                    old.copy_(new)

    @torch.inference_mode()
    def draw(self, windows: Sequence[Window], question: prompt.Question, n: int, seed: int) -> list[list[DrawnChain]]:
        """`n` chains of each window, whose evidence holds the tokens that the model makes now."""
        parts, was_training = self._reasoner.chain.parts, self._net.training
        read = [self._reasoner.label_window(window, question) for window in windows]
        labelled = [copied(each) for each in read for _ in range(n)]
        sections: list[dict[str, str]] = [{} for _ in labelled]
        written: list[list[DrawnRow]] = [[] for _ in labelled]
        generator = torch.Generator(self._model.device).manual_seed(seed)

        def choose(logits_BV: Tensor) -> list[int]:
            tokens: list[int] = torch.multinomial(logits_BV.float().softmax(-1), 1, generator=generator)[:, 0].tolist()
            return tokens

        self._net.eval()
        for part in parts:
            begun = [self._begun(each, part, so_far, choose) for each, so_far in zip(labelled, sections, strict=True)]
            rows = [self._row(each, start, part) for each, start in zip(labelled, begun, strict=True)]
            caches = decode(self._model, begun, rows, choose)
            for place, (each, start, row, cache) in enumerate(zip(labelled, begun, rows, caches, strict=True)):
                sections[place] |= row.sections
                self._reasoner.chain.finish(each, part, start, cache)
                written[place].append(row)
        self._net.train(was_training)
        chains = [self._chain(*each) for each in zip(labelled, sections, written, strict=True)]
        return [chains[first : first + n] for first in range(0, len(chains), n)]

    def _begun(
        self,
        labelled: LabelledWindow,
        part: ChainPart,
        sections: Mapping[str, str],
        choose: Callable[[Tensor], list[int]],
    ) -> BegunPart:
        """The part as serving begins it, but for an argument, whose label is drawn."""
        begun = self._reasoner.chain.begin(labelled, part, sections)
        if part is not ARGUED or labelled.argued_for in (None, prompt.UNSURE):
            return begun
        likeliest = self._opening(labelled, sections)
        scores_L = torch.tensor(list(labelled.judged.values()), device=self._model.device)
        labelled.argued_for = list(labelled.judged)[choose(scores_L[None])[0]]
        state = begun.beginning[: len(begun.beginning) - len(likeliest)]
        return replace(begun, beginning=state + self._opening(labelled, sections))

    def _opening(self, labelled: LabelledWindow, sections: Mapping[str, str]) -> list[int]:
        """The tokens that are given before an argument, after its state."""
        assert labelled.argued_for is not None
        told = labels_before_argument(labelled.argued_for, sections, labelled.question.labels)
        return tagged_label_ids(self._vocabulary, told) + labelled.openings[ARGUED.sections[0]]

    def _row(self, labelled: LabelledWindow, begun: BegunPart, part: ChainPart) -> DrawnRow:
        end_of_turn = self._vocabulary.id_of(prompt.END_OF_TURN)
        names = deque(part.sections)
        return DrawnRow(self._vocabulary, end_of_turn, labelled.openings, deque(begun.beginning), names)

    def _chain(self, labelled: LabelledWindow, sections: Mapping[str, str], written: Sequence[DrawnRow]) -> DrawnChain:
        parts = self._reasoner.chain.parts
        branches = [self._branch(labelled, part, row) for part, row in zip(parts, written, strict=True)]
        log_p = [[value for value in row.log_p if value is not None] for row in written]
        judged = labelled.judged.get(labelled.argued_for or "")
        if judged is not None:
            branch = judged_branch(self._vocabulary, labelled.window, labelled.argued_for or "")
            branches.insert(len(FOUND), branch)
            log_p.insert(len(FOUND), [math.nan for weight in branch.weights if weight])
        return DrawnChain(
            sections,
            tuple(branches),
            tuple(value for part in log_p for value in part),
            labelled.argued_for,
            judged,
            sum(row.n_cut for row in written),
        )

    def _branch(self, labelled: LabelledWindow, part: ChainPart, row: DrawnRow) -> TrainingBranch:
        measured = self._model.config.emotion.measured
        state = self._vocabulary.ids(part.state(labelled.window, measured=measured))
        # The judgement left the state of an argument in the KV cache.
        before = [] if row.tokens[: len(state)] == state else state
        ids = before + row.tokens
        weights = [0.0] * len(before) + [0.0 if value is None else 1.0 for value in row.log_p]
        if part is ARGUED:
            follows = tuple(found(each) for each in FOUND)
            return TrainingBranch(CHAIN, ids, weights, len(state), follows=follows)
        return TrainingBranch(found(part), ids, weights, len(state), hidden=HIDDEN[part.name])


def copied(labelled: LabelledWindow) -> LabelledWindow:
    """The same labelled window with a KV cache of its own, which one chain continues."""
    cache = labelled.cached.cache
    slots_N = torch.arange(cache.n_used, device=cache.keys_LHSD.device)
    own = cache.copy(slots_N, n_more=cache.n_slots - cache.n_used)
    return replace(labelled, cached=replace(labelled.cached, cache=own))


def numbered(chain: DrawnChain, number: int, added: Added | None) -> list[TrainingBranch]:
    """The branches of one of several chains that are laid out beside each other.

    `added` is what voice and words together add to judgement and argument (`layout.added_by_words`).
    """
    return [
        replace(
            each,
            name=named(number, each.name),
            follows=tuple(named(number, name) for name in each.follows),
            added=added if each.name in (CHAIN, JUDGED) else None,
        )
        for each in chain.branches
    ]


def named(number: int, branch: str) -> str:
    """The name of a branch of a chain that was drawn."""
    return f"drawn {number} {branch}"


def with_tokens(window: Window, tokens: WindowTokens) -> Window:
    """The window whose evidence holds these tokens, as perception would have made them."""
    return replace(
        window,
        frames=tuple(_holding(*each) for each in zip(window.frames, tokens.frames, strict=True)),
        speech=tuple(_holding(*each) for each in zip(window.speech, tokens.speech, strict=True)),
    )


def _holding(evidence: E, tokens: Tokens) -> E:
    x_ND = tokens.x_ND.detach().float().cpu().numpy()
    return replace(evidence, tokens_ND=x_ND, positions_3N=tokens.offsets_3N.numpy(), ring=0)
