"""Field report: an 8-bit recording was heard as speech throughout."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

from realtime.ingest.media import MediaSource
from realtime.ingest.settings import IngestSettings
from realtime.ingest.speech import SpeechSettings
from realtime.records import SpeechSegment
from tests.ingest.media_files import room, voice


def segments(path: Path, sound_N: np.ndarray, step: int) -> list[SpeechSegment]:
    eight = np.clip(np.round(sound_N * 127) + 128, 0, 255).astype(np.uint8)[::step]
    with wave.open(str(path), "wb") as out:
        out.setparams((1, 1, 16_000 // step, 0, "NONE", ""))
        out.writeframes(eight.tobytes())
    source = MediaSource.open(str(path), ingest=IngestSettings(), speech=SpeechSettings())
    return [item for item in source.read() if isinstance(item, SpeechSegment)]


@pytest.mark.parametrize("step", [1, 2], ids=["16 kHz", "8 kHz"])
def test_the_last_bit_of_a_quiet_room_is_no_speech_and_speech_is_cut_out(tmp_path: Path, step: int) -> None:
    quiet_N = room(6.0) * 12
    assert segments(tmp_path / "quiet.wav", quiet_N, step) == []
    sound_N = quiet_N.copy()
    sound_N[2 * 16_000 : 2 * 16_000 + 24_000] += voice(1.5)
    (spoken,) = segments(tmp_path / "spoken.wav", sound_N, step)
    assert spoken.start_s == pytest.approx(1.9, abs=0.25)
    assert spoken.end_s == pytest.approx(3.6, abs=0.3)
