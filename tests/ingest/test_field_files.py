"""Field reports 17, 22 and 4: files that are something else than their name says, and headers that are wrong."""

from __future__ import annotations

import io
import os
import struct
import threading
import wave
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import av
import numpy as np
import pytest
from av.audio.stream import AudioStream
from PIL import Image
from scipy.signal import resample_poly

from realtime.errors import NotMedia
from realtime.ingest.files import beyond_header_s
from realtime.ingest.media import check
from realtime.ingest.settings import IngestSettings
from realtime.records import SpeechSegment
from tests.ingest.heic import TILE_PX, write_grid
from tests.ingest.media_files import open_media, room, voice, write_clip
from train.readers import sound

GRID = Path(__file__).parents[1] / "fixtures" / "grid.avif"
SPOKEN = np.concatenate([room(0.8), voice(1.4), room(1.1)])
PCM = (SPOKEN * 32767).astype("<i2").tobytes()
INFO = b"LIST" + struct.pack("<I", 26) + b"INFOISFT" + struct.pack("<I", 14) + b"Lavf62.3.100\0\0"


def zipped() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("talk.mp4", "…")
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("talk.mp4", b"", "is empty"),
        ("talk.wav", b"", "is empty"),
        ("talk.mp4", bytes(50_000), "nothing but zeros"),
        ("talk.mp4", b"We met at ten and talked.\n" * 40, "is text, not media"),
        ("talk.wav", "Äußerst nützlich.\n".encode() * 400, "is text, not media"),
        ("talk.mp4", "We met at ten and talked.\n".encode("utf-16") * 40, "is text, not media"),
        ("talk.mp4", b'{"error": {"code": 404}}', "is text, not media"),
        ("talk.mp4", b"\n<!DOCTYPE html><html><body>Sign in</body></html>", "is a web page"),
        ("talk.m3u8", b"#EXTM3U\n#EXTINF:10,\nhttp://example.org/a.ts\n", "is a playlist"),
        ("talk.mp4", zipped(), "is a ZIP archive"),
        ("talk.mp4", b"\xef\xbb\xbfversion https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n", "git-LFS pointer"),
        ("talk.mp4", b"/annex/objects/SHA256E-s12345--4d7a.mp4\n", "git-annex pointer"),
    ],
)
def test_what_is_no_recording_is_called_what_it_is(tmp_path: Path, name: str, data: bytes, says: str) -> None:
    """Each of them was "Invalid data found when processing input", and to be checked in a video player."""
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(NotMedia, match=says) as refused:
        open_media(path)
    assert "Invalid data" not in refused.value.message
    assert refused.value.hint
    with pytest.raises(NotMedia, match=says):
        sound.read(path)


def test_damaged_media_is_still_called_damaged(tmp_path: Path) -> None:
    path = tmp_path / "talk.mkv"
    path.write_bytes(b"\x1a\x45\xdf\xa3" + np.random.default_rng(0).bytes(5_000))
    with pytest.raises(NotMedia, match="cannot be read as media"):
        open_media(path)


@pytest.mark.parametrize("kept", [10, 28, 3_000])
def test_an_mp4_whose_download_broke_off_was_never_finished(tmp_path: Path, kept: int) -> None:
    whole = write_clip(tmp_path / "whole.mp4", pictures_s=[0.0, 0.1], sound_N=SPOKEN).read_bytes()
    path = tmp_path / "half.mp4"
    path.write_bytes(whole[:kept])
    with pytest.raises(NotMedia, match="never finished") as refused:
        open_media(path)
    assert "Download or copy it again" in refused.value.hint


def wav(path: Path, *, data_size: int, riff_size: int | None = None, after: bytes = b"") -> Path:
    form = b"fmt " + struct.pack("<IHHIIHH", 16, 1, 1, 16_000, 32_000, 2, 16)
    body = b"WAVE" + form + b"data" + struct.pack("<I", data_size) + PCM + after
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body) if riff_size is None else riff_size) + body)
    return path


@pytest.mark.parametrize(
    ("data_size", "riff_size"),
    [
        (100, None),
        (100, 136),
        (99, 136),
        (len(PCM) // 2, None),
        (0, 36),
        (0xFFFFFFFF, 0xFFFFFFFF),
        (3 * len(PCM), None),
    ],
    ids=["100 bytes", "100 bytes, twice said", "an odd length", "half", "none", "a stream", "three times as much"],
)
def test_a_wav_file_is_read_to_its_end_whatever_its_header_says(
    tmp_path: Path, data_size: int, riff_size: int | None
) -> None:
    """A recorder that was killed had written the length of its first block: 100 bytes were played, without a word."""
    path = wav(tmp_path / "killed.wav", data_size=data_size, riff_size=riff_size)
    (segment,) = [item for item in open_media(path).read() if isinstance(item, SpeechSegment)]
    assert segment.end_s > 2.0
    assert len(sound.read(path)) == pytest.approx(len(SPOKEN), abs=400)


@pytest.mark.parametrize("after", [INFO, b"id3 " + struct.pack("<I", 20) + bytes(20), b"ID3\x03" + bytes(9000)])
@pytest.mark.parametrize("filled", [b"", bytes(9000)], ids=["", "filled with zeros"])
def test_what_follows_the_sound_of_a_wav_file_is_not_heard(tmp_path: Path, after: bytes, filled: bytes) -> None:
    assert beyond_header_s(wav(tmp_path / "tagged.wav", data_size=len(PCM), after=after + filled)) == 0.0
    assert beyond_header_s(wav(tmp_path / "filled.wav", data_size=len(PCM), after=filled)) == 0.0


def surround(path: Path, codec: str, layout: str, speaking: Sequence[str]) -> Path:
    """A recording with the voice on some channels, 40 Hz on the one for low frequencies, and nothing on the others."""
    names = [channel.name for channel in av.AudioLayout(layout).channels]
    voice_N = resample_poly(SPOKEN, 3, 1).astype(np.float32)
    rumble_N = (0.8 * np.sin(2 * np.pi * 40 * np.arange(voice_N.size) / 48_000)).astype(np.float32)
    sound_CN = np.stack([voice_N * (name in speaking) + rumble_N * (name == "LFE") for name in names])
    whole = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound_CN.T).reshape(1, -1), format="flt", layout=layout)
    whole.sample_rate, whole.pts = 48_000, 0
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=48_000, layout=layout)
        assert isinstance(stream, AudioStream)
        resampler = av.AudioResampler(stream.format.name, layout, 48_000, stream.frame_size or 1024)
        for frame in [*resampler.resample(whole), *resampler.resample(None)]:
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path


@pytest.mark.parametrize("speaking", [["FC"], ["FL", "FR"], ["FL", "FR", "FC", "BL", "BR", "SL", "SR"]], ids="-".join)
@pytest.mark.parametrize(
    ("name", "codec", "layout"),
    [
        ("film.ac3", "ac3", "5.1(side)"),
        ("film.mkv", "eac3", "5.1"),
        ("film.m4a", "aac", "7.1"),
        # FFmpeg reads these without the places of their channels.
        ("wide.m4a", "aac", "7.1(wide)"),
        ("side.mp4", "aac", "5.1(side)"),
        ("back.mkv", "aac", "6.1"),
        ("film.opus", "libopus", "7.1"),
        ("film.wav", "pcm_s16le", "7.1"),
        ("film.flac", "flac", "5.1"),
    ],
)
def test_a_film_in_surround_has_its_voice_at_its_level(
    tmp_path: Path, name: str, codec: str, layout: str, speaking: Sequence[str]
) -> None:
    """A voice in the centre, as films have it, was clipped, and the low frequencies were heard as part of it.

    In AAC of 7.1(wide) they were heard at the level of the voice, after the same had been mended for other layouts.
    """
    path = surround(tmp_path / name, codec, layout, speaking)
    (alone,) = [x for x in open_media(write_clip(tmp_path / "a.wav", sound_N=SPOKEN, audio_codec="pcm_s16le")).read()
                if isinstance(x, SpeechSegment)]  # fmt: skip
    (segment,) = [item for item in open_media(path).read() if isinstance(item, SpeechSegment)]
    level, wanted = (float(np.sqrt(np.mean(np.square(s.samples_N)))) for s in (segment, alone))
    assert 20 * np.log10(level / wanted) == pytest.approx(0.0, abs=0.3)
    assert segment.start_s == pytest.approx(alone.start_s, abs=0.1)


def test_a_picture_in_tiles_is_refused_in_words(tmp_path: Path) -> None:
    """Field report 17: of an iPhone's HEIC, and of an AVIF grid, the top-left tile was taken for the picture."""
    picture_HW3 = np.random.default_rng(0).integers(0, 256, (2 * TILE_PX, 3 * TILE_PX, 3), np.uint8)
    heic = write_grid(tmp_path / "IMG_0001.HEIC", picture_HW3)
    with av.open(str(heic)) as file:
        tile_HW3 = next(file.decode(video=0)).to_ndarray(format="rgb24")
    assert tile_HW3.shape == (TILE_PX, TILE_PX, 3), "the first tile decodes, so that it could be taken for the picture"
    for path, n_tiles in ((heic, 6), (GRID, 4)):
        with pytest.raises(NotMedia, match=f"stored in {n_tiles} tiles") as refused:
            open_media(path)
        assert "JPEG" in refused.value.hint


def piped(source: Path, pipe: Path) -> threading.Thread:
    """A writer of the file's bytes into a pipe, until they are through or nobody reads them any more."""
    os.mkfifo(pipe)

    def write() -> None:
        with suppress(BrokenPipeError), pipe.open("wb") as out:
            out.write(source.read_bytes())

    writer = threading.Thread(target=write)
    writer.start()
    return writer


@pytest.mark.parametrize("name", ["talk.mkv", "talk.wav", "two.mkv"])
def test_a_recording_is_read_through_a_pipe(name: str, tmp_path: Path) -> None:
    """Field report 7: its beginning was looked at first, and the rest waited for a writer that had gone, for ever."""
    pictures_s = [0.0, 0.1] if name.endswith("mkv") else []
    codec = "libopus" if name.startswith("two") else "pcm_s16le"
    whole = write_clip(tmp_path / name, pictures_s=pictures_s, sound_N=SPOKEN, audio_codec=codec)
    writer = piped(whole, tmp_path / "pipe")
    items = list(open_media(tmp_path / "pipe").read())
    writer.join(10)
    assert len([item for item in items if isinstance(item, SpeechSegment)]) == 1


def test_a_recording_whose_index_comes_last_is_refused_of_a_pipe_in_words(tmp_path: Path) -> None:
    whole = write_clip(tmp_path / "whole.mp4", pictures_s=[0.0, 0.1], sound_N=np.concatenate([SPOKEN] * 20))
    writer = piped(whole, tmp_path / "pipe")
    with pytest.raises(NotMedia, match="through the pipe") as refused:
        open_media(tmp_path / "pipe")
    writer.join(10)
    assert "save it to a file" in refused.value.hint
    with pytest.raises(NotMedia, match="read only once"):
        check(str(tmp_path / "pipe"), IngestSettings())


def test_an_animated_webp_is_called_so(tmp_path: Path) -> None:
    """It held "no picture that can be decoded", and any video player was to show that it was damaged."""
    path = tmp_path / "wave.webp"
    one, two = (Image.fromarray(np.full((32, 32, 3), grey, np.uint8)) for grey in (40, 200))
    one.save(path, save_all=True, append_images=[two])
    with pytest.raises(NotMedia, match="animated WebP"):
        open_media(path)
    one.save(path)
    assert open_media(path).has_video


def test_a_track_too_coarse_for_a_voice_is_no_sound(tmp_path: Path) -> None:
    """128 kB of a WAV file whose header says 1 sample a second were resampled as 18 hours of sound."""
    path = tmp_path / "measured.wav"
    with wave.open(str(path), "w") as file:
        file.setparams((1, 2, 1, 0, "NONE", ""))
        file.writeframes(PCM)
    with pytest.raises(NotMedia, match="no sound"):
        open_media(path)
