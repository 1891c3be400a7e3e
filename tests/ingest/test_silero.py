"""Silero's detector, where the extra `silero` is installed, and what is said where it is not."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from realtime import cli
from realtime.errors import EngineMissing
from realtime.ingest import silero
from realtime.ingest.media import MediaSource
from realtime.ingest.settings import IngestSettings
from realtime.ingest.speech import SpeechCutter, SpeechSettings
from realtime.records import SAMPLE_RATE_HZ, AudioChunk, SpeechSegment
from realtime.sample import SAMPLE

SILERO = SpeechSettings(vad="silero")
needs_silero = pytest.mark.skipif(importlib.util.find_spec("silero_vad") is None, reason="the extra silero is missing")


@needs_silero
def test_both_detectors_find_the_sentences_of_the_sample() -> None:
    def sentences(settings: SpeechSettings) -> list[tuple[float, float]]:
        items = MediaSource.open(str(SAMPLE), ingest=IngestSettings(), speech=settings).read()
        return [(item.start_s, item.end_s) for item in items if isinstance(item, SpeechSegment)]

    mine, webrtcs = sentences(SILERO), sentences(SpeechSettings())
    # Silero may cut the first sentence at its first comma.
    assert (mine[0][0], mine[-1][1]) == pytest.approx((webrtcs[0][0], webrtcs[-1][1]), abs=0.1)
    assert len(webrtcs) <= len(mine) <= 3


@needs_silero
def test_steady_noise_is_no_voice_and_a_muted_microphone_is_silent() -> None:
    cutter = SpeechCutter(SILERO)
    noise_N = np.random.default_rng(0).normal(0, 0.1, 5 * SAMPLE_RATE_HZ).astype(np.float32)
    assert list(cutter.push(AudioChunk(0.0, noise_N))) == []
    assert cutter.silent_s == 0.0
    list(cutter.push(AudioChunk(5.0, np.zeros(3 * SAMPLE_RATE_HZ, np.float32))))
    assert cutter.silent_s == pytest.approx(3.0, abs=0.06)


def test_without_the_package_one_sentence_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    silero._network.cache_clear()
    with pytest.raises(EngineMissing, match="silero-vad is not installed"):
        SpeechCutter(SILERO)
    monkeypatch.setenv("EMOTHINKER_SPEECH__VAD", "silero")
    assert cli.main(["analyze", "sample"]) == EngineMissing.exit_code
    assert "pip install 'emothinker[silero]'" in capsys.readouterr().err
