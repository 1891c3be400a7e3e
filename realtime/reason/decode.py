"""Writing a chain: greedy decoding of one window's branch, a few tokens a step."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from realtime.model.fused import TEXT_POSITIONS, FusedLanguageModel, Memory
from realtime.model.static_step import StaticStep
from realtime.model.thinker import EmoThinker
from realtime.model.tokenizer import Vocabulary
from realtime.reason import prompt
from realtime.reason.chain import SectionText

TOKENS_PER_STEP = 4
"Between two steps the worker looks whether someone's label is due, and the page is told what is new."


class Decoder:
    """Continues a memory. Everything in it is seen by every new token, so that no mask is needed."""

    def __init__(
        self,
        model: EmoThinker,
        reader: FusedLanguageModel,
        vocabulary: Vocabulary,
        memory: Memory,
        *,
        next_position: int,
        logits_V: Tensor | None = None,
        step: StaticStep | None = None,
    ) -> None:
        """`logits_V`: of what comes next, where the memory already ends with the opening tag of the first section.
        `step` decodes by a captured graph; its memory has taken over `memory`."""
        self._model = model
        self._reader = reader
        self._vocabulary = vocabulary
        self._step = step
        self._memory = memory if step is None else step.memory
        self._next_position = next_position
        self._logits_V = logits_V
        self._end_of_turn = vocabulary.id_of(prompt.END_OF_TURN)
        self.n_decoded = 0

    @property
    def ready(self) -> bool:
        """Whether the next token is known."""
        return self._logits_V is not None

    @torch.inference_mode()
    def feed(self, ids: list[int]) -> None:
        """Append given tokens in one pass."""
        if self._step is not None and len(ids) == 1 and self._next_position < TEXT_POSITIONS:
            self._logits_V = self._step.run(ids[0], self._next_position)
            self._next_position += 1
            return
        x = self._model.embed(torch.tensor(ids, device=self._model.device))
        cos, sin = self._reader.text_rotary(self._next_position, len(ids))
        hidden = self._reader.read(x, cos, sin, self._memory)
        self._logits_V = self._reader.logits(hidden[-1:])[0]
        self._next_position += len(ids)

    def section(self, section: SectionText, n_tokens: int, then: list[int]) -> Iterator[str]:
        """Decode until the section is closed; yields the text that is settled, the first word as soon as it is there.

        Closes it itself after `n_tokens`. The tokens `then`, which open what follows, are read in the same pass as the
        last one of this section.
        """
        ids: list[int] = []
        waiting, n_steps = "", 0
        while not section.closed and len(ids) < n_tokens:
            assert self._logits_V is not None, "the opening tag is read first"
            token = int(self._logits_V.argmax())
            if token == self._end_of_turn:
                break
            ids.append(token)
            self.n_decoded += 1
            waiting += section.update(self._vocabulary.text(ids))
            # A section that is closed needs no other word of itself: its last token goes with what follows.
            if not section.closed:
                self.feed([token])
            n_steps += 1
            if waiting and (n_steps >= TOKENS_PER_STEP or self.n_decoded <= TOKENS_PER_STEP):
                yield waiting
                waiting, n_steps = "", 0
        last = [ids[-1]] if section.closed else self._vocabulary.ids(section.closing)
        if not section.closed:
            waiting += section.finish(self._vocabulary.text(ids))
        if then:
            self.feed([*last, *then])
        if waiting:
            yield waiting
