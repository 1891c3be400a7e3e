"""Turns one session's speech into evidence, with as much work as possible done before the speech is over.

While someone speaks, each 2-s chunk of sound is encoded once, when it is complete. When they pause, the utterance so
far is processed as if it had ended. If they do not go on, that is the evidence, and it was ready before the segmenter
was sure. Work done in advance is used only where processing the segment afresh would give the same: the same samples,
the same mel, the same baseline (`tests/evidence/test_listen.py`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from realtime.evidence.arousal import voice_arousal
from realtime.evidence.baseline import VoiceBaseline
from realtime.evidence.tokens import voice_measures, with_voice_cues
from realtime.evidence.voice import moves_baseline, voice_cues
from realtime.model.audio import split_chunks
from realtime.model.thinker import EmoThinker
from realtime.records import Float32, SpeechEvidence, SpeechSegment, SpeechSoFar
from realtime.roles import EvidenceRing
from realtime.towers import preprocess
from realtime.towers.batch import audio_inputs, heard
from realtime.towers.choice import Towers

MEL_FRAMES_FOR_EXPERT = 400
CHUNK_FRAMES = 200
KEPT_CHUNKS = 8
"Encoded 2-s chunks that are kept: twice as many as the longest segment has."

Submit = Callable[[Callable[[], Tensor]], Callable[[], Tensor]]
"Starts some work and returns a function that waits for its result."


def run_when_asked(work: Callable[[], Tensor]) -> Callable[[], Tensor]:
    """A `Submit` that does the work in this thread, when its result is asked for."""
    return work


@dataclass(frozen=True)
class HeardAhead:
    """An utterance that was processed before it was known to be over."""

    segment: SpeechSegment
    features_P: Float32
    relative_P: Float32
    evidence: SpeechEvidence


class Listener:
    """The speech half of a session's perception. Calls block; only one thread may make them at a time."""

    def __init__(
        self,
        model: EmoThinker,
        towers: Towers,
        *,
        voice_cues: Callable[..., tuple[Tensor, Tensor]] = with_voice_cues,
        submit: Submit = run_when_asked,
    ) -> None:
        """`submit` starts the tower's work, which may run elsewhere while the voice is measured here."""
        self._model = model
        self._submit = submit
        self._voice_cues = voice_cues
        self._towers = towers
        self._baseline = VoiceBaseline()
        self._ahead: HeardAhead | None = None
        self._chunks: OrderedDict[bytes, Tensor] = OrderedDict()
        self.n_encoded = 0
        "Number of chunks that the tower encoded."
        self.n_ahead = 0
        "Number of segments whose evidence was ready when they ended."

    def close(self) -> None:
        """Forget the voice and everything done in advance."""
        self._baseline = VoiceBaseline()
        self._ahead = None
        self._chunks.clear()

    def forget_ahead(self) -> None:
        """Drop the work done in advance, because the question or the ring has changed."""
        self._ahead = None
        self._chunks.clear()

    @torch.inference_mode()
    def hear(self, segment: SpeechSegment, text_QD: Tensor, ring: EvidenceRing | None) -> SpeechEvidence:
        """Prosody and tokens of one utterance, which also moves the voice's baseline."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None and same(ahead.segment, segment) and self._still_so(ahead):
            self.n_ahead += 1
        else:
            self._drop(ahead, ring)
            ahead = self._listen(segment, text_QD, ring)
        if moves_baseline(ahead.evidence.cues):
            self._baseline.push(ahead.features_P)
        return ahead.evidence

    @torch.inference_mode()
    def hear_ahead(self, so_far: SpeechSoFar, text_QD: Tensor, ring: EvidenceRing | None) -> None:
        """Do in advance what `hear` would do. For speech that goes on, only complete chunks are encoded."""
        if so_far.paused:
            ahead, self._ahead = self._ahead, None
            self._drop(ahead, ring)
            self._ahead = self._listen(so_far.segment, text_QD, ring)
        else:
            mel = preprocess.log_mel(so_far.segment.samples_N)
            n_complete = mel.shape[1] // CHUNK_FRAMES
            self._tokens(mel[:, : n_complete * CHUNK_FRAMES], text_QD)

    def _listen(self, segment: SpeechSegment, text_QD: Tensor, ring: EvidenceRing | None) -> HeardAhead:
        mel = preprocess.log_mel(segment.samples_N)
        tokens = self._submit(partial(self._tokens, mel, text_QD))
        cues, features_P = voice_cues(segment.samples_N, self._baseline)
        cues = replace(cues, arousal=voice_arousal(cues))
        verdict_7 = self._verdict(mel, cues.features_N)
        x, positions = self._voice_cues(
            self._model,
            tokens(),
            measures_10=torch.from_numpy(voice_measures(cues)),
            verdict_7=verdict_7,
        )
        evidence = SpeechEvidence(
            start_s=segment.start_s,
            end_s=segment.end_s,
            cues=cues,
            tokens_ND=x.float().cpu().numpy(),
            positions_3N=positions.numpy(),
        )
        return HeardAhead(segment, features_P, cues.features_N, evidence if ring is None else ring.add_speech(evidence))

    def _tokens(self, mel_FT: Float32, text_QD: Tensor) -> Tensor:
        """(N, D) tokens of the tower. A chunk that was encoded before is not encoded again.

        Chunks do not attend to each other, but their mel is cut off 80 dB below the loudest moment of the whole
        utterance. So a chunk whose mel changed, because something louder followed, is encoded again.
        """
        if mel_FT.shape[1] < 3:
            return torch.zeros(0, self._model.config.text.hidden_size)
        chunks, lengths = split_chunks(torch.from_numpy(mel_FT))
        keys = [chunk.numpy().tobytes() for chunk in chunks]
        missing = [index for index, key in enumerate(keys) if key not in self._chunks]
        tokens: dict[bytes, Tensor] = {key: self._chunks[key] for key in keys if key in self._chunks}
        if missing:
            self.n_encoded += len(missing)
            first, end = missing[0], missing[-1] + 1
            inputs = audio_inputs(torch.from_numpy(mel_FT[:, first * CHUNK_FRAMES : end * CHUNK_FRAMES]), text_QD)
            outputs = self._towers.audio(inputs)
            for index in range(first, end):
                tokens[keys[index]] = heard(outputs[index - first][None], lengths[index][None])
        for key, n_frames in zip(keys, lengths.tolist(), strict=True):
            if n_frames == CHUNK_FRAMES:
                self._chunks[key] = tokens[key]
                self._chunks.move_to_end(key)
        while len(self._chunks) > KEPT_CHUNKS:
            self._chunks.popitem(last=False)
        return torch.cat([tokens[key] for key in keys])

    def _verdict(self, mel_FT: Float32, features_P: Float32) -> Tensor:
        expert = self._model.emotion.voice_expert
        if expert is None:
            return torch.zeros(0)
        kept = mel_FT[:, :MEL_FRAMES_FOR_EXPERT]
        # Always padded to the length on which its convolutions were trained.
        padded = np.zeros((mel_FT.shape[0], MEL_FRAMES_FOR_EXPERT), np.float32)
        padded[:, : kept.shape[1]] = kept
        n_frames = torch.tensor([kept.shape[1]], dtype=torch.int32)
        verdict: Tensor = expert(torch.from_numpy(padded)[None], n_frames, torch.from_numpy(features_P)[None])[0]
        return verdict

    def _still_so(self, ahead: HeardAhead) -> bool:
        """Whether the voice's baseline still gives the same relative features."""
        return np.array_equal(self._baseline.relative(ahead.features_P), ahead.relative_P)

    def _drop(self, ahead: HeardAhead | None, ring: EvidenceRing | None) -> None:
        if ahead is not None and ring is not None:
            ring.forget(ahead.evidence)


def same(a: SpeechSegment, b: SpeechSegment) -> bool:
    return (a.start_s, a.end_s) == (b.start_s, b.end_s) and np.array_equal(a.samples_N, b.samples_N)
