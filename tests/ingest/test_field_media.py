"""Recordings that people met in the field and that went wrong once: each test is named after what was seen."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest
from aiortc.codecs.opus import OpusDecoder
from aiortc.jitterbuffer import JitterFrame
from scipy.signal import resample_poly

from realtime.errors import NotMedia
from realtime.ingest.convert import to_rgb
from realtime.ingest.hdr import HLG, PQ
from realtime.ingest.media import MediaSource
from realtime.ingest.mono import MonoResampler
from realtime.ingest.settings import IngestSettings
from realtime.ingest.speech import SpeechSettings
from realtime.records import SAMPLE_RATE_HZ
from tests.ingest.media_files import Received, room, voice, write_clip

Sound = npt.NDArray[np.float32]
SPOKEN = np.concatenate([room(0.8), voice(1.4), room(1.1)])


def open_media(path: Path | str) -> MediaSource:
    return MediaSource.open(str(path), ingest=IngestSettings(), speech=SpeechSettings())


def heard(channels: Sequence[Sound], layout: str) -> tuple[Sound, list[str]]:
    """What is heard of a track with these channels, and the codes of what was noticed."""
    sound_CN = (np.stack(channels) * 32767).astype(np.int16)
    resampler, chunks = MonoResampler(live=False), []
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
    decoder, resampler, chunks = OpusDecoder(), MonoResampler(live=True), []
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


@pytest.mark.parametrize("louder", [1.0, 0.5])
def test_an_inverted_channel_is_noticed_and_one_is_taken(louder: float) -> None:
    """Field report 16: the two cancelled each other, and the microphone was said to be muted."""
    alone_N = voice(1.0)
    one_N, noticed = heard([alone_N, -louder * alone_N], "stereo")
    assert noticed == ["inverted_channel"]
    assert rms_db(one_N) == pytest.approx(rms_db(alone_N), abs=0.1)


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


@pytest.mark.parametrize("hole_s", [61.0, 300.0])
async def test_a_hole_in_one_track_leaves_face_and_voice_together(
    hole_s: float, tmp_path: Path, received: Received
) -> None:
    """Field report 5: after a hole of 61 s and more in the sound, face and voice stood 65 s apart."""
    path = tmp_path / "hole.mkv"
    with av.open(str(path), "w") as out:
        video = out.add_stream("mpeg4", rate=1)
        video.width, video.height, video.pix_fmt = 32, 32, "yuv420p"
        sound = out.add_stream("pcm_s16le", rate=SAMPLE_RATE_HZ, layout="mono")
        spoken = (SPOKEN * 32767).astype(np.int16)
        for second in range(round(hole_s) + 12):
            picture = av.VideoFrame.from_ndarray(np.full((32, 32, 3), second % 200, np.uint8), format="rgb24")
            picture.pts, picture.time_base = second, Fraction(1)
            out.mux(video.encode(picture))
            if second in (0, 3, round(hole_s) + 6):
                frame = av.AudioFrame.from_ndarray(spoken[None], format="s16", layout="mono")
                frame.sample_rate, frame.pts = SAMPLE_RATE_HZ, second * SAMPLE_RATE_HZ
                frame.time_base = Fraction(1, SAMPLE_RATE_HZ)
                out.mux(sound.encode(frame))
        out.mux(video.encode())
    await received.all_of(open_media(path))
    spoken_s = [round(segment.start_s - 0.7, 0) for segment in received.segments]
    assert spoken_s == [0.0, 3.0, round(hole_s) + 6]
    assert received.frames[-1].at_s == pytest.approx(hole_s + 11, abs=1)


@pytest.mark.parametrize("stamps_s", [(36_000, 36_001, 36_002), (0, 1, 7_200, 7_201)], ids=["late", "leaps"])
async def test_a_clock_that_begins_late_or_leaps_is_no_missing_end(
    stamps_s: Sequence[int], tmp_path: Path, received: Received
) -> None:
    """Field report 5: Matroska tells its last stamp as its length, and so "36000.0 s sooner than its header says"."""
    path = tmp_path / "late.mkv"
    with av.open(str(path), "w") as out:
        video = out.add_stream("mpeg4", rate=1)
        video.width, video.height, video.pix_fmt = 32, 32, "yuv420p"
        for at_s in stamps_s:
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), at_s % 200, np.uint8), format="rgb24")
            frame.pts, frame.time_base = at_s, Fraction(1)
            out.mux(video.encode(frame))
        out.mux(video.encode())
    await received.all_of(open_media(path))
    assert received.reasons == ["end of file"]


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_none_are_silent(broken: float) -> None:
    """Field report 22: infinity in a float file became clicks at full scale, which were heard as speech throughout."""
    sound_N = room(1.0)
    sound_N[::1000] = broken
    frame = av.AudioFrame.from_ndarray(sound_N[None], format="fltp", layout="mono")
    frame.sample_rate = SAMPLE_RATE_HZ
    resampler = MonoResampler(live=False)
    chunks = [*resampler.push(frame, start_s=0.0), *resampler.flush()]
    assert np.abs(np.concatenate([chunk.samples_N for chunk in chunks])).max() < 2e-3


@pytest.mark.parametrize(
    "name",
    ["2024-05-01T12:30:00.mp4", "interview: take 2.mp4", "a|b.mp4", "50%.mp4", "img%d.mp4", "-dash.mp4", "[x]*?.mp4"],
)
async def test_a_path_is_a_path(name: str, tmp_path: Path, received: Received, monkeypatch: pytest.MonkeyPatch) -> None:
    """Field report 7: a time in a file's name was read as a protocol ("Protocol not found")."""
    plain = write_clip(tmp_path / "plain.mp4", pictures_s=[0.0, 0.1])
    plain.rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    await received.all_of(open_media(name))
    assert len(received.frames) == 1


def sounding(path: Path, tracks: Sequence[Sound], *, default: int | None = None) -> Path:
    """A recording with several tracks of sound."""
    with av.open(str(path), "w") as out:
        streams = [out.add_stream("pcm_s16le", rate=SAMPLE_RATE_HZ, layout="mono") for _ in tracks]
        for index, stream in enumerate(streams):
            stream.disposition = av.stream.Disposition.default if index == default else av.stream.Disposition(0)
        for start in range(0, tracks[0].size, 1600):
            for stream, track_N in zip(streams, tracks, strict=True):
                pcm = (track_N[start : start + 1600] * 32767).astype(np.int16)
                frame = av.AudioFrame.from_ndarray(pcm[None], format="s16", layout="mono")
                frame.sample_rate, frame.pts = SAMPLE_RATE_HZ, start
                frame.time_base = Fraction(1, SAMPLE_RATE_HZ)
                out.mux(stream.encode(frame))
    return path


@pytest.mark.parametrize(
    ("spoken", "default", "taken"),
    [((1,), None, 2), ((1,), 0, 2), ((0, 1), 1, 2), ((0, 1), None, 1), ((0,), 1, 1)],
    ids=["first silent", "default silent", "default second", "both", "default second silent"],
)
async def test_of_several_tracks_the_one_with_the_voice_is_heard(
    spoken: Sequence[int], default: int | None, taken: int, tmp_path: Path, received: Received
) -> None:
    """Field report 11: OBS's first track was silent, and the person was told to unmute the microphone."""
    tracks = [SPOKEN if index in spoken else np.zeros_like(SPOKEN) for index in range(2)]
    await received.all_of(open_media(sounding(tmp_path / "obs.mkv", tracks, default=default)))
    assert len(received.segments) == 1
    (state,) = received.states
    assert state.code == "several_audio_tracks"
    assert state.message == f"The recording has 2 audio tracks; number {taken} is heard."


def test_an_empty_audio_track_is_no_sound(tmp_path: Path) -> None:
    """Field report 22: it was waited for, and the microphone was said to be muted."""
    path = tmp_path / "empty.mkv"
    with av.open(str(path), "w") as out:
        video = out.add_stream("mpeg4", rate=10)
        video.width, video.height, video.pix_fmt = 32, 32, "yuv420p"
        out.add_stream("pcm_s16le", rate=SAMPLE_RATE_HZ, layout="mono")
        for index in range(20):
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), index, np.uint8), format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 10)
            out.mux(video.encode(frame))
        out.mux(video.encode())
    source = open_media(path)
    assert (source.has_video, source.has_audio) == (True, False)


RED, FLIPS = (220, 30, 30), [(0, 0), (1, 0), (0, 1)]


@pytest.mark.parametrize("degrees", [0, 90, -90, 180])
@pytest.mark.parametrize("flips", FLIPS, ids=["as it is", "mirrored", "upside down"])
def test_the_whole_display_matrix_is_followed(degrees: int, flips: tuple[int, int], tmp_path: Path) -> None:
    """Field report 13: mirrored pictures were turned upside down, and flipped ones left as they were.

    The expected place of the red corner follows from the definition: turned counter-clockwise, then mirrored.
    """
    picture_HW3 = np.full((48, 64, 3), 90, np.uint8)
    picture_HW3[:24, :32] = RED
    path = tmp_path / "turned.mp4"
    with av.open(str(path), "w") as out:
        video = out.add_stream("mpeg4", rate=10)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        video.set_display_rotation(degrees, *map(bool, flips))
        frame = av.VideoFrame.from_ndarray(picture_HW3, format="rgb24")
        frame.pts, frame.time_base = 0, Fraction(1, 10)
        out.mux(video.encode(frame))
        out.mux(video.encode())
    expected_HW3 = np.rot90(picture_HW3, k=degrees // 90)
    if flips[0]:
        expected_HW3 = expected_HW3[:, ::-1]
    if flips[1]:
        expected_HW3 = expected_HW3[::-1]
    with av.open(str(path)) as file:
        seen_HW3 = to_rgb(next(file.decode(video=0)), max_side_px=640)
    assert seen_HW3.shape == expected_HW3.shape
    assert np.abs(seen_HW3.astype(int) - expected_HW3).mean() < 12


def coded(nits: float, transfer: int) -> float:
    """The code of a grey of so many cd/m² (ITU-R BT.2100, tables 4 and 5)."""
    if transfer == PQ:
        y = (nits / 10_000) ** (2610 / 16384)
        return float(((3424 / 4096 + 2413 / 128 * y) / (1 + 2392 / 128 * y)) ** (2523 / 32))
    scene = (nits / 1_000) ** (1 / 1.2)
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return float(np.sqrt(3 * scene) if scene <= 1 / 12 else a * np.log(12 * scene - b) + c)


@pytest.mark.parametrize("transfer", [PQ, HLG])
@pytest.mark.parametrize(("nits", "wanted"), [(0.0, 0), (26.0, 108), (100.0, 190), (203.0, 243), (1_000.0, 253)])
def test_hdr_video_is_as_bright_as_it_looks(transfer: int, nits: float, wanted: int) -> None:
    """Field report 20: phones' HLG and PQ video was "dim". 26 cd/m² is grey card, 203 is diffuse white (BT.2408)."""
    grey_HW3 = np.full((16, 16, 3), round(coded(nits, transfer) * 65535), np.uint16)
    frame = av.VideoFrame.from_ndarray(grey_HW3, format="rgb48le")
    frame.color_trc = transfer
    assert to_rgb(frame, max_side_px=16).mean() == pytest.approx(wanted, abs=4)


def test_a_git_lfs_pointer_is_said_to_be_one(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n")
    with pytest.raises(NotMedia, match="git-LFS pointer") as refused:
        open_media(path)
    assert refused.value.hint == "Run: git lfs pull"


def test_a_recording_that_was_never_finished_is_said_to_be_one(tmp_path: Path) -> None:
    whole = write_clip(tmp_path / "whole.mp4", pictures_s=[0.0, 0.1], sound_N=SPOKEN).read_bytes()
    at, boxes = 0, b""
    while at < len(whole):
        size = struct.unpack(">I", whole[at : at + 4])[0]
        boxes += b"" if whole[at + 4 : at + 8] == b"moov" else whole[at : at + size]
        at += size
    path = tmp_path / "crashed.mp4"
    path.write_bytes(boxes)
    with pytest.raises(NotMedia, match="never finished"):
        open_media(path)
