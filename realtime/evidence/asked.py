"""A session's question as one model reads it: text for its selectors, and the ring whose prefix ends with it."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from realtime.records import Question
from realtime.roles import EvidenceRing


class AskedQuestion:
    """The question that is asked now."""

    def __init__(
        self,
        query: Callable[[Question], Tensor],
        question: Question,
        open_ring: Callable[[Question], EvidenceRing | None],
    ) -> None:
        """`query` embeds a question, (Q, D). `open_ring` opens the session's evidence ring, if there is one."""
        self._query, self._open_ring, self._question = query, open_ring, question
        self.text_QD = query(question)
        "(Q, D) embeddings of the question, to which the selectors attend."
        self.ring = open_ring(question)

    def set(self, question: Question) -> None:
        """Ask another one from now on.

        It needs another prompt prefix, so another ring, or none where the model leaves that question to another one.
        Until a new ring holds a whole window, windows are prefilled as a whole.
        """
        self.text_QD = self._query(question)
        if question != self._question:
            self.close()
            self.ring, self._question = self._open_ring(question), question

    def close(self) -> None:
        """Free the ring."""
        if self.ring is not None:
            self.ring.close()
