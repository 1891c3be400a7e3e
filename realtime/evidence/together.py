"""Frames and sounds of several sessions, encoded by the towers in one call and prefilled in one pass, on a GPU.

Frames share a call with those that are read with the same question (`roles.SeesTogether`). Sounds share one whatever
was asked, since each 2-s chunk is a row with a text of its own (`roles.HearsTogether`).

On a CPU a batch takes as long as its frames do one after the other. So there each frame has a call of its own, and only
its faces are measured in another thread; sounds are heard as they come.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence

import torch

from realtime.evidence.listen import EncodedSpeech, MeasuredSound, encoded_chunks
from realtime.evidence.perceive import MeasuredFrame, Perception
from realtime.records import FrameEvidence, SpeechSoFar, VideoFrame
from realtime.roles import GathersAppends, Perceiver
from realtime.towers.batch import SelectedTokens, SoundChunk, chunk_inputs, filled, selected, vision_inputs
from realtime.towers.choice import Towers

Look = tuple[Perceiver, VideoFrame, object]
"A session's perceiver, its frame, and what `measure` returned of it."
Sound = tuple[Perceiver, SpeechSoFar, object]
"The same of a sound."
CHUNKS_TOGETHER = 8
"Chunks in a call of the audio tower. Each number up to it that is a power of two needs a CUDA graph."

logger = logging.getLogger(__name__)


class FramesTogether:
    """Sees with the perceivers of one model. Calls block."""

    def __init__(self, towers: Towers, appends: GathersAppends, *, n_frames: int, n_threads: int) -> None:
        """`towers` and `appends` are those of the perceivers. At most `n_frames` frames share a call."""
        self._towers = towers
        self._appends = appends
        self.n_frames = n_frames
        self.n_threads = n_threads

    def measure(self, perceiver: Perceiver, frame: VideoFrame) -> object:
        """`Perception.measure`: in a thread of the caller's choice."""
        return _perception(perceiver).measure(frame)

    def see(self, looks: Sequence[Look]) -> list[FrameEvidence | Exception]:
        """The evidence of each frame, or what was raised for it. A fault of one keeps nothing from the others."""
        if self.n_frames == 1:
            return [self._finished(look, None) for look in looks]
        kept: list[SelectedTokens | None] = [None] * len(looks)
        for rows in self._groups(looks):
            # Where the call fails, each frame is encoded alone below, and those fail that cannot be.
            try:
                tokens = self._encoded([looks[row] for row in rows])
            except torch.OutOfMemoryError:
                continue
            for row, one in zip(rows, tokens, strict=True):
                kept[row] = one
        with self._appends.gathered() as failed:
            seen = [self._finished(look, tokens) for look, tokens in zip(looks, kept, strict=True)]
        return [one if isinstance(one, Exception) else failed.get((one.ring, one.number), one) for one in seen]

    def _groups(self, looks: Sequence[Look]) -> list[list[int]]:
        """Places of frames that can share a call: several, with the same question."""
        by_text: dict[bytes, list[int]] = defaultdict(list)
        for row, (perceiver, _, measured) in enumerate(looks):
            perception = _perception(perceiver)
            # A frame that is read for two models is encoded with what the towers left of it for the second.
            if isinstance(measured, MeasuredFrame) and not perception.reads_twice:
                by_text[perception.text_QD.float().cpu().numpy().tobytes()].append(row)
        return [rows for rows in by_text.values() if len(rows) > 1]

    @torch.inference_mode()
    def _encoded(self, looks: Sequence[Look]) -> list[SelectedTokens]:
        frames = [measured.input for _, _, measured in looks if isinstance(measured, MeasuredFrame)]
        inputs = vision_inputs(frames, _perception(looks[0][0]).text_QD)
        given = {name: filled(value, len(frames)) for name, value in inputs.items()}
        return selected([output[: len(frames)] for output in self._towers.vision(given)])

    @staticmethod
    def _finished(look: Look, kept: SelectedTokens | None) -> FrameEvidence | Exception:
        perceiver, frame, measured = look
        assert measured is None or isinstance(measured, MeasuredFrame)
        try:
            return _perception(perceiver).finish(frame, measured, kept)
        # Whatever is raised belongs to this frame's caller.
        except Exception as error:
            return error


class SoundsTogether:
    """Hears with the perceivers of one model. Calls block."""

    def __init__(self, towers: Towers, appends: GathersAppends, *, n_sounds: int, n_threads: int) -> None:
        """`towers` and `appends` are those of the perceivers. At most `n_sounds` sounds are heard at once."""
        self._towers = towers
        self._appends = appends
        self.n_sounds = n_sounds
        self.n_threads = n_threads

    def measure(self, perceiver: Perceiver, so_far: SpeechSoFar) -> MeasuredSound | None:
        """`Perception.measure_sound`: in any thread."""
        return _perception(perceiver).measure_sound(so_far)

    def hear_ahead(self, sounds: Sequence[Sound]) -> list[bool]:
        """Hear sounds ahead; whether each was. One that raises something is left to its own job, which raises it."""
        encoded: list[dict[bytes, EncodedSpeech]] = [{} for _ in sounds]
        missing = self._missing(sounds)
        for first in range(0, len(missing), CHUNKS_TOGETHER):
            several = missing[first : first + CHUNKS_TOGETHER]
            # Where the call fails, each sound is encoded alone below.
            try:
                made = self._encoded(several)
            except torch.OutOfMemoryError:
                continue
            for (row, _, chunk), speech in zip(several, made, strict=True):
                encoded[row][chunk.key] = speech
        with self._appends.gathered() as failed:
            heard = [self._heard(sound, chunks) for sound, chunks in zip(sounds, encoded, strict=True)]
        errors = [one if isinstance(one, Exception) else failed.get(one) if one else None for one in heard]
        for (perceiver, _, _), error in zip(sounds, errors, strict=True):
            if error is not None:
                logger.warning("a sound is heard alone, after %s: %s", type(error).__name__, error)
                _perception(perceiver).forget_ahead()
        return [error is None for error in errors]

    @staticmethod
    def _missing(sounds: Sequence[Sound]) -> list[tuple[int, Perception, SoundChunk]]:
        """The chunks that have to be encoded, each with the place of its sound."""
        missing = []
        for row, (perceiver, _, measured) in enumerate(sounds):
            perception = _perception(perceiver)
            assert isinstance(measured, MeasuredSound)
            # What is heard for two models is encoded with what the towers left of it for the second.
            if not perception.reads_twice:
                missing += [(row, perception, chunk) for chunk in perception.missing_chunks(measured)]
        return missing

    @torch.inference_mode()
    def _encoded(self, several: Sequence[tuple[int, Perception, SoundChunk]]) -> list[EncodedSpeech]:
        inputs = chunk_inputs([chunk for _, _, chunk in several], [perception.text_QD for _, perception, _ in several])
        given = {name: filled(value, len(several)) for name, value in inputs.items()}
        return encoded_chunks(inputs["n_frames"], self._towers.audio(given))

    @staticmethod
    def _heard(sound: Sound, encoded: Mapping[bytes, EncodedSpeech]) -> tuple[int, int] | Exception | None:
        """`ring` and `number` of the evidence of an utterance; None where it goes on."""
        perceiver, so_far, measured = sound
        assert isinstance(measured, MeasuredSound)
        try:
            ahead = _perception(perceiver).hear_measured(so_far, measured, encoded)
        # Whatever is raised belongs to the job of this sound, which tries again.
        except Exception as error:
            return error
        return None if ahead is None else (ahead.ring, ahead.number)


def _perception(perceiver: Perceiver) -> Perception:
    assert isinstance(perceiver, Perception), "perceivers of another model are seen with alone"
    return perceiver
