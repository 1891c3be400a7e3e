"""Lay out a window as one training sequence: evidence, label branches and chain, for one forward pass.

    prompt prefix | chunks | state <label> WORD | (face) state <label> WORD | (voice) state <label> WORD | the chain

This module lays out nano's drawn windows and annotated clips. Serving's own functions place the evidence, hide a
modality from a branch and write the branches' text, so that training cannot drift from serving. No branch sees another.
The chain is one branch for each of its parts (`realtime/reason/parts.py`). An evidence-first chain has `voice found`
and `face found`, then `judged` (the labels once more) and `chain` (the argument), which see the first two.
Tokens that serving gives carry no loss: the prompt prefix, the state, opening tags and first-look labels.

`tests/train/test_layout.py` and `tests/train/test_tuning.py` compare the label branches with what `Reasoner` answers
for the same window.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from realtime.model.config import ChainForm
from realtime.model.thinker import EmoThinker
from realtime.model.tokenizer import Vocabulary
from realtime.reason import prompt
from realtime.reason.branches import HIDDEN, openings, state_text
from realtime.reason.parts import FOUND, ChainPart, asked_again, parts_of
from realtime.reason.sequence import Evidence, WindowTokens, assemble, branch_mask, text_positions
from realtime.reason.with_words import Added, voice_with_words
from realtime.records import Window

IGNORED = -100
"Target of a place whose next token carries no loss."
CHAIN = "chain"
JUDGED = "judged"
LABEL_WEIGHTS = {"both": 1.0, "face": 0.5, "voice": 0.5, JUDGED: 1.0}
"Weight of each label branch in the loss."


@dataclass(frozen=True)
class TrainingBranch:
    """The tokens of a label branch or of the chain."""

    name: str
    "`both`, `face`, `voice`, `judged`, `chain`, or one that `found` names."
    ids: list[int]
    weights: list[float]
    "Weight of each token in the loss; 0 where serving gives the token."
    n_state: int
    "Number of tokens that come before the first decoded or scored one."
    sections: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    "Section → its first token (the opening tag) and the one after its last (the closing tag). Parts of a chain only."
    hidden: str | None = None
    "The modality that its mask hides."
    follows: tuple[str, ...] = ()
    "Branches that it sees and comes after."
    added: Added | None = None
    "What voice and words together add to its first tokens, where the checkpoint has that (`methods/correlation.py`)."
    after: str = ""
    "The section of the chain that it comes after; it sees nothing later of the chain. Empty: it sees the whole chain."


@dataclass(frozen=True)
class TrainingSequence:
    """A window laid out, with the branches that were appended so far."""

    evidence: Evidence
    x_TD: Tensor
    positions_3T: Tensor
    mask_TT: Tensor
    "Bool, True where a token (row) sees another (column)."
    targets_T: Tensor
    "The next token at each place, `IGNORED` where it carries no loss."
    weights_T: Tensor
    "Weight of that next token in the loss."
    spans: Mapping[str, tuple[int, int]]
    "Branch → its first place and the one after its last."
    label_rows: Mapping[str, int]
    "Label branch → the place whose next token is the label's first."
    sections: Mapping[str, tuple[int, int]]
    "Section of the chain → its first place and the one after its last."
    newest_ND: Tensor | None = None
    "Tokens of the newest utterance."
    label_shares: Mapping[str, Tensor] = field(default_factory=dict)
    "Label branch → shares (n labels) that it learns instead of a word."

    @property
    def n_tokens(self) -> int:
        return self.x_TD.shape[0]

    def of_chain(self, places_N: Tensor) -> Tensor:
        """(N,) bool: which of these places are in a part of the chain, and not in a label branch."""
        within = torch.zeros(self.n_tokens, dtype=torch.bool)
        for name, (first, end) in self.spans.items():
            within[first:end] = name not in LABEL_WEIGHTS
        return within[places_N]


def lay_out(
    model: EmoThinker, vocabulary: Vocabulary, window: Window, tokens: WindowTokens, question: prompt.Question
) -> TrainingSequence:
    """Lay out prompt prefix and evidence, without a branch yet."""
    evidence = assemble(model, vocabulary, window, question, tokens)
    x_TD = evidence.x_ND
    return TrainingSequence(
        evidence=evidence,
        x_TD=x_TD,
        positions_3T=evidence.positions_3N,
        mask_TT=evidence.mask(ring=model.config.emotion.ring),
        targets_T=torch.full(x_TD.shape[:1], IGNORED),
        weights_T=torch.zeros(x_TD.shape[0]),
        spans={},
        label_rows={},
        sections={},
        newest_ND=tokens.speech[-1].x_ND if tokens.speech else None,
    )


def append(model: EmoThinker, sequence: TrainingSequence, branch: TrainingBranch) -> TrainingSequence:
    """Append a branch, which sees the evidence, the branches that it follows, and itself."""
    start, n = sequence.n_tokens, len(branch.ids)
    ids = torch.tensor(branch.ids)
    seen = branch_mask(sequence.evidence, n, hidden=branch.hidden)
    n_evidence = seen.shape[1] - n
    mask = torch.zeros(start + n, start + n, dtype=torch.bool)
    mask[:start, :start] = sequence.mask_TT
    mask[start:, :n_evidence] = seen[:, :n_evidence]
    mask[start:, start:] = seen[:, n_evidence:]
    position = sequence.evidence.next_position
    for name in branch.follows:
        first, end = sequence.spans[name]
        if branch.after and name == CHAIN:
            end = sequence.sections[branch.after][1]
        mask[start:, first:end] = True
        position = max(position, int(sequence.positions_3T[0, end - 1]) + 1)
    x_ND = model.embed(ids.to(model.device))
    if branch.added is not None:
        x_ND = branch.added.onto(x_ND)
    weights = torch.tensor(branch.weights)
    learnt = torch.where(weights > 0, ids, IGNORED)
    labelled = branch.name in LABEL_WEIGHTS
    return replace(
        sequence,
        x_TD=torch.cat([sequence.x_TD, x_ND]),
        positions_3T=torch.cat([sequence.positions_3T, text_positions(n, position)], 1),
        mask_TT=mask,
        targets_T=torch.cat([sequence.targets_T, learnt[1:], torch.tensor([IGNORED])]),
        weights_T=torch.cat([sequence.weights_T, weights[1:], torch.zeros(1)]),
        spans={**sequence.spans, branch.name: (start, start + n)},
        label_rows={**sequence.label_rows, **({branch.name: start + branch.n_state - 1} if labelled else {})},
        sections={
            **sequence.sections,
            **{name: (start + first, start + end) for name, (first, end) in branch.sections.items()},
        },
    )


def label_branch(
    vocabulary: Vocabulary, window: Window, name: str, word: str = "", weight: float = 1.0
) -> TrainingBranch:
    """The branch that asks for a label, and the `word` that answers it. Without a word it carries no loss.

    A label counts as one statement, so each of its tokens has the branch's weight times `weight`.
    """
    state = vocabulary.ids(state_text(window, name, prompt.LABEL_TAG))
    return _label_branch(vocabulary, name, state, word, weight, HIDDEN[name])


def judged_branch(vocabulary: Vocabulary, window: Window, word: str = "", weight: float = 1.0) -> TrainingBranch:
    """The label branch of both modalities once more, after what was found, and with what was said."""
    state = vocabulary.ids(state_text(window, "both", prompt.LABEL_TAG, judging=True))
    branch = _label_branch(vocabulary, JUDGED, state, word, weight, None)
    return replace(branch, follows=tuple(found(part) for part in FOUND))


def _label_branch(
    vocabulary: Vocabulary, name: str, state: list[int], word: str, weight: float, hidden: str | None
) -> TrainingBranch:
    answer = vocabulary.ids(word) if word else []
    weights = [0.0] * len(state) + [weight * LABEL_WEIGHTS[name]] * len(answer)
    return TrainingBranch(name, state + answer, weights, len(state), hidden=hidden)


def found(part: ChainPart) -> str:
    """The name of the branch with a part that is written from one modality."""
    return f"{part.name} found"


def chain_branches(
    vocabulary: Vocabulary,
    window: Window,
    sections: Mapping[str, str],
    looked: Mapping[str, tuple[str, ...]],
    form: ChainForm,
    question: prompt.Question | None = None,
    *,
    measured: bool = False,
) -> list[TrainingBranch]:
    """The chain as it is decoded: serving gives the state and what opens a section, the model writes the rest.

    `looked`: section → the labels that the chain is told before it (`branches.labels_before_sections`). An
    evidence-first chain is told what was judged before its argument. The chain is given `question` as serving gives it,
    and with `measured` what was measured, in words.
    """
    asked = asked_again(form, question) if question is not None else ""
    given, parts = openings(vocabulary, looked, asked), parts_of(form)
    branches = []
    for part in parts:
        ids = vocabulary.ids(part.state(window, measured=measured))
        weights, n_state = [0.0] * len(ids), len(ids)
        spans = {}
        for name in part.sections:
            opening = given[name]
            tag, written = vocabulary.ids(f"<{name}>"), vocabulary.ids(f"{sections[name]}</{name}>")
            first = len(ids) + len(opening) - len(tag)
            ids += opening + written
            weights += [0.0] * len(opening) + [1.0] * len(written)
            spans[name] = (first, len(ids))
        if part is parts[-1]:
            end = vocabulary.ids(prompt.END_OF_TURN)
            follows = tuple(found(each) for each in parts[:-1])
            weights += [1.0] * len(end)
            branches.append(TrainingBranch(CHAIN, ids + end, weights, n_state, spans, follows=follows))
        else:
            branches.append(TrainingBranch(found(part), ids, weights, n_state, spans, HIDDEN[part.name]))
    return branches


def added_by_words(
    model: EmoThinker, vocabulary: Vocabulary, window: Window, sequence: TrainingSequence
) -> Added | None:
    """What the newest voice and its words add to the judgement and to the argument, which begin with one state."""
    n_state = len(vocabulary.ids(state_text(window, judging=True)))
    return voice_with_words(model, vocabulary, window, n_state=n_state, newest_ND=sequence.newest_ND)


def asked_branch(vocabulary: Vocabulary, name: str, asked: str, answer: str) -> TrainingBranch:
    """Another question to a window whose evidence-first chain is laid out, and the beginning of its answer."""
    opening, written = openings(vocabulary, {}, asked)["answer"], vocabulary.ids(answer)
    weights = [0.0] * len(opening) + [1.0] * len(written)
    follows = (*(found(part) for part in FOUND), CHAIN)
    return TrainingBranch(name, opening + written, weights, len(opening), follows=follows, after="fine")


def hidden_states(model: EmoThinker, sequences: Sequence[TrainingSequence]) -> Tensor:
    """(B, T, D) hidden states of the sequences, padded to the longest."""
    longest = max(sequence.n_tokens for sequence in sequences)
    x = torch.stack([F.pad(s.x_TD, (0, 0, 0, longest - s.n_tokens)) for s in sequences])
    positions = torch.stack([F.pad(s.positions_3T, (0, longest - s.n_tokens)) for s in sequences], 1)
    mask = torch.zeros(len(sequences), 1, longest, longest, dtype=torch.bool)
    for row, sequence in enumerate(sequences):
        n = sequence.n_tokens
        mask[row, 0, :n, :n] = sequence.mask_TT
        mask[row, 0, n:, 0] = True  # padding must see something, or its softmax is NaN
    return model.thinker.model(x, positions.to(x.device), mask.to(x.device))  # type: ignore[no-any-return]


@dataclass(frozen=True)
class TokenLosses:
    """Cross entropy of every token of a batch that carries loss, not yet weighted."""

    nll_N: Tensor
    weights_N: Tensor
    is_chain_N: Tensor
    "Bool; the others are label words."


def token_losses(model: EmoThinker, hidden_BTD: Tensor, sequences: Sequence[TrainingSequence]) -> TokenLosses:
    """Run the head on places that carry loss alone. Logits of all evidence would not fit into memory."""
    rows, targets, weights, is_chain = [], [], [], []
    for index, sequence in enumerate(sequences):
        at = torch.nonzero(sequence.targets_T != IGNORED)[:, 0]
        rows.append(hidden_BTD[index, at.to(hidden_BTD.device)])
        targets.append(sequence.targets_T[at])
        weights.append(sequence.weights_T[at])
        is_chain.append(sequence.of_chain(at))
    logits = model.thinker.lm_head(torch.cat(rows)).float()
    device = logits.device
    nll = F.cross_entropy(logits, torch.cat(targets).to(device), reduction="none")
    return TokenLosses(nll, torch.cat(weights).to(device), torch.cat(is_chain).to(device))
