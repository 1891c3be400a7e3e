"""One part of a chain while it is decoded in step with others: the tokens forced next, and the current section.

`Decoder` (`decode.py`) decodes a chain in a slot of its own, token by token. Where many are decoded in step, as in
evaluation (`train/evaluation/batch.py`) and when an argument is written again (`rewrite.py`), each has one of these.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from realtime.model.tokenizer import Vocabulary
from realtime.reason.bounds import Bounds
from realtime.reason.chain import SectionText
from realtime.reason.decode import ANSWER_TOKENS, SECTION_TOKENS


@dataclass
class ChainRow:
    """The state of one part of a chain while it is decoded: the tokens forced next, and its current section."""

    vocabulary: Vocabulary
    end_of_turn: int | None
    openings: Mapping[str, list[int]]
    "Section → the tokens that open it."
    forced: deque[int]
    names: deque[str]
    "Sections that are not begun. The opening tag of the first of them ends the first forced tokens."
    bounds: Bounds | None = None
    "What binds its sections to their evidence. It needs the logits."
    sections: dict[str, str] = field(default_factory=dict)
    ids: list[int] = field(default_factory=list)
    section: SectionText | None = None
    n_appended: int = 0

    def __post_init__(self) -> None:
        self.section = SectionText(self.names.popleft())

    @property
    def done(self) -> bool:
        return self.section is None and not self.forced

    def next_token(self, best: int, logits_V: Tensor | None = None) -> int | None:
        """The next token to append: a forced one, or the model's best, which is added to the section.

        None where nothing is appended any more.
        """
        if self.forced:
            return self.forced.popleft()
        if self.section is None:
            return None
        limit = ANSWER_TOKENS if self.section.name == "answer" else SECTION_TOKENS
        if best == self.end_of_turn:
            return self._cut()
        if self.bounds and (others := self.bounds.in_place_of(best, self.section.name, self.section.text)):
            assert logits_V is not None
            best = max(others, key=lambda token: float(logits_V[token]))
        self.ids.append(best)
        self.section.update(self.vocabulary.text(self.ids))
        if self.section.well_closed:
            self._store()
        elif self.section.closed:
            return self._cut()
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
        self.ids = []
        self.section = SectionText(self.names.popleft()) if self.names else None
        if self.section is not None:
            self.forced.extend(self.openings[self.section.name])
