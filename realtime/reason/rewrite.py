"""Writes an argument again that contradicts what its chain found, or concludes another label than was judged.

    [ evidence | both texts | state <label> … <coarse> ─┬─ first argument, greedy: contradicts
                                                        ├─ another  ┐
                                                        ├─ another  │ decoded in step, in one KV cache under a mask
                                                        └─ another  ┘

A small model sometimes argues from other emotions than those that its own texts name, or as if there were no conflict.
Or it ends with another label than the one that it was given to argue for; it is then less often right. Greedy decoding
gives only one argument, so several others are sampled from the model, from the same state. Those that agree with the
texts and conclude the judged label are kept, and the likeliest of them replaces the first argument: the judgement
stays, the reasons change. Where there is none, the first one stands; if it contradicts, the answer is `unsure`. Every
word comes from the model, and any other chain is not touched. The answer to a person's own question may name any label.

Where tokens are guessed (`phrases.py`), others are sampled one after the other, and the first that agrees is taken.
A pass then reads several tokens of one argument in place of one of each, and most often few arguments are needed. One
is broken off as soon as a section of it contradicts.

A live chain has a limit of wall time for this, since a slow machine may need longer than anybody waits. What is whole
by then counts. A recording has none, so that its words do not depend on the machine.

The sampling is seeded, so that a chain which is decoded a second time has the same words.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from realtime.model.fused import FusedLanguageModel, KVCache
from realtime.model.tokenizer import Vocabulary
from realtime.reason import prompt
from realtime.reason.batched_decoder import BatchedDecoder
from realtime.reason.chain import read_answer
from realtime.reason.consistency import contradictions
from realtime.reason.decode import SECTION_SLOTS, write
from realtime.reason.parts import ARGUED, BegunPart, ChainPart, LabelledWindow
from realtime.reason.rows import ChainRow
from realtime.records import Rewritten

logger = logging.getLogger(__name__)

N_ARGUMENTS = 8
"Arguments that are sampled. With 8, one that holds was found for 165 of nano's 167 that contradicted (`train/LOG.md`)."
N_DRAWN = 16
"Arguments that are sampled one after the other at most. Most are broken off after a few tokens."
TEMPERATURE = 1.0
"At 1.5 nano also wrote words that do not exist. Such an argument contradicts nothing, and would be taken."
SEED = 18


@dataclass(frozen=True)
class Argument:
    """The sections of an argument, and its probability."""

    sections: Mapping[str, str]
    log_p: float = 0.0
    "Log-probability of the tokens that were sampled, where several are compared."


class Limit:
    """A limit of wall time from now on; None is none."""

    def __init__(self, now_s: Callable[[], float], within_s: float | None) -> None:
        self._now_s = now_s
        self._until_s = None if within_s is None else now_s() + within_s

    @property
    def passed(self) -> bool:
        return self._until_s is not None and self._now_s() >= self._until_s


def contradicts(sections: Mapping[str, str], labels: Sequence[str]) -> bool:
    """Whether an argument contradicts the texts before it. What one says against its label branch is no fault of it."""
    return bool(contradictions(sections, labels, {}, given_both=True))


def strays(labelled: LabelledWindow, sections: Mapping[str, str]) -> bool:
    """Whether the answer is another label than the one that was judged. Answers to a person's own question are not."""
    concluded = read_answer(sections["answer"], labelled.question.labels).label
    return labelled.question.put is None and concluded not in (None, labelled.argued_for)


class Rewriter:
    """Replaces contradicting arguments of all sessions. Only the model worker's thread may call it."""

    def __init__(
        self,
        language: FusedLanguageModel,
        decoder: BatchedDecoder,
        vocabulary: Vocabulary,
        *,
        now_s: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._language = language
        self._decoder = decoder
        self._vocabulary = vocabulary
        self._now_s = now_s

    def settle(
        self,
        labelled: LabelledWindow,
        part: ChainPart,
        begun: BegunPart,
        sections: dict[str, str],
        within_s: float | None = None,
    ) -> Generator[None, None, Rewritten]:
        """Put another argument into `sections` where the one that is there contradicts, or strays from what was judged.

        `part` was written last, from `begun`. It yields after each decode step, so that other work is not held up, and
        gives up `within_s` after it began.
        """
        if part is not ARGUED or not (contradicts(sections, labelled.question.labels) or strays(labelled, sections)):
            return "no"
        limit = Limit(self._now_s, within_s)
        better = yield from self.rewritten(labelled, part, begun, sections, limit)
        sections |= better or {}
        return "yes" if better else "late" if limit.passed else "in vain"

    def rewritten(
        self, labelled: LabelledWindow, part: ChainPart, begun: BegunPart, sections: Mapping[str, str], limit: Limit
    ) -> Generator[None, None, dict[str, str] | None]:
        """Another argument that agrees with the chain's texts and concludes the judged label, or None.

        To a person's own question it gives the same label as the first one, or none, as that did. Arguments with the
        same answer, word for word, are preferred; among equals the likeliest is taken.
        """
        labels = labelled.question.labels
        concluded = labelled.argued_for if strays(labelled, sections) else read_answer(sections["answer"], labels).label

        def holds(each: Argument) -> bool:
            agrees = not contradicts({**sections, **each.sections}, labels)
            return agrees and read_answer(each.sections["answer"], labels).label == concluded

        try:
            if self._decoder.guesses:
                texts = {name: text for name, text in sections.items() if name not in part.sections}
                found = yield from self.drawn_until(holds, labelled, part, begun, texts, limit)
            else:
                found = yield from self.arguments(labelled, part, begun, limit)
        except torch.OutOfMemoryError:
            logger.warning("no room to write an argument again; the first one stands")
            return None
        holding = [each for each in found if holds(each)]
        if not holding:
            return None
        return dict(max(holding, key=lambda each: (each.sections["answer"] == sections["answer"], each.log_p)).sections)

    def drawn_until(
        self,
        holds: Callable[[Argument], bool],
        labelled: LabelledWindow,
        part: ChainPart,
        begun: BegunPart,
        texts: Mapping[str, str],
        limit: Limit,
    ) -> Generator[None, None, list[Argument]]:
        """Sample arguments one after the other until one holds, at most `N_DRAWN`. Returns those that are whole."""
        whole: list[Argument] = []
        for number in range(N_DRAWN):
            if limit.passed:
                break
            sections: dict[str, str] = {}
            slots_N = torch.arange(begun.n_before, device=begun.cache.keys_LHSD.device)
            slot = self._decoder.open_slot(
                begun.cache.copy(slots_N, n_more=len(begun.beginning) + SECTION_SLOTS * len(part.sections)),
                next_position=begun.next_position,
                draw=SEED + number,
            )
            written = write(self._vocabulary, slot, begun.beginning, part.sections, labelled.openings, None, sections)
            try:
                for _ in written:
                    if limit.passed or contradicts({**texts, **sections}, labelled.question.labels):
                        break
                    yield
                else:
                    whole.append(Argument(sections))
                    if holds(whole[-1]):
                        break
            finally:
                written.close()
                slot.close()
        return whole

    @torch.inference_mode()
    def arguments(
        self, labelled: LabelledWindow, part: ChainPart, begun: BegunPart, limit: Limit
    ) -> Generator[None, None, list[Argument]]:
        """Sample `N_ARGUMENTS` arguments, all from the state in which the part began. Returns those that are whole."""
        language, n = self._language, N_ARGUMENTS
        device = language.embeddings_VD.device
        n_more = len(begun.beginning) + n * SECTION_SLOTS * len(part.sections)
        cache = begun.cache.copy(torch.arange(begun.n_before, device=device), n_more=n_more)
        position = begun.next_position + len(begun.beginning)
        x = language.embed(begun.beginning)
        hidden = language.extend(x, *language.text_rotary(begun.next_position, len(begun.beginning)), cache)
        logits_NV = language.logits(hidden[-1:]).expand(n, -1)
        end_of_turn = self._vocabulary.id_of(prompt.END_OF_TURN)
        rows = [
            ChainRow(self._vocabulary, end_of_turn, labelled.openings, deque(), deque(part.sections)) for _ in range(n)
        ]
        tree = Tree(cache, n)
        draw = torch.Generator().manual_seed(SEED)
        log_p, going = [0.0] * n, list(range(n))
        while going and not limit.passed:
            log_p_NV = torch.log_softmax(logits_NV.float(), dim=-1).cpu()
            drawn = torch.multinomial((log_p_NV / TEMPERATURE).softmax(-1), 1, generator=draw)[:, 0].tolist()
            stepping, tokens = [], []
            for place, (row, token) in enumerate(zip(going, drawn, strict=True)):
                free = not rows[row].forced
                chosen = rows[row].next_token(token)
                log_p[row] += float(log_p_NV[place, token]) if free else 0.0
                if not rows[row].done:
                    assert chosen is not None
                    stepping.append(row)
                    tokens.append(chosen)
            going = stepping
            if going:
                mask = tree.grown(going)
                cos, sin = language.text_rotary_at([position] * len(going))
                logits_NV = language.logits(language.extend(language.embed(tokens), cos, sin, cache, mask))
                position += 1
                yield
        return [Argument(row.sections, each) for row, each in zip(rows, log_p, strict=True) if row.done]


class Tree:
    """Which slots of one KV cache each of several continuations attends to: those in use before, and its own."""

    def __init__(self, cache: KVCache, n_rows: int) -> None:
        self._cache = cache
        self._sees_NS = torch.zeros(n_rows, cache.n_slots, dtype=torch.bool, device=cache.keys_LHSD.device)
        self._sees_NS[:, : cache.n_used] = True

    def grown(self, rows: Sequence[int]) -> Tensor:
        """(R, slots) mask for the next token of each of these rows."""
        first = self._cache.n_used
        self._sees_NS[rows, range(first, first + len(rows))] = True
        return self._sees_NS[rows, : first + len(rows)]
