"""A session's evidence ring (`roles.EvidenceRing`): its KV-cache ring, its question, and which evidence is in it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace

import torch

from realtime.model.config import EmotionConfig
from realtime.model.fused import FusedLanguageModel, KVCache
from realtime.model.thinker import EmoThinker
from realtime.model.tokenizer import Vocabulary
from realtime.reason import prompt
from realtime.reason.branches import WindowCache
from realtime.reason.kv_ring import BESIDE_PER_S, KEPT_S, KVCacheRing, PlacedChunk
from realtime.reason.sequence import (
    READ_AT_S,
    Chunk,
    frame_chunk,
    frame_time,
    origin_of,
    speech_chunk,
    speech_time,
    stored_tokens,
)
from realtime.records import FrameEvidence, SpeechEvidence, Window

_numbers: Iterator[int] = itertools.count(1)
TOKEN_PX = 28
MAX_PUT_OFF = 2 * KEPT_S
"Frames and utterances that may wait to be prefilled; the ring holds no more. The oldest goes first."


def ring_tokens(emotion: EmotionConfig) -> int:
    """Tokens of evidence that a session's ring holds."""
    return KEPT_S * ((emotion.frame_px // TOKEN_PX) ** 2 + BESIDE_PER_S)


class SessionRing:
    """Prefills evidence as it comes and builds the KV caches of windows from it."""

    def __init__(
        self,
        model: EmoThinker,
        language: FusedLanguageModel,
        vocabulary: Vocabulary,
        question: prompt.Question,
        *,
        closed: Callable[[int], object],
        later: bool = False,
    ) -> None:
        """`closed` is called with the ring's number when the session closes it.

        With `later`, evidence is prefilled when a window needs it, or before, by what `put_off` returns.
        """
        self.number = next(_numbers)
        self.question = question
        self._model = model
        self._vocabulary = vocabulary
        self._closed = closed
        prefix_ids = vocabulary.ids(prompt.prefix_text(model.config.emotion.prompt, question))
        self._base = len(prefix_ids)
        prefix = model.embed(torch.tensor(prefix_ids, device=model.device))
        self.ring = KVCacheRing(language, prefix, n_tokens=ring_tokens(model.config.emotion))
        self._read_at = self._base + round(READ_AT_S * model.config.position_id_per_seconds)
        self._next = 0
        self._later = later
        self._put_off: dict[int, Chunk] = {}
        "Evidence to prefill, oldest first."

    def close(self) -> None:
        """Free the ring."""
        self._put_off.clear()
        self._closed(self.number)

    def put_off(self) -> Callable[[], None] | None:
        """The work that was put off, for a job of its own; None where there is none."""
        return self._catch_up if self._put_off else None

    @torch.inference_mode()
    def _catch_up(self) -> None:
        while self._put_off:
            number = next(iter(self._put_off))
            self.ring.append(number, self._put_off.pop(number))

    def _append(self, chunk: Chunk) -> int:
        self._next += 1
        if self._later:
            self._put_off[self._next] = chunk
            if len(self._put_off) > MAX_PUT_OFF:
                self._put_off.pop(next(iter(self._put_off)))
        else:
            self.ring.append(self._next, chunk)
        return self._next

    def add_frame(self, frame: FrameEvidence) -> FrameEvidence:
        """Prefill a frame; returns it with `ring` and `number` set."""
        chunk = frame_chunk(
            self._model,
            self._vocabulary,
            frame,
            stored_tokens(self._model, frame),
            base=self._base,
            origin_s=frame.at_s - READ_AT_S,
        )
        return replace(frame, ring=self.number, number=self._append(chunk))

    def add_speech(self, speech: SpeechEvidence) -> SpeechEvidence:
        """Prefill an utterance; returns it with `ring` and `number` set."""
        chunk = speech_chunk(
            self._model,
            self._vocabulary,
            speech,
            stored_tokens(self._model, speech),
            base=self._base,
            origin_s=speech.start_s - READ_AT_S,
        )
        return replace(speech, ring=self.number, number=self._append(chunk))

    def again(self, frame: FrameEvidence) -> FrameEvidence:
        """The same for a frame that shows what an earlier one showed. Its keys and values are used again."""
        if frame.ring != self.number:
            return self.add_frame(frame)
        there = frame.number in self._put_off or self.ring.touch(frame.number)
        return frame if there else self.add_frame(frame)

    def forget(self, evidence: FrameEvidence | SpeechEvidence) -> None:
        """Free the slots of evidence that turned out to be none."""
        if evidence.ring == self.number and self._put_off.pop(evidence.number, None) is None:
            self.ring.forget(evidence.number)

    def window_cache(self, window: Window, *, n_more: int) -> WindowCache | None:
        """The window's KV cache with `n_more` free slots after it.

        Returns None where some of the window's evidence is not in this ring, or not any more.
        """
        self._catch_up()
        origin_s, base = origin_of(window), self._base
        timed: list[tuple[FrameEvidence | SpeechEvidence, int]]
        timed = [(part, frame_time(self._model, part, base=base, origin_s=origin_s)) for part in window.frames]
        timed += [(part, speech_time(self._model, part, base=base, origin_s=origin_s)) for part in window.speech]
        places, parts, next_position = [], [], base
        for part, t in timed:
            chunk = self.ring.chunk(part.number) if part.ring == self.number else None
            if chunk is None:
                return None
            place = PlacedChunk(part.number, t - self._read_at)
            places.append(place)
            parts.append((chunk.modality, chunk.slots_N.shape[0]))
            next_position = max(next_position, chunk.last_position(place.shift) + 1)
        n_slots = base + sum(n for _, n in parts) + n_more
        cache = KVCache(self._model.config.text, n_slots, dtype=self._model.dtype, device=self._model.device)
        self.ring.copy_window(places, cache)
        return WindowCache(cache, base, tuple(parts), next_position)
