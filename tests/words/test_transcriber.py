"""The recogniser on real weights, where `EMOTHINKER_WHISPER` names a folder with Whisper tiny.en for CTranslate2."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from realtime.errors import BadModel, ExtraMissing, WordsStopped
from realtime.ingest.speech import SpeechSettings
from realtime.records import SAMPLE_RATE_HZ, SpeechSegment
from realtime.words.transcriber import WhisperTranscriber, _executor, transcribing
from realtime.words.whisper import Whisper
from tests.recorded import clip, sound_of
from tests.waiting import WITHIN_S

WEIGHTS = os.environ.get("EMOTHINKER_WHISPER", "")
weights = pytest.mark.skipif(not WEIGHTS, reason="EMOTHINKER_WHISPER names no folder with Whisper's weights")


def utterance(emotion: str) -> SpeechSegment:
    samples_N = sound_of(clip(emotion))
    return SpeechSegment(0.0, len(samples_N) / SAMPLE_RATE_HZ, samples_N)


@pytest.fixture
async def transcriber() -> AsyncIterator[WhisperTranscriber]:
    async with transcribing(SpeechSettings(words="whisper", words_model=WEIGHTS), where="process") as transcriber:
        assert transcriber is not None
        yield transcriber


async def test_nothing_is_loaded_where_words_are_off() -> None:
    async with transcribing(SpeechSettings(), where="process") as transcriber:
        assert transcriber is None


@weights
async def test_a_real_clip_is_written_down_and_noise_and_silence_are_not(transcriber: WhisperTranscriber) -> None:
    words = await transcriber.transcribe(utterance("NEU"))
    assert words is not None
    assert (words.text, words.language) == ("Don't forget a jacket.", "en")
    assert 0.6 < words.confidence <= 1
    assert words.probabilities is not None
    assert sum(words.probabilities.values()) == pytest.approx(1, abs=1e-5)
    noise = np.random.default_rng(0).normal(0, 0.1, 2 * SAMPLE_RATE_HZ).astype(np.float32)
    for samples_N in (noise, np.zeros_like(noise), noise[:160]):
        assert await transcriber.transcribe(SpeechSegment(0.0, 2.0, samples_N)) is None


@weights
async def test_a_worker_that_dies_is_told_and_replaced(transcriber: WhisperTranscriber) -> None:
    (process,) = transcriber._executor._processes.values()  # type: ignore[attr-defined]
    os.kill(process.pid, signal.SIGKILL)
    process.join(WITHIN_S)
    with pytest.raises(WordsStopped):
        await transcriber.transcribe(utterance("NEU"))
    assert await transcriber.transcribe(utterance("NEU")) is not None


def test_ctrl_c_does_not_end_the_worker() -> None:
    """A terminal sends it to every process. The server ends this one, once its sessions are over."""
    with _executor("process") as executor:
        worker = executor.submit(os.getpid).result(WITHIN_S)
        os.kill(worker, signal.SIGINT)
        assert executor.submit(os.getpid).result(WITHIN_S) == worker


def test_without_the_extra_a_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faster_whisper", None)
    with pytest.raises(ExtraMissing) as raised:
        Whisper("tiny.en")
    assert "emothinker[words]" in raised.value.hint


def test_a_folder_without_a_model_is_said(tmp_path: Path) -> None:
    pytest.importorskip("faster_whisper")
    with pytest.raises(BadModel) as raised:
        Whisper(str(tmp_path))
    assert str(tmp_path) in raised.value.message
    assert "speech.words_model" in raised.value.hint
