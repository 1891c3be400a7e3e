"""Answers many windows as one batch, for evaluation and calibration, where throughput counts and not latency.

The answers equal those of `Reasoner` window by window (`tests/reason/test_reasoner.py` compares them). Every row has
its own evidence, mask and positions. A part of the chain (`realtime/reason/parts.py`) is written for all rows, which
decode in step; a finished row idles.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from realtime.engine.pair import PairedModel, for_labels
from realtime.model.config import TextConfig
from realtime.model.fused import KVCache
from realtime.model.language import BatchKVCache
from realtime.model.thinker import EmoThinker
from realtime.reason import prompt
from realtime.reason.decode import CHAIN_SLOTS, finished
from realtime.reason.parts import BegunPart, ChainPart, LabelledWindow
from realtime.reason.rows import ChainRow
from realtime.records import Answer, AnsweredFrom, Label, Rewritten, Window
from train.evaluation.served import Served, writer_of

GROW_SLOTS = 160
"Key/value slots added at a time; most chains need no more."


@dataclass(frozen=True)
class ChainAnswer:
    """One window's fast label, its chain, and what that comes to."""

    label: Label
    sections: dict[str, str]
    judged: Mapping[str, float]
    "Log-probability of each label after the texts of an evidence-first chain; empty for other forms."
    answer: Answer
    probabilities: dict[str, float]
    "Of the labels that were asked for; the label before the chain and `judged` are of those that the model knows."
    rewritten: Rewritten
    n_withheld: int = 0
    "How often its measurements kept it from beginning a statement."
    told: str = ""
    "The section `answer` as a person reads it; `sections` has it as the model wrote it."
    answered_from: AnsweredFrom | None = None
    "What the answer to a person's question is from."


@torch.inference_mode()
def chains(model: Served, windows: Sequence[Window], ask: prompt.Question) -> list[ChainAnswer]:
    """The fast labels and chains of all windows, in order, from the model that a session would have them from."""
    if isinstance(model, PairedModel) and model.thinker.answers(ask):
        return chains(model.labeller, [for_labels(window) for window in windows], ask)
    reasoner, labelled = writer_of(model).thinker, [model.thinker.label_window(window, ask) for window in windows]
    sections: list[dict[str, str]] = [{} for _ in windows]
    rewritten: list[Rewritten] = []
    for part in reasoner.chain.parts:
        begun = write_part(model, labelled, part, sections)
        rewritten = [
            finished(reasoner.rewriter.settle(each, part, start, told))
            for each, start, told in zip(labelled, begun, sections, strict=True)
        ]
    return [answered(model, *each) for each in zip(labelled, sections, rewritten, strict=True)]


@torch.inference_mode()
def write_part(
    model: Served, labelled: Sequence[LabelledWindow], part: ChainPart, sections: Sequence[dict[str, str]]
) -> list[BegunPart]:
    """Write a part of every chain into `sections`, which hold the parts before it. Returns where each began."""
    reasoner, weights = writer_of(model).thinker, writer_of(model).weights
    begun = [reasoner.chain.begin(each, part, told) for each, told in zip(labelled, sections, strict=True)]
    end_of_turn = reasoner.vocabulary.id_of(prompt.END_OF_TURN)
    rows = [
        ChainRow(
            reasoner.vocabulary,
            end_of_turn,
            each.openings,
            deque(start.beginning),
            deque(part.sections),
            reasoner.chain.bounds(each, part),
        )
        for each, start in zip(labelled, begun, strict=True)
    ]
    caches = decode(weights, begun, rows)
    for each, start, row, cache, told in zip(labelled, begun, rows, caches, sections, strict=True):
        told |= row.sections
        each.n_withheld += row.bounds.n_withheld if row.bounds else 0
        reasoner.chain.finish(each, part, start, cache)
    return begun


def answered(model: Served, labelled: LabelledWindow, sections: dict[str, str], rewritten: Rewritten) -> ChainAnswer:
    concluded = writer_of(model).thinker.conclude(labelled, sections)
    told_sections, answered_from = writer_of(model).thinker.answered(labelled, sections, concluded)
    return ChainAnswer(
        labelled.label,
        sections,
        labelled.judged,
        concluded.answer,
        concluded.told,
        rewritten,
        labelled.n_withheld,
        told_sections["answer"],
        answered_from,
    )


def likeliest(logits_BV: Tensor) -> list[int]:
    """The likeliest next token of each row."""
    tokens: list[int] = logits_BV.argmax(-1).tolist()
    return tokens


def decode(
    weights: EmoThinker,
    begun: Sequence[BegunPart],
    rows: Sequence[ChainRow],
    choose: Callable[[Tensor], list[int]] = likeliest,
) -> list[KVCache]:
    """Decode the rows to their ends; returns the KV cache of each, with all that it appended.

    `choose` gets the logits (B, V) and chooses the next token of each row.
    """
    config, device, n_rows = weights.config.text, weights.device, len(rows)
    longest = max(each.cache.n_used for each in begun)
    cache = BatchKVCache(config, longest + GROW_SLOTS, dtype=weights.dtype, device=device, n_rows=n_rows)
    visible = torch.zeros(n_rows, longest + GROW_SLOTS, dtype=torch.bool, device=device)
    best, logits_BV = [], None
    for index, each in enumerate(begun):
        n = each.cache.n_used
        cache.keys_LBHSD[:, index, :, :n] = each.cache.keys_LHSD[:, :, :n]
        cache.values_LBHSD[:, index, :, :n] = each.cache.values_LHSD[:, :, :n]
        visible[index, :n] = True
        best.append(int(each.first_logits_V.argmax()) if each.first_logits_V is not None else 0)
    positions = torch.tensor([each.next_position for each in begun], device=device)
    for step in range(CHAIN_SLOTS):
        logits = [None] * n_rows if logits_BV is None else logits_BV
        tokens = [
            None if row.done else row.next_token(token, logits_V)
            for row, token, logits_V in zip(rows, best, logits, strict=True)
        ]
        if all(token is None for token in tokens):
            break
        slot = longest + step
        if slot == visible.shape[1]:
            cache = grown(cache, config)
            visible = F.pad(visible, (0, GROW_SLOTS))
        visible[:, slot] = True
        for row, token in zip(rows, tokens, strict=True):
            row.n_appended += token is not None
        at: Tensor = (positions + step).expand(3, n_rows)[:, :, None]
        x = weights.embed(torch.tensor([token or 0 for token in tokens], device=device))[:, None]
        slots = torch.tensor([slot], device=device)
        hidden = weights.thinker.model(x, at, visible[:, None, None], cache, slots)
        logits_BV = weights.thinker.lm_head(hidden[:, 0])
        best = choose(logits_BV)
    return [of_row(cache, index, each, row, longest) for index, (each, row) in enumerate(zip(begun, rows, strict=True))]


def of_row(cache: BatchKVCache, index: int, begun: BegunPart, row: ChainRow, longest: int) -> KVCache:
    """One row's KV cache. What it appended lies after the longest row's evidence, and may be followed by idle steps."""
    used = [*range(begun.n_before), *range(longest, longest + row.n_appended)]
    whole = KVCache.of(cache.keys_LBHSD[:, index], cache.values_LBHSD[:, index])
    return whole.copy(torch.tensor(used, device=cache.keys_LBHSD.device), n_more=0)


def grown(cache: BatchKVCache, config: TextConfig) -> BatchKVCache:
    """A copy with more slots. Most chains are short, and attention reads all slots, so that few are made at first."""
    keys = cache.keys_LBHSD
    n_rows, n_slots = keys.shape[1], keys.shape[3]
    wider = BatchKVCache(config, n_slots + GROW_SLOTS, dtype=keys.dtype, device=keys.device, n_rows=n_rows)
    wider.keys_LBHSD[..., :n_slots, :] = keys
    wider.values_LBHSD[..., :n_slots, :] = cache.values_LBHSD
    return wider
