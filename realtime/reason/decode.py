"""Writing a chain: greedy decoding of one window's branch, a few tokens a step."""

from __future__ import annotations

from collections.abc import Iterator

from realtime.model.tokenizer import Vocabulary
from realtime.reason import prompt
from realtime.reason.batched_decoder import DecodeSlot
from realtime.reason.chain import SectionText

TOKENS_PER_STEP = 4
"Between two steps the worker looks whether someone's label is due, and the page is told what is new."


class Decoder:
    """Continues the cache of its slot. Everything in it is seen by every new token, so that no mask is needed."""

    def __init__(self, vocabulary: Vocabulary, slot: DecodeSlot) -> None:
        """The slot may know the first token already, where its cache ends with the tag of the first section."""
        self._vocabulary = vocabulary
        self._slot = slot
        self._end_of_turn = vocabulary.id_of(prompt.END_OF_TURN)
        self.n_decoded = 0

    @property
    def ready(self) -> bool:
        """Whether the next token is known."""
        return self._slot.next_token() is not None

    def feed(self, ids: list[int]) -> None:
        """Append given tokens in one pass."""
        self._slot.prefill(ids)

    def section(self, section: SectionText, n_tokens: int, then: list[int]) -> Iterator[str]:
        """Decode until the section is closed; yields the text that is settled, the first word as soon as it is there.

        After every other token it yields nothing, an empty text: a moment for other chains, whose tokens are read
        together with this one's (`together.py`). Closes the section itself after `n_tokens`. The tokens `then`, which
        open what follows, are read in the same pass as the last one of this section.
        """
        ids: list[int] = []
        waiting, n_steps = "", 0
        while len(ids) < n_tokens:
            token = self._slot.next_token()
            assert token is not None, "the opening tag is read first"
            if token == self._end_of_turn:
                break
            ids.append(token)
            self.n_decoded += 1
            waiting += section.update(self._vocabulary.text(ids))
            # A section that is closed needs no other word of itself: its last token goes with what follows.
            if section.closed:
                break
            self._slot.append(token)
            n_steps += 1
            if waiting and (n_steps >= TOKENS_PER_STEP or self.n_decoded <= TOKENS_PER_STEP):
                yield waiting
                waiting, n_steps = "", 0
            else:
                yield ""
        last = [ids[-1]] if section.closed else self._vocabulary.ids(section.closing)
        if not section.closed:
            waiting += section.finish(self._vocabulary.text(ids))
        if then:
            self.feed([*last, *then])
        if waiting:
            yield waiting
