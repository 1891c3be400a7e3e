"""Has a language model write a summary from measured statements, and tells it only where they bear it out.

What a draft says is compared with the statements (`check.py`). One that does not hold is written again, once,
with sampled words. Where that does not hold either there is no summary by the model.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence

from realtime.model.fused import FusedLanguageModel, KVCache
from realtime.model.tokenizer import Vocabulary
from realtime.reason import prompt
from realtime.reason.batched_decoder import BatchedDecoder
from realtime.records import Summary
from realtime.summary.check import holds

N_TOKENS = 160
"Longest draft: a few sentences. One that has not ended by then is none."
N_PREFILLED = 32
"Tokens of the prompt that are read in one step. A label waits for one step at most."
DRAWS = (None, 18)
"The first draft is greedy; the second is sampled with this seed."
TASK = (
    "Write these notes about a person as a short text of three to five sentences. Keep their words, numbers and times, "
    "add nothing, and leave out what matters least.\n"
)


class SummaryWriter:
    """Of all sessions (`roles.Summariser`). Only the model worker's thread may call it."""

    def __init__(self, language: FusedLanguageModel, decoder: BatchedDecoder, vocabulary: Vocabulary) -> None:
        self._language = language
        self._decoder = decoder
        self._vocabulary = vocabulary

    def summarise(self, statements: Sequence[str], labels: Sequence[str]) -> Generator[Summary | None, None, None]:
        """The steps of a summary: the first draft that holds, if any does. Other work can come in between."""
        notes = "".join(f"- {statement}\n" for statement in statements)
        ids = self._vocabulary.ids(
            f"<|im_start|>user\n{TASK}{notes}{prompt.END_OF_TURN}\n<|im_start|>assistant\n",
        )
        for draw in DRAWS:
            draft = yield from self._draft(ids, draw)
            if holds(draft, statements, labels):
                yield Summary(draft)
                return
        yield Summary(None)

    def _draft(self, ids: list[int], draw: int | None) -> Generator[None, None, str]:
        """What the model writes after these tokens; empty where it does not come to an end."""
        device, dtype = self._language.embeddings_VD.device, self._language.embeddings_VD.dtype
        cache = KVCache(self._language.config, len(ids) + N_TOKENS + 1, dtype=dtype, device=device)
        slot = self._decoder.open_slot(cache, next_position=0, n_more=len(ids) + N_TOKENS, draw=draw)
        end, written = self._vocabulary.id_of(prompt.END_OF_TURN), list[int]()
        try:
            for start in range(0, len(ids), N_PREFILLED):
                slot.prefill(ids[start : start + N_PREFILLED])
                yield
            while (token := slot.next_token()) != end:
                assert token is not None, "the prompt is prefilled first"
                if len(written) == N_TOKENS:
                    return ""
                written.append(token)
                slot.append(token)
                yield
        finally:
            slot.close()
        return self._vocabulary.text(written).strip()
