"""The label branches of a window by the plain modules, in one pass, without a ring, a KV cache or anything fused.

    [ prompt prefix | evidence | branch a b c … | branch a b c … | branch a b c … ]

It is slow. It is the reference that tests compare the fast paths with, and what calibration is fitted on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from realtime.model.thinker import EmoThinker
from realtime.model.tokenizer import Vocabulary
from realtime.reason import prompt
from realtime.reason.branches import HIDDEN, branch_names, label_scores, state_text
from realtime.reason.sequence import Evidence, branch_mask, text_positions
from realtime.records import Label, Window


@dataclass(frozen=True)
class PlainReading:
    """A window as the plain modules read it."""

    evidence: Evidence
    label: Label


@dataclass(frozen=True)
class LabelBranch:
    """A branch that asks for a label."""

    name: str
    hidden: str | None
    "The modality that its mask hides."
    ids: list[int]


def plain_scores(
    model: EmoThinker, vocabulary: Vocabulary, evidence: Evidence, window: Window, question: prompt.Question
) -> dict[str, dict[str, float]]:
    """For each label branch, the log-score of each label of the question."""
    branches = [
        LabelBranch(name, HIDDEN[name], vocabulary.ids(state_text(window, name, prompt.LABEL_TAG)))
        for name in branch_names(window)
    ]
    label_ids = [vocabulary.ids(label) for label in question.labels]
    x_TD, positions_3T, mask_TT, ends = _layout(model, evidence, branches, label_ids)
    hidden_TD = model.thinker.model(x_TD[None], positions_3T[:, None], mask_TT)[0]
    n_tails = sum(len(ids) - 1 for ids in label_ids)
    scores = {}
    for branch, end in zip(branches, ends, strict=True):
        rows = hidden_TD[end : end + 1 + n_tails]
        log_p = torch.log_softmax(model.thinker.lm_head(rows).float(), dim=-1).cpu()
        scores[branch.name] = label_scores(log_p, question.labels, label_ids)
    return scores


def _layout(
    model: EmoThinker, evidence: Evidence, branches: Sequence[LabelBranch], label_ids: Sequence[list[int]]
) -> tuple[Tensor, Tensor, Tensor, list[int]]:
    """Embeddings (T, D), positions (3, T), mask (T, T) of everything, and the last prompt token of each branch.

    Each branch is followed by the label words without their last token, each hidden from the others.
    """
    device = model.device
    parts, positions = [evidence.x_ND], [evidence.positions_3N]
    n_evidence = parts[0].shape[0]
    tails = [ids[:-1] for ids in label_ids]
    n_branch = sum(len(branch.ids) + sum(map(len, tails)) for branch in branches)
    mask = torch.zeros(n_evidence + n_branch, n_evidence + n_branch, dtype=torch.bool)
    mask[:n_evidence, :n_evidence] = evidence.mask(ring=model.config.emotion.ring)
    at, ends = n_evidence, []
    for branch in branches:
        n = len(branch.ids)
        seen = branch_mask(evidence, n, hidden=branch.hidden)
        mask[at : at + n, :n_evidence] = seen[:, :n_evidence]
        mask[at : at + n, at : at + n] = seen[:, n_evidence:]
        ends.append(at + n - 1)
        ids, place = list(branch.ids), [text_positions(n, evidence.next_position)]
        tail_at = at + n
        for tail in tails:
            m = len(tail)
            rows = slice(tail_at, tail_at + m)
            mask[rows, : at + n] = mask[at + n - 1, : at + n]
            mask[rows, rows] = torch.ones(m, m, dtype=torch.bool).tril()
            ids += tail
            place.append(text_positions(m, evidence.next_position + n))
            tail_at += m
        parts.append(model.embed(torch.tensor(ids, device=device)))
        positions.append(torch.cat(place, 1))
        at = tail_at
    return torch.cat(parts), torch.cat(positions, 1).to(device), mask.to(device), ends
