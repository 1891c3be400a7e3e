"""Answers many windows as one batch, for evaluation and calibration, where throughput counts and not latency.

The answers equal those of `Reasoner` window by window (`tests/reason/test_reasoner.py` compares them). Every row has
its own evidence, mask and positions. All rows decode in step; a finished row idles.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from realtime.engine.loading import LoadedModel
from realtime.model.config import TextConfig
from realtime.model.language import BatchKVCache
from realtime.model.tokenizer import Vocabulary
from realtime.reason import prompt
from realtime.reason.chain import SectionText
from realtime.reason.reasoner import ANSWER_TOKENS, CHAIN_SLOTS, SECTION_TOKENS
from realtime.records import Label, Window

GROW_SLOTS = 160
"Key/value slots added at a time; most chains need no more."


@dataclass
class ChainRow:
    """The state of one chain while it is decoded: the tokens that are forced next, and its current section."""

    vocabulary: Vocabulary
    end_of_turn: int | None
    openings: Mapping[str, list[int]]
    "Section → the tokens that open it."
    forced: deque[int]
    sections: dict[str, str] = field(default_factory=dict)
    ids: list[int] = field(default_factory=list)
    names: deque[str] = field(default_factory=lambda: deque(prompt.SECTIONS))
    section: SectionText | None = None

    def __post_init__(self) -> None:
        self.section = SectionText(self.names.popleft())  # its opening tag ends the first forced tokens

    @property
    def finished(self) -> bool:
        return self.section is None

    def next_token(self, best: int) -> int:
        """The next token to append: a forced one, or the model's best, which is added to the section."""
        if self.forced:
            return self.forced.popleft()
        if self.section is None:
            return best
        limit = ANSWER_TOKENS if self.section.name == "answer" else SECTION_TOKENS
        if best == self.end_of_turn:
            return self._cut()
        self.ids.append(best)
        self.section.update(self.vocabulary.text(self.ids))
        if self.section.closed:
            self._store()
        elif len(self.ids) >= limit:
            self.section.finish(self.vocabulary.text(self.ids))
            self.forced.extend(self.vocabulary.ids(self.section.closing))
            self._store()
        return best

    def _cut(self) -> int:
        assert self.section is not None
        self.section.finish(self.vocabulary.text(self.ids))
        self.forced.extend(self.vocabulary.ids(self.section.closing))
        self._store()
        return self.forced.popleft()

    def _store(self) -> None:
        assert self.section is not None
        self.sections[self.section.name] = self.section.text.strip()
        self._open_next()

    def _open_next(self) -> None:
        self.ids = []
        self.section = SectionText(self.names.popleft()) if self.names else None
        if self.section is not None:
            self.forced.extend(self.openings[self.section.name])


@torch.inference_mode()
def chains(
    model: LoadedModel, windows: Sequence[Window], ask: prompt.Question
) -> tuple[list[Label], list[dict[str, str]]]:
    """The fast labels, and the sections of the chains, of all windows in order."""
    reasoner, weights = model.thinker, model.weights
    vocabulary, device = reasoner.vocabulary, weights.device
    labelled = [reasoner.label_window(window, ask) for window in windows]
    longest, n_rows = max(each.cached.cache.n_used for each in labelled), len(windows)
    cache = BatchKVCache(weights.config.text, longest + GROW_SLOTS, dtype=weights.dtype, device=device, n_rows=n_rows)
    visible = torch.zeros(n_rows, longest + GROW_SLOTS, dtype=torch.bool, device=device)
    rows, best = [], []
    for index, each in enumerate(labelled):
        n = each.cached.cache.n_used
        cache.keys_LBHSD[:, index, :, :n] = each.cached.cache.keys_LHSD[:, :, :n]
        cache.values_LBHSD[:, index, :, :n] = each.cached.cache.values_LHSD[:, :, :n]
        visible[index, :n] = True
        rows.append(ChainRow(vocabulary, vocabulary.id_of(prompt.END_OF_TURN), each.openings, deque(each.beginning)))
        best.append(int(each.chain_logits_V.argmax()) if each.chain_logits_V is not None else 0)
    positions = torch.tensor([each.chain_position for each in labelled], device=device)
    for step in range(CHAIN_SLOTS):
        if all(row.finished and not row.forced for row in rows):
            break
        slot = longest + step
        if slot == visible.shape[1]:
            cache = grown(cache, weights.config.text)
            visible = F.pad(visible, (0, GROW_SLOTS))
        tokens = torch.tensor([row.next_token(token) for row, token in zip(rows, best, strict=True)], device=device)
        visible[:, slot] = True
        at: Tensor = (positions + step).expand(3, n_rows)[:, :, None]
        hidden = weights.thinker.model(
            weights.embed(tokens)[:, None], at, visible[:, None, None], cache, torch.tensor([slot], device=device)
        )
        best = weights.thinker.lm_head(hidden[:, 0]).argmax(-1).tolist()
    return [each.label for each in labelled], [row.sections for row in rows]


def grown(cache: BatchKVCache, config: TextConfig) -> BatchKVCache:
    """A copy with more slots. Most chains are short, and attention reads all slots, so that few are made at first."""
    keys = cache.keys_LBHSD
    n_rows, n_slots = keys.shape[1], keys.shape[3]
    wider = BatchKVCache(config, n_slots + GROW_SLOTS, dtype=keys.dtype, device=keys.device, n_rows=n_rows)
    wider.keys_LBHSD[..., :n_slots, :] = keys
    wider.values_LBHSD[..., :n_slots, :] = cache.values_LBHSD
    return wider
