"""Greedy decoding of one chain, a few tokens per step."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import TypeVar

from realtime.model.tokenizer import Vocabulary
from realtime.reason import prompt
from realtime.reason.batched_decoder import DecodeSlot
from realtime.reason.bounds import Bounds
from realtime.reason.chain import SectionText
from realtime.records import ReasonDelta

T = TypeVar("T")

SECTION_TOKENS = 96
"Longest section. It is then closed by the decoder, since a small model may repeat itself."
ANSWER_TOKENS = 24
"Longest `answer` section."
SECTION_SLOTS = SECTION_TOKENS + 24
"KV-cache slots of a section with its tags, and with what is inserted before it."
CHAIN_SLOTS = len(prompt.SECTIONS) * SECTION_SLOTS
"KV-cache slots of a chain."
TOKENS_PER_STEP = 4
"Tokens between two deltas. Between two steps the scheduler may run another job, such as a fast label that is due."


class Decoder:
    """Decodes one chain in its slot. Every new token attends to the whole KV cache, so no mask is needed."""

    def __init__(self, vocabulary: Vocabulary, slot: DecodeSlot, bounds: Bounds | None = None) -> None:
        """The slot may know the first token already: then its KV cache ends with the tag of the first section.

        `bounds` bind what is written to its evidence.
        """
        self._vocabulary = vocabulary
        self._bounds = bounds
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

    def section(self, section: SectionText, then: list[int] | None) -> Iterator[str]:
        """Decode until the section is closed, and yield its settled text. The first word is yielded at once.

        After a token that adds no settled text it yields an empty string. Other chains can then append their tokens,
        which are decoded together with this one's (`batched_decoder.py`). A section that is too long is closed here.
        The tokens `then`, which open the next section, are prefilled in one pass with the last token of this one. With
        None nothing follows, and the last token is not prefilled.
        """
        n_tokens = ANSWER_TOKENS if section.name == "answer" else SECTION_TOKENS
        ids: list[int] = []
        waiting, n_steps = "", 0
        while len(ids) < n_tokens:
            token = self._slot.next_token()
            assert token is not None, "the opening tag is prefilled first"
            if token == self._end_of_turn:
                break
            if self._bounds and (others := self._bounds.in_place_of(token, section.name, section.text)):
                token = self._slot.likeliest_of(others)
            ids.append(token)
            self.n_decoded += 1
            waiting += section.update(self._vocabulary.text(ids))
            # A closed section needs no further token of its own: its last token is prefilled with the next opening.
            if section.closed:
                break
            self._slot.append(token)
            n_steps += 1
            if waiting and (n_steps >= TOKENS_PER_STEP or self.n_decoded <= TOKENS_PER_STEP):
                yield waiting
                waiting, n_steps = "", 0
            else:
                yield ""
        # Whatever ended it, what is written later reads the section's own tag.
        last = [ids[-1]] if section.well_closed else self._vocabulary.ids(section.closing)
        if not section.closed:
            waiting += section.finish(self._vocabulary.text(ids))
        if then is not None:
            self.feed([*last, *then])
        if waiting:
            yield waiting


def write(
    vocabulary: Vocabulary,
    slot: DecodeSlot,
    beginning: list[int],
    names: Sequence[str],
    openings: Mapping[str, list[int]],
    end: list[int] | None,
    into: dict[str, str],
    bounds: Bounds | None = None,
) -> Generator[ReasonDelta | None, None, int]:
    """Decode these sections in a slot, after the tokens `beginning`, and put their texts into `into`.

    `openings` opens each section but the first. `end` is prefilled after the last one, with its last token; with None
    neither is. Yields settled text, or None after a token that adds none. Returns the number of decoded tokens.
    """
    decoder = Decoder(vocabulary, slot, bounds)
    if beginning:
        decoder.feed(beginning)
    for name, following in zip(names, [*names[1:], None], strict=True):
        section = SectionText(name)
        for new in decoder.section(section, openings[following] if following else end):
            yield ReasonDelta(name, new) if new else None
        into[name] = section.text.strip()
    return decoder.n_decoded


def finished(steps: Generator[None, None, T]) -> T:
    """Run a generator to its end, and return what it returns."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
