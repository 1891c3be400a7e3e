"""Field reports 4, 15 and 16: what many channels of sound come to, and what else was wrong with their level."""

from __future__ import annotations

from collections.abc import Sequence

import av
import numpy as np
import numpy.typing as npt
import pytest
from aiortc.codecs.opus import OpusDecoder
from aiortc.jitterbuffer import JitterFrame
from scipy.signal import resample_poly

from realtime.ingest.mono import MonoResampler
from realtime.records import SAMPLE_RATE_HZ, AudioChunk
from tests.ingest.media_files import room, voice

Sound = npt.NDArray[np.float32]
SPOKEN = np.concatenate([room(0.8), voice(1.4), room(1.1)])


def heard(channels: Sequence[Sound], layout: str) -> tuple[Sound, list[str]]:
    """What is heard of a track with these channels, and the codes of what was noticed."""
    sound_CN = (np.stack(channels) * 32767).astype(np.int16)
    resampler = MonoResampler(live=False)
    chunks: list[AudioChunk] = []
    for start in range(0, sound_CN.shape[1], 960):
        packed = sound_CN[:, start : start + 960].T.reshape(1, -1).copy()
        frame = av.AudioFrame.from_ndarray(packed, format="s16", layout=layout)
        frame.sample_rate = SAMPLE_RATE_HZ
        chunks += resampler.push(frame, start_s=start / SAMPLE_RATE_HZ)
    chunks += resampler.flush()
    return np.concatenate([chunk.samples_N for chunk in chunks]), [state.code for state in resampler.noticed()]


def rms_db(sound_N: Sound) -> float:
    return float(10 * np.log10(np.mean(np.square(sound_N, dtype=np.float64))))


@pytest.mark.parametrize("layout", ["mono", "stereo", "quad", "4.0", "5.1", "5.1(side)", "7.1", "8 channels"])
def test_one_voice_on_all_channels_keeps_its_level(layout: str) -> None:
    """Field report 4: +3 to +13 dB, and 42 % of the samples were clipped."""
    alone_N = voice(1.0) * 1.8
    together_N, noticed = heard([alone_N] * len(av.AudioLayout(layout).channels), layout)
    assert rms_db(together_N) == pytest.approx(rms_db(alone_N), abs=0.1)
    assert np.abs(together_N).max() == pytest.approx(0.9, abs=0.01)
    assert noticed == []


@pytest.mark.parametrize(("layout", "at"), [("stereo", 0), ("stereo", 1), ("5.1", 2), ("7.1", 4)])
def test_one_voice_on_one_channel_keeps_its_level(layout: str, at: int) -> None:
    alone_N = voice(1.0)
    channels = [np.zeros_like(alone_N)] * len(av.AudioLayout(layout).channels)
    channels[at] = alone_N
    assert rms_db(heard(channels, layout)[0]) == pytest.approx(rms_db(alone_N), abs=0.1)


def test_mono_opus_of_a_call_keeps_its_level() -> None:
    """Field report 4: aiortc decodes Opus to two channels, and mixed by FFmpeg they were 3 dB louder, and clipped."""
    loud_N = resample_poly(voice(2.0), 3, 1).astype(np.float32) * 1.8
    encoder = av.AudioCodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.layout, encoder.format, encoder.bit_rate = 48_000, "mono", "s16", 64_000
    decoder, resampler = OpusDecoder(), MonoResampler(live=True)
    chunks: list[AudioChunk] = []
    for start in range(0, loud_N.size - 960, 960):
        pcm = (loud_N[start : start + 960] * 32767).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(pcm[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts = 48_000, start
        for packet in encoder.encode(frame):
            for decoded in decoder.decode(JitterFrame(data=bytes(packet), timestamp=start)):
                assert isinstance(decoded, av.AudioFrame)
                assert len(decoded.layout.channels) == 2
                chunks += resampler.push(decoded, start_s=start / 48_000)
    heard_N = np.concatenate([chunk.samples_N for chunk in chunks])
    assert rms_db(heard_N) == pytest.approx(rms_db(loud_N), abs=0.5)
    assert np.mean(np.abs(heard_N) > 0.99) == 0.0


def test_two_voices_on_two_channels_are_both_heard() -> None:
    first_N, second_N = voice(1.0), np.roll(voice(1.0), 3_000)
    mixed_N, noticed = heard([first_N, second_N], "stereo")
    assert np.corrcoef(mixed_N, (first_N + second_N) / 2)[0, 1] > 0.999
    assert noticed == []


def test_the_low_frequency_channel_is_left_out() -> None:
    alone_N = voice(1.0)
    rumble_N = (0.9 * np.sin(2 * np.pi * 40 * np.arange(alone_N.size) / SAMPLE_RATE_HZ)).astype(np.float32)
    channels = [alone_N, alone_N, alone_N, rumble_N, alone_N, alone_N]
    assert rms_db(heard(channels, "5.1")[0]) == pytest.approx(rms_db(alone_N), abs=0.1)


def test_a_voice_on_the_low_frequency_channel_alone_is_heard() -> None:
    alone_N = voice(1.0)
    channels = [np.zeros_like(alone_N)] * 6
    channels[3] = alone_N
    assert rms_db(heard(channels, "5.1")[0]) == pytest.approx(rms_db(alone_N), abs=0.1)


@pytest.mark.parametrize("louder", [1.0, 0.5])
def test_an_inverted_channel_is_noticed_and_one_is_taken(louder: float) -> None:
    """Field report 16: the two cancelled each other, and the microphone was said to be muted."""
    alone_N = voice(1.0)
    one_N, noticed = heard([alone_N, -louder * alone_N], "stereo")
    assert noticed == ["inverted_channel"]
    assert rms_db(one_N) == pytest.approx(rms_db(alone_N), abs=0.1)


@pytest.mark.parametrize(
    ("layout", "signs"), [("4 channels", (1, -1, 1, -1)), ("5.1", (1, -1, 0, 0, 0, 0)), ("quad", (1, 1, -1, -1))]
)
def test_inverted_channels_among_several_are_left_out(layout: str, signs: Sequence[int]) -> None:
    """Field report 16: of two channels one was taken, and of an interface's four they cancelled each other."""
    alone_N = voice(1.0)
    mixed_N, noticed = heard([sign * alone_N for sign in signs], layout)
    assert noticed == ["inverted_channel"]
    assert rms_db(mixed_N) == pytest.approx(rms_db(alone_N), abs=0.1)


def test_opposite_offsets_are_no_inverted_channel() -> None:
    """Field report 16: the correlation was that of the offsets, and not of the voice."""
    alone_N = 0.5 * voice(1.0)
    mixed_N, noticed = heard([alone_N + 0.2, alone_N - 0.2], "stereo")
    assert noticed == []
    assert rms_db(mixed_N) == pytest.approx(rms_db(alone_N), abs=0.1)


def test_a_voice_that_reaches_two_microphones_at_different_times_is_not_inverted() -> None:
    alone_N = voice(2.0)
    assert heard([alone_N, np.roll(alone_N, 80)], "stereo")[1] == []


def test_the_hiss_of_an_open_input_does_not_make_the_voice_beside_it_softer() -> None:
    """Field report 4: with hiss of -56 dB on the other channel, the voice was 6 dB softer than alone."""
    hiss_N = np.random.default_rng(0).normal(0, 1.5e-3, 2 * SAMPLE_RATE_HZ).astype(np.float32)
    alone_N = voice(2.0)
    assert rms_db(heard([alone_N, hiss_N], "stereo")[0]) == pytest.approx(rms_db(alone_N), abs=0.1)


def test_a_bang_on_one_channel_does_not_silence_a_soft_voice_on_the_other() -> None:
    """How loud a channel once was counts for half after ten seconds."""
    alone_N = 0.06 * voice(40.0)
    banged_N = np.zeros_like(alone_N)
    banged_N[:100] = 0.9
    mixed_N, _ = heard([banged_N, alone_N], "stereo")
    last_s = slice(-5 * SAMPLE_RATE_HZ, None)
    assert rms_db(mixed_N[last_s]) > rms_db(alone_N[last_s]) - 6.1


def test_hints_about_cables_are_for_those_who_can_change_them() -> None:
    """Field report 22: whoever opened a file was told to change the cable and the input."""
    hints = {}
    for live in (True, False):
        resampler = MonoResampler(live=live)
        left_N = voice(1.0) * 0.8
        pcm = (np.stack([left_N, 0.1 - left_N]) * 32767).astype(np.int16).T.reshape(1, -1).copy()
        frame = av.AudioFrame.from_ndarray(pcm, format="s16", layout="stereo")
        frame.sample_rate = SAMPLE_RATE_HZ
        list(resampler.push(frame, start_s=0.0))
        list(resampler.flush())
        hints[live] = " ".join(state.hint for state in resampler.noticed())
    assert "cable" in hints[True]
    assert hints[False]
    assert not {"cable", "plug", "interface"} & set(hints[False].split())


@pytest.mark.parametrize("drift", [0.0, 0.15])
def test_an_offset_is_taken_away(drift: float) -> None:
    """Field report 15: with an offset of 0.1, labels flipped (fear 0.61 to happy 0.94)."""
    alone_N = 0.5 * voice(4.0)
    offset_N = 0.1 + drift * np.linspace(0, 1, alone_N.size, dtype=np.float32)
    cleaned_N, noticed = heard([alone_N + offset_N], "mono")
    assert noticed == ["sound_offset"]
    assert abs(cleaned_N[1600:].mean()) < 2e-3
    assert rms_db(cleaned_N - cleaned_N.mean()) == pytest.approx(rms_db(alone_N), abs=0.3)


def test_sound_without_an_offset_passes_sample_for_sample() -> None:
    spoken_N = (SPOKEN * 32767).astype(np.int16)
    same_N, noticed = heard([SPOKEN], "mono")
    assert noticed == []
    np.testing.assert_array_equal(same_N, spoken_N.astype(np.float32) / 32768)


@pytest.mark.parametrize("seed", range(20))
def test_loud_noise_has_no_offset(seed: int) -> None:
    noise_N = np.random.default_rng(seed).normal(0, 0.25, 2 * SAMPLE_RATE_HZ).clip(-1, 1).astype(np.float32)
    assert heard([noise_N], "mono")[1] == []
