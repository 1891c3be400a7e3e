"""Many windows answered together: for evaluation and calibration, where throughput counts and nobody is waiting.

Gives what `Reasoner` gives window by window (`tests/train/test_batch.py` holds them together): every row has its own
evidence, mask and positions; all rows decode in step, a finished row idles.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from realtime.loading import LoadedModel
from realtime.model.language import Slots
from realtime.model.tokenizer import Vocabulary
from realtime.reason import prompt
from realtime.reason.chain import SectionText
from realtime.reason.stream import ANSWER_TOKENS, CHAIN_SLOTS, SECTION_TOKENS, n_faces
from realtime.records import Label, Window


@dataclass
class Row:
    """The state of one chain being written: what is forced next, and the section it is in."""

    vocabulary: Vocabulary
    end_of_turn: int | None
    forced: deque[int]
    sections: dict[str, str] = field(default_factory=dict)
    ids: list[int] = field(default_factory=list)
    names: deque[str] = field(default_factory=lambda: deque(prompt.SECTIONS))
    section: SectionText | None = None

    def __post_init__(self) -> None:
        self._open_next()

    @property
    def finished(self) -> bool:
        return self.section is None

    def next_token(self, best: int) -> int:
        """The token to feed: a forced one, or the model's best, which is then read."""
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
            self.forced.extend(self.vocabulary.ids(f"<{self.section.name}>"))


@torch.inference_mode()
def chains(model: LoadedModel, windows: Sequence[Window], ask: prompt.Ask) -> tuple[list[Label], list[dict[str, str]]]:
    """Fast labels and the sections of every window's chain."""
    reasoner, weights = model.thinker, model.weights
    vocabulary, device = reasoner.vocabulary, weights.device
    readings = [reasoner.read(window, ask) for window in windows]
    longest = max(reading.n_used for reading in readings)
    n_slots, n_rows = longest + CHAIN_SLOTS, len(windows)
    memory = Slots(weights.config.text, n_slots, dtype=weights.dtype, device=device, n_rows=n_rows)
    visible = torch.zeros(n_rows, n_slots, dtype=torch.bool, device=device)
    for index, reading in enumerate(readings):
        n = reading.n_used
        memory.keys_LBHSD[:, index, :, :n] = reading.memory.keys_LBHSD[:, 0, :, :n]
        memory.values_LBHSD[:, index, :, :n] = reading.memory.values_LBHSD[:, 0, :, :n]
        visible[index, :n] = reading.visible[:n]
    rows = [Row(vocabulary, vocabulary.id_of(prompt.END_OF_TURN), deque(state_ids(vocabulary, w))) for w in windows]
    positions = torch.tensor([reading.evidence.next_position for reading in readings], device=device)
    best = [0] * n_rows
    for step in range(CHAIN_SLOTS):
        if all(row.finished and not row.forced for row in rows):
            break
        tokens = torch.tensor([row.next_token(token) for row, token in zip(rows, best, strict=True)], device=device)
        slot = longest + step
        visible[:, slot] = True
        at: Tensor = (positions + step).expand(3, n_rows)[:, :, None]
        hidden = weights.thinker.model(
            weights.embed(tokens)[:, None], at, visible[:, None, None], memory, torch.tensor([slot], device=device)
        )
        best = weights.thinker.lm_head(hidden[:, 0]).argmax(-1).tolist()
    return [reading.label for reading in readings], [row.sections for row in rows]


def state_ids(vocabulary: Vocabulary, window: Window) -> list[int]:
    return vocabulary.ids(
        prompt.branch_text(
            n_faces=n_faces(window), has_picture=bool(window.frames), has_speech=bool(window.speech), opening=""
        )
    )
