"""Turns one session's speech into evidence, with as much work as possible done before the speech is over.

While someone speaks, each 2-s chunk of sound is encoded once, when it is complete. When they pause, the utterance so
far is processed as if it had ended. If they do not go on, that is the evidence, and it was ready before the segmenter
was sure. Work done in advance is used only where processing the segment afresh would give the same: the same samples,
the same mel, the same baseline (`tests/evidence/test_listen.py`).
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from realtime.evidence.arousal import voice_arousal
from realtime.evidence.baseline import RunningMean, VoiceBaseline
from realtime.evidence.beside import Submit, run_when_asked
from realtime.evidence.label_reading import LabelReading
from realtime.evidence.tokens import voice_measures, with_voice_cues
from realtime.evidence.voice import MeasuredVoice, measure_voice, moves_baseline, told_against
from realtime.model.experts import EXPERT_LABELS, join_moments
from realtime.model.thinker import EmoThinker
from realtime.records import Float32, SpeechEvidence, SpeechSegment, SpeechSoFar
from realtime.roles import EvidenceRing
from realtime.towers import preprocess
from realtime.towers.batch import SoundChunk, chunk_inputs, heard, sound_chunks
from realtime.towers.choice import Towers

CHUNK_FRAMES = 200
KEPT_CHUNKS = 8
"Encoded 2-s chunks that are kept: twice as many as the longest segment has."
NO_SPEECH_ABOVE, VOICED_BELOW = 0.9, 0.5
"""Probability of no speech above which the expert overrules the guard by voicing and spectrum (`voice.sound_kind`), of
sounds voiced for less than this share. Of voiced ones it knows too few that are no speech: it calls a drawn vowel one.
"""


@dataclass(frozen=True)
class EncodedSpeech:
    """What the tower makes of an utterance, or of one of its chunks."""

    tokens_ND: Tensor
    moments_CLD: Tensor | None
    "Of each chunk, for the voice expert (`AudioTower.with_moments`); None without an expert."
    n_frames_C: Tensor
    "Int32 mel frames of each chunk."
    for_labels_ND: Tensor | None = None
    "The tokens of the model that gives the labels, where that is another."


@dataclass(frozen=True)
class MeasuredSound:
    """What is measured of an utterance by itself, without the model and the session."""

    mel_FT: Float32
    "Log-mel; of speech that goes on, that of its complete chunks."
    voice: MeasuredVoice | None
    "None for speech that goes on."


def measure_sound(so_far: SpeechSoFar, n_mels: int) -> MeasuredSound:
    """Measure an utterance. Any thread may do it."""
    mel_FT = preprocess.log_mel(so_far.segment.samples_N, n_mels)
    if so_far.paused:
        return MeasuredSound(mel_FT, measure_voice(so_far.segment.samples_N))
    return MeasuredSound(mel_FT[:, : mel_FT.shape[1] // CHUNK_FRAMES * CHUNK_FRAMES], None)


NOTHING: Mapping[bytes, EncodedSpeech] = {}
"No chunk is encoded yet."


@dataclass(frozen=True)
class HeardAhead:
    """An utterance that was processed before it was known to be over."""

    segment: SpeechSegment
    features_P: Float32
    "Prosody, which moves the voice's baseline."
    usual_K: Float32
    "What moves the voice expert's baseline; empty without an expert."
    n_before: int
    "Utterances in the baseline that it was told against."
    evidence: SpeechEvidence


@dataclass(frozen=True)
class Judged:
    """What the voice expert says of an utterance."""

    verdict_7: Tensor
    "Log-probabilities; empty without an expert."
    no_speech: float
    "Probability that nobody speaks."
    usual_K: Float32
    "What the utterance says of the voice's usual (`VoiceExpert.without_emotion`); empty without an expert."


def encoded_chunks(
    n_frames_C: Tensor, outputs: Sequence[Tensor], for_labels_CTD: Tensor | None = None
) -> list[EncodedSpeech]:
    """What the tower made of each chunk, from the audio graph's outputs. Rows beyond them are left out."""
    tokens_CTD, *moments = outputs
    return [
        EncodedSpeech(
            heard(tokens_CTD[row], n_frames),
            moments[0][row] if moments else None,
            n_frames,
            None if for_labels_CTD is None else heard(for_labels_CTD[row], n_frames),
        )
        for row, n_frames in ((slice(at, at + 1), n_frames_C[at : at + 1]) for at in range(len(n_frames_C)))
    ]


def joined(parts: Sequence[EncodedSpeech]) -> EncodedSpeech:
    """The chunks of an utterance as one."""
    moments = [part.moments_CLD for part in parts if part.moments_CLD is not None]
    for_labels = [part.for_labels_ND for part in parts if part.for_labels_ND is not None]
    return EncodedSpeech(
        torch.cat([part.tokens_ND for part in parts]),
        torch.cat(moments) if moments else None,
        torch.cat([part.n_frames_C for part in parts]),
        torch.cat(for_labels) if for_labels else None,
    )


class Listener:
    """The speech half of a session's perception. Calls block; only one thread may make them at a time."""

    def __init__(
        self,
        model: EmoThinker,
        towers: Towers,
        *,
        voice_cues: Callable[..., tuple[Tensor, Tensor]] = with_voice_cues,
        submit: Submit = run_when_asked,
        for_labels: LabelReading | None = None,
    ) -> None:
        """`submit` starts the tower's work, which may run elsewhere while the voice is measured here."""
        self._model = model
        self._for_labels = for_labels
        self._submit = submit
        self._voice_cues = voice_cues
        self._towers = towers
        self._baseline, self._usual = self._unheard()
        self._ahead: HeardAhead | None = None
        self._chunks: OrderedDict[bytes, EncodedSpeech] = OrderedDict()
        self.n_encoded = 0
        "Number of chunks that the tower encoded."
        self.n_ahead = 0
        "Number of segments whose evidence was ready when they ended."

    def close(self) -> None:
        """Forget the voice and everything done in advance."""
        self._baseline, self._usual = self._unheard()
        self._ahead = None
        self._chunks.clear()

    def _unheard(self) -> tuple[VoiceBaseline, RunningMean | None]:
        """Baselines of a voice that nothing was heard of: of its prosody, and of what the expert reads."""
        expert = self._model.emotion.voice_expert
        return VoiceBaseline(), None if expert is None else RunningMean(np.zeros(expert.width))

    def forget_ahead(self) -> None:
        """Drop the work done in advance, because the question or the ring has changed, or it is in no ring."""
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
            self._baseline.push(ahead.features_P, seconds=segment.end_s - segment.start_s)
            if self._usual is not None:
                self._usual.push(ahead.usual_K)
        return ahead.evidence

    @torch.inference_mode()
    def hear_ahead(
        self,
        so_far: SpeechSoFar,
        text_QD: Tensor,
        ring: EvidenceRing | None,
        measured: MeasuredSound | None = None,
        encoded: Mapping[bytes, EncodedSpeech] = NOTHING,
    ) -> SpeechEvidence | None:
        """Do in advance what `hear` would do. For speech that goes on, only complete chunks are encoded.

        `measured` and `encoded` are what was done of it before: `encoded` are chunks by their keys. Returns the
        evidence of an utterance that may be over.
        """
        if so_far.paused:
            ahead, self._ahead = self._ahead, None
            self._drop(ahead, ring)
            self._ahead = self._listen(so_far.segment, text_QD, ring, measured, encoded)
            return self._ahead.evidence
        measured = measured or measure_sound(so_far, self._model.config.audio.num_mel_bins)
        self._encode(measured.mel_FT, text_QD, encoded)
        return None

    def is_ahead(self, segment: SpeechSegment) -> bool:
        """Whether an utterance was heard as it is. Any thread may ask; `hear` makes sure of it."""
        ahead = self._ahead
        return ahead is not None and same(ahead.segment, segment)

    def missing(self, mel_FT: Float32) -> list[SoundChunk]:
        """The chunks of an utterance that the tower has not encoded."""
        return [chunk for chunk in sound_chunks(torch.from_numpy(mel_FT)) if chunk.key not in self._chunks]

    def _listen(
        self,
        segment: SpeechSegment,
        text_QD: Tensor,
        ring: EvidenceRing | None,
        measured: MeasuredSound | None = None,
        given: Mapping[bytes, EncodedSpeech] = NOTHING,
    ) -> HeardAhead:
        n_mels = self._model.config.audio.num_mel_bins
        mel_FT = preprocess.log_mel(segment.samples_N, n_mels) if measured is None else measured.mel_FT
        waiting = self._submit(partial(self._encode, mel_FT, text_QD, given))
        voice = measured.voice if measured is not None else None
        voice = voice or measure_voice(segment.samples_N)
        cues, features_P = told_against(self._baseline, voice), voice.features_P
        encoded = waiting()
        judged = self._judge(encoded, features_P)
        if cues.kind == "voice" and judged.no_speech > NO_SPEECH_ABOVE and cues.values["voiced_ratio"] < VOICED_BELOW:
            cues = replace(cues, kind="noise")
        cues = replace(cues, arousal=voice_arousal(cues))
        measures_11 = torch.from_numpy(voice_measures(cues))
        x, positions = self._voice_cues(
            self._model, encoded.tokens_ND, text_QD=text_QD, measures_11=measures_11, verdict_7=judged.verdict_7
        )
        evidence = SpeechEvidence(
            start_s=segment.start_s,
            end_s=segment.end_s,
            cues=cues,
            tokens_ND=x.float().cpu().numpy(),
            positions_3N=positions.numpy(),
        )
        if self._for_labels is not None and encoded.for_labels_ND is not None:
            for_labels = self._for_labels.speech(
                evidence, encoded.for_labels_ND, measures_11=measures_11, verdict_7=judged.verdict_7
            )
            evidence = replace(evidence, for_labels=for_labels)
        if ring is not None:
            evidence = ring.add_speech(evidence)
        return HeardAhead(segment, features_P, judged.usual_K, self._baseline.n, evidence)

    def _encode(self, mel_FT: Float32, text_QD: Tensor, given: Mapping[bytes, EncodedSpeech]) -> EncodedSpeech:
        """Run the tower. A chunk that was encoded before, or is `given`, is not encoded again.

        Chunks do not attend to each other, but their mel is cut off 80 dB below the loudest moment of the whole
        utterance. So a chunk whose mel changed, because something louder followed, is encoded again.
        """
        chunks = sound_chunks(torch.from_numpy(mel_FT))
        if not chunks:
            return EncodedSpeech(
                torch.zeros(0, self._model.config.text.hidden_size),
                None,
                torch.zeros(0, dtype=torch.int32),
                None if self._for_labels is None else torch.zeros(0, self._for_labels.width),
            )
        keys = [chunk.key for chunk in chunks]
        known = {**given, **self._chunks}
        encoded = {key: known[key] for key in keys if key in known}
        self.n_encoded += sum(key not in self._chunks for key in keys)
        if missing := [chunk for chunk, key in zip(chunks, keys, strict=True) if key not in encoded]:
            inputs = chunk_inputs(missing, [text_QD] * len(missing))
            outputs = self._towers.audio(inputs)
            for_labels_CTD = None if self._for_labels is None else self._for_labels.encode(inputs)
            made = encoded_chunks(inputs["n_frames"], outputs, for_labels_CTD)
            encoded |= {chunk.key: speech for chunk, speech in zip(missing, made, strict=True)}
        for chunk, key in zip(chunks, keys, strict=True):
            if chunk.n_frames == CHUNK_FRAMES:
                self._chunks[key] = encoded[key]
                self._chunks.move_to_end(key)
        while len(self._chunks) > KEPT_CHUNKS:
            self._chunks.popitem(last=False)
        return joined([encoded[key] for key in keys])

    def _judge(self, encoded: EncodedSpeech, features_P: Float32) -> Judged:
        """What the voice expert says, told against the voice so far: of too short a sound, nothing."""
        expert = self._model.emotion.voice_expert
        if expert is None or self._usual is None:
            return Judged(torch.zeros(0), 0.0, np.zeros(0, np.float32))
        if encoded.moments_CLD is None:
            unknown_7 = torch.full((len(EXPERT_LABELS),), -math.log(len(EXPERT_LABELS)))
            return Judged(unknown_7, 0.0, self._usual.mean_P.astype(np.float32))
        layers_LD = join_moments(encoded.moments_CLD.float().cpu(), encoded.n_frames_C)
        x_BK = expert.read(torch.cat([layers_LD.flatten(), torch.from_numpy(features_P)])[None])
        log_p_B7, no_speech_B = expert(x_BK, torch.from_numpy(self._usual.mean_P.astype(np.float32))[None])
        return Judged(log_p_B7[0], float(no_speech_B[0]), expert.without_emotion(x_BK, log_p_B7)[0].float().numpy())

    def _still_so(self, ahead: HeardAhead) -> bool:
        """Whether the voice's baseline is still the one that it was told against."""
        return self._baseline.n == ahead.n_before

    def _drop(self, ahead: HeardAhead | None, ring: EvidenceRing | None) -> None:
        if ahead is None:
            return
        if ring is not None:
            ring.forget(ahead.evidence)
        if self._for_labels is not None and ahead.evidence.for_labels is not None:
            self._for_labels.forget(ahead.evidence.for_labels)


def same(a: SpeechSegment, b: SpeechSegment) -> bool:
    return (a.start_s, a.end_s) == (b.start_s, b.end_s) and np.array_equal(a.samples_N, b.samples_N)
