"""A session's evidence ring (`roles.EvidenceRing`): its KV-cache ring, its question, and which evidence is in it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import torch

from realtime.model.config import EmotionConfig
from realtime.model.fused import FusedLanguageModel, KVCache
from realtime.model.thinker import EmoThinker
from realtime.model.tokenizer import Vocabulary
from realtime.reason import prompt
from realtime.reason.appending import Append, Appends
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
LEAST_APART_S = 1.5
"""Time between two frames that are read where evidence is put off. Such a model's chains were learnt with a picture
every 2 s, and each one that is read costs a third of a second or more."""
UNREAD = -1
"The number of a frame that was too near to the one before."


def ring_tokens(emotion: EmotionConfig) -> int:
    """Tokens of evidence that a session's ring holds."""
    return KEPT_S * ((emotion.frame_px // TOKEN_PX) ** 2 + BESIDE_PER_S)


def apart(frames: Sequence[FrameEvidence]) -> tuple[FrameEvidence, ...]:
    """Those frames that are read where evidence is put off."""
    read: list[FrameEvidence] = []
    for frame in frames:
        if not read or frame.at_s - read[-1].at_s >= LEAST_APART_S:
            read.append(frame)
    return tuple(read)


class SessionRing:
    """Prefills evidence as it comes and builds the KV caches of windows from it."""

    def __init__(
        self,
        model: EmoThinker,
        language: FusedLanguageModel,
        vocabulary: Vocabulary,
        question: prompt.Question,
        *,
        appends: Appends,
        closed: Callable[[int], object],
        later: bool = False,
    ) -> None:
        """`appends` are those of the model, in which chunks of several rings may be gathered.

        `closed` is called with the ring's number when the session closes it.

        With `later`, evidence is prefilled when a window needs it, or before, by what `put_off` returns. Of frames that
        are nearer than `LEAST_APART_S`, the later one is then not read.
        """
        self.number = next(_numbers)
        self.question = question
        self._model = model
        self._vocabulary = vocabulary
        self._appends = appends
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
        self._newest_s = -math.inf
        "Time of the newest frame that is read."

    def close(self) -> None:
        """Free the ring."""
        self._put_off.clear()
        self._closed(self.number)

    def put_off(self) -> Callable[[], None] | None:
        """A piece of the work that was put off, the oldest frame or utterance; None where there is none."""
        return self._read_oldest if self._put_off else None

    def _read_oldest(self) -> None:
        # The session may have been closed since the piece was asked for.
        if self._put_off:
            self._read_now(next(iter(self._put_off)))

    def pieces(self, window: Window) -> Iterator[None]:
        """Prefill what was put off of this window, a frame or an utterance at a time. What is older is given up."""
        parts: tuple[FrameEvidence | SpeechEvidence, ...] = (*window.frames, *window.speech)
        wanted = [part.number for part in parts if part.ring == self.number and part.number != UNREAD]
        for number in [number for number in self._put_off if wanted and number < min(wanted)]:
            del self._put_off[number]
        for number in wanted:
            if number in self._put_off:
                self._read_now(number)
                yield

    @torch.inference_mode()
    def _read_now(self, number: int) -> None:
        self.ring.append(number, self._put_off.pop(number))

    def _append(self, chunk: Chunk) -> int:
        self._next += 1
        if self._later:
            self._put_off[self._next] = chunk
            if len(self._put_off) > MAX_PUT_OFF:
                self._put_off.pop(next(iter(self._put_off)))
        else:
            self._appends.add(Append(self.number, self.ring, self._next, chunk))
        return self._next

    def add_frame(self, frame: FrameEvidence) -> FrameEvidence:
        """Prefill a frame; returns it with `ring` and `number` set. One that is not read has the number `UNREAD`."""
        if not self._read(frame.at_s):
            return replace(frame, ring=self.number, number=UNREAD)
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
        there = frame.ring == self.number and (frame.number in self._put_off or self.ring.touch(frame.number))
        if not there:
            return self.add_frame(frame)
        return frame if self._read(frame.at_s) else replace(frame, number=UNREAD)

    def _read(self, at_s: float) -> bool:
        """Whether a frame of this time is read, which then is the newest one."""
        if self._later and at_s - self._newest_s < LEAST_APART_S:
            return False
        self._newest_s = at_s
        return True

    def forget(self, evidence: FrameEvidence | SpeechEvidence) -> None:
        """Free the slots of evidence that turned out to be none."""
        if evidence.ring == self.number and self._put_off.pop(evidence.number, None) is None:
            self.ring.forget(evidence.number)

    def window_cache(self, window: Window, *, n_more: int) -> WindowCache | None:
        """The window's KV cache with `n_more` free slots after it.

        Returns None where some of the window's evidence is not in this ring, or not any more, or none of its frames is
        read.
        """
        for _ in self.pieces(window):
            pass
        origin_s, base = origin_of(window), self._base
        read = [frame for frame in window.frames if frame.number != UNREAD]
        if window.frames and not read:
            return None
        timed: list[tuple[FrameEvidence | SpeechEvidence, int]]
        timed = [(part, frame_time(self._model, part, base=base, origin_s=origin_s)) for part in read]
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
