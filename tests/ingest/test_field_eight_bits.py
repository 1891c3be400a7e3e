"""Field reports: an 8-bit recording was heard as speech throughout, and then soft speech in one was not heard."""

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
from train.arrays import Float64, Floats


def segments(path: Path, sound_N: Floats, step: int, rate_hz: int = 16_000, *, kept_in: int = 8) -> list[SpeechSegment]:
    """The speech in sound of 8 bits, every `step`th sample of it, in a file of 8 or 16 bits."""
    eight = np.clip(np.round(sound_N * 127) + 128, 0, 255).astype(np.uint8)[::step]
    wide = (eight.astype(np.int16) - 128) * 256
    with wave.open(str(path), "wb") as out:
        out.setparams((1, kept_in // 8, rate_hz // step, 0, "NONE", ""))
        out.writeframes(eight.tobytes() if kept_in == 8 else wide.astype("<i2").tobytes())
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


@pytest.mark.parametrize("step", [1, 2], ids=["16 kHz", "8 kHz"])
@pytest.mark.parametrize("dither", [False, True], ids=["rounded", "dithered"])
def test_soft_speech_of_eight_bits_is_heard(tmp_path: Path, step: int, dither: bool) -> None:
    """The pauses were made quiet wherever nothing rose above two steps, and with them a voice of less than −45 dB."""
    level_db = -42.0 if dither else -48.0
    sound_N = room(6.0)
    spoken_N = voice(1.5)
    sound_N[32_000:56_000] += spoken_N * 10 ** (level_db / 20) / np.sqrt(np.mean(np.square(spoken_N)))
    if dither:
        sound_N = sound_N + np.random.default_rng(1).triangular(-1 / 127, 0, 1 / 127, len(sound_N))
    (spoken,) = segments(tmp_path / "soft.wav", sound_N, step)
    assert spoken.start_s == pytest.approx(1.9, abs=0.3)
    assert spoken.end_s == pytest.approx(3.6, abs=0.3)


def dither(kind: str, n: int, seed: int) -> Float64:
    """(N,) in steps of 8 bits, as programs add it before they round."""
    chance = np.random.default_rng(seed)
    if kind == "triangular, high-passed":
        return np.diff(chance.uniform(-0.5, 0.5, n + 1))
    drawn = {
        "rectangular": lambda: chance.uniform(-0.5, 0.5, n),
        "triangular": lambda: chance.triangular(-1, 0, 1, n),
        "gaussian": lambda: chance.normal(0, 0.5, n),
    }
    return drawn[kind]()


@pytest.mark.parametrize("kind", ["rectangular", "triangular", "triangular, high-passed", "gaussian"])
@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 16_000, 44_100])
@pytest.mark.parametrize("kept_in", [8, 16])
def test_dither_is_no_speech_and_speech_over_it_is_cut_out(
    tmp_path: Path, kind: str, rate_hz: int, kept_in: int
) -> None:
    """Dither is noise at the level of the last bit, −45 to −39 dB, without an end."""
    noise_N = dither(kind, 8 * rate_hz, seed=1) / 127
    assert segments(tmp_path / "quiet.wav", noise_N, 1, rate_hz, kept_in=kept_in) == []
    times_N = np.arange(round(1.5 * rate_hz)) / rate_hz
    noise_N[3 * rate_hz : 3 * rate_hz + times_N.size] += np.interp(times_N, np.arange(24_000) / 16_000, voice(1.5))
    (spoken,) = segments(tmp_path / "spoken.wav", noise_N, 1, rate_hz, kept_in=kept_in)
    assert spoken.start_s == pytest.approx(2.9, abs=0.25)
    assert spoken.end_s == pytest.approx(4.6, abs=0.3)


@pytest.mark.parametrize("kept_in", [8, 16])
@pytest.mark.parametrize("steps", [0.2, 0.3, 0.4])
def test_a_room_that_flips_the_last_bit_in_bursts_is_no_speech(tmp_path: Path, steps: float, kept_in: int) -> None:
    """Noise below one step that rises and falls, as of a ventilator. Heard as it is, it is speech for seconds.

    Sound of 8 bits that was converted to 16, or compressed as FLAC, has the same steps.
    """
    chance = np.random.default_rng(0)
    pink_F = np.maximum(np.fft.rfftfreq(160_000, 1 / 16_000), 30) ** -0.5
    noise_N = np.fft.irfft(np.fft.rfft(chance.standard_normal(160_000)) * pink_F)
    noise_N *= np.repeat(10 ** (chance.uniform(-4, 4, 40) / 20), 4_000)
    noise_N *= steps / 127 / noise_N.std()
    assert segments(tmp_path / "room.wav", noise_N, 1, kept_in=kept_in) == []
