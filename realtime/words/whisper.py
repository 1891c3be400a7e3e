"""A Whisper model on CTranslate2, int8 on one CPU thread: the words of one utterance.

`faster-whisper` loads it. Its own `transcribe` pads every utterance to the 30 s that Whisper was trained on. Here the
encoder gets ten seconds, or two more than the utterance has. For tiny.en that is a fifth of the work (0.11 s of CPU
instead of 0.59 s), and the words are the same. With less than two seconds of silence after the speech it begins to
write sentences twice.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from realtime.errors import BadModel, ExtraMissing
from realtime.records import SAMPLE_RATE_HZ, Float32
from realtime.words.guard import Transcript

MELS_PER_S = 100
LEAST_S, SILENCE_S, MOST_S = 10, 2, 30
TOKENS_PER_S = 12
"Most tokens a second of speech. A fast speaker says six words a second, and a word has one or two tokens."


class Whisper:
    """One loaded model. Calls block."""

    def __init__(self, name: str) -> None:
        """Load the model of that name, hub id or folder. Raises ExtraMissing and BadModel."""
        try:
            from faster_whisper import WhisperModel
            from faster_whisper.tokenizer import Tokenizer

            # It downloads with the hub's client.
            from realtime.model import hub
        except ImportError as error:
            raise ExtraMissing(
                "speech.words is whisper, which needs faster-whisper, and that is not installed.",
                "pip install 'emothinker[words]', or set speech.words to off.",
            ) from error
        try:
            self._whisper = WhisperModel(name, device="cpu", compute_type="int8", cpu_threads=1)
        # What a hub, a connection and a damaged file raise is listed nowhere.
        except Exception as error:
            told = hub.reason(error)
            raise BadModel(
                f"The Whisper model {name} cannot be loaded: {told}.",
                f"{told.fix}Set speech.words_model to a name that faster-whisper knows, a hub id, or a folder with "
                "model.bin, config.json and tokenizer.json.",
            ) from error
        self._many = bool(self._whisper.model.is_multilingual)
        self._tokenizer = Tokenizer
        self._mels: Any = self._whisper.feature_extractor

    def transcribe(self, samples_N: Float32) -> Transcript:
        """The words of (N,) float32, 16 kHz mono. Speech beyond 28 s is cut off."""
        duration_s = min(samples_N.shape[0] / SAMPLE_RATE_HZ, MOST_S - SILENCE_S)
        n_mels = MELS_PER_S * max(LEAST_S, math.ceil(duration_s) + SILENCE_S)
        # faster-whisper takes the end of the sound as the end of its mels.
        mels_MT = self._mels(samples_N[: round(duration_s * SAMPLE_RATE_HZ)])[:, :n_mels]
        mels_MT = np.pad(mels_MT, ((0, 0), (0, n_mels - mels_MT.shape[1])))
        encoded = self._whisper.encode(mels_MT)
        language, share = "en", None
        if self._many:
            token, share = self._whisper.model.detect_language(encoded)[0][0]
            language = token.strip("<|>")
        tokenizer = self._tokenizer(self._whisper.hf_tokenizer, self._many, task="transcribe", language=language)
        prompt = self._whisper.get_prompt(tokenizer, [], without_timestamps=True)
        (said,) = self._whisper.model.generate(
            encoded,
            [prompt],
            beam_size=1,
            max_length=len(prompt) + TOKENS_PER_S * max(1, math.ceil(duration_s)),
            return_scores=True,
            return_no_speech_prob=True,
        )
        text = " ".join(tokenizer.decode(said.sequences_ids[0]).split())
        return Transcript(text, language, math.exp(min(0.0, said.scores[0])), said.no_speech_prob, share)
