"""What Chromium is given as its camera and microphone: a real clip, or a portrait that speaks with a made-up voice.

Both files loop. The picture goes forwards and back again, so that the loop has no jump, and each sentence is followed
by room noise for as long, so that the speech ends. Noise is added to picture and sound: a picture without any would
rightly be reported as frozen, and digital silence as a muted microphone.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import wave
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from tests.recorded import real_clips

RATE_HZ = 48_000
FPS = 15
SIZE_WH = (640, 480)
ROOM_NOISE = 0.001
"Amplitude, about −60 dBFS."
SENTENCE = "I can not believe it. You came all this way, and you brought the whole family with you!"


@dataclass(frozen=True)
class FakeCamera:
    video: Path
    audio: Path
    made_of: str

    def flags(self) -> list[str]:
        return [
            "--use-fake-ui-for-media-stream",
            "--use-fake-device-for-media-stream",
            f"--use-file-for-fake-video-capture={self.video}",
            f"--use-file-for-fake-audio-capture={self.audio}",
        ]


def best_there_is(folder: Path) -> FakeCamera:
    """A real clip where the data folder is at hand, else the portrait."""
    happy = [clip for clip in real_clips() if "HAP" in clip.name]
    return from_clip(happy[0], folder) if happy else portrait(folder)


def from_clip(clip: Path, folder: Path) -> FakeCamera:
    frames, samples = _decode(clip)
    return _write(frames, samples, folder, made_of=clip.name)


def portrait(folder: Path) -> FakeCamera:
    """Eileen Collins (NASA, public domain; scikit-image ships it), moving a little, and a synthetic voice."""
    from skimage import data

    picture_HW3 = data.astronaut()
    samples = _spoken()
    n_frames = int(FPS * samples.size / RATE_HZ)
    frames = [_crop(picture_HW3, phase=index / n_frames) for index in range(n_frames)]
    return _write(frames, samples, folder, made_of="portrait")


def _crop(picture_HW3: npt.NDArray[np.uint8], *, phase: float) -> npt.NDArray[np.uint8]:
    """A 4:3 cut of which the face takes a third of the height, swaying by a few pixels."""
    x, y = (30 + 12 * np.sin(np.pi * phase), 4 + 3 * np.cos(np.pi * phase))
    left, top = round(float(x)), round(float(y))
    return picture_HW3[top : top + 300, left : left + 400]


def _decode(clip: Path) -> tuple[list[npt.NDArray[np.uint8]], npt.NDArray[np.float32]]:
    with av.open(str(clip)) as media:
        rate = float(media.streams.video[0].average_rate or 30)
        pictures = [np.asarray(frame.to_ndarray(format="rgb24"), np.uint8) for frame in media.decode(video=0)]
    with av.open(str(clip)) as media:
        resampler = av.AudioResampler("flt", "mono", RATE_HZ)
        heard = [part for frame in media.decode(audio=0) for part in resampler.resample(frame)]
        samples = np.concatenate([part.to_ndarray()[0] for part in heard])
    n_frames = int(len(pictures) / rate * FPS)
    return [pictures[min(len(pictures) - 1, round(index * rate / FPS))] for index in range(n_frames)], samples


def _write(
    frames: list[npt.NDArray[np.uint8]], samples: npt.NDArray[np.float32], folder: Path, *, made_of: str
) -> FakeCamera:
    folder.mkdir(parents=True, exist_ok=True)
    video, audio = folder / "camera.y4m", folder / "microphone.wav"
    noise = np.random.default_rng(0)
    with av.open(str(video), "w", format="yuv4mpegpipe") as media:
        stream = media.add_stream("wrapped_avframe", rate=FPS)
        stream.width, stream.height = SIZE_WH
        stream.pix_fmt = "yuv420p"
        for picture_HW3 in frames + frames[::-1]:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture_HW3), format="rgb24")
            large_HW3 = frame.reformat(*SIZE_WH, format="rgb24").to_ndarray().astype(np.int16)
            noisy_HW3 = large_HW3 + noise.integers(-1, 2, large_HW3.shape, dtype=np.int16)
            grain = av.VideoFrame.from_ndarray(noisy_HW3.clip(0, 255).astype(np.uint8), format="rgb24")
            media.mux(stream.encode(grain.reformat(format="yuv420p")))
        media.mux(stream.encode(None))
    level = samples / max(0.05, float(np.abs(samples).max())) * 0.5
    spoken = np.concatenate([level, np.zeros(2 * len(frames) * RATE_HZ // FPS - level.size, np.float32)])
    spoken += noise.normal(0, ROOM_NOISE, spoken.size).astype(np.float32)
    with wave.open(str(audio), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE_HZ)
        out.writeframes((spoken.clip(-1, 1) * 32_767).astype("<i2").tobytes())
    return FakeCamera(video, audio, made_of)


def _spoken() -> npt.NDArray[np.float32]:
    """A sentence, by espeak-ng where it is installed, else vowels from pulses through formants."""
    program = shutil.which("espeak-ng")
    if program is None:
        return _vowels()
    said = subprocess.run(
        [program, "-v", "en+f3", "-p", "60", "-s", "150", "--stdout", SENTENCE], capture_output=True, check=True
    )
    with av.open(io.BytesIO(said.stdout), "r") as media:
        resampler = av.AudioResampler("flt", "mono", RATE_HZ)
        parts = [part.to_ndarray()[0] for frame in media.decode(audio=0) for part in resampler.resample(frame)]
    return np.concatenate(parts)


def _vowels() -> npt.NDArray[np.float32]:
    """Four seconds of a voice-like sound: a falling pitch, syllables, three formants that move from vowel to vowel."""
    n = 4 * RATE_HZ
    at_s = np.arange(n) / RATE_HZ
    pitch_hz = 210 - 14 * at_s + 18 * np.sin(2 * np.pi * 1.3 * at_s)
    pulses = (np.diff(np.floor(np.cumsum(pitch_hz) / RATE_HZ), prepend=0) > 0).astype(np.float64)
    spectrum = np.fft.rfft(pulses)
    freq_hz = np.fft.rfftfreq(n, 1 / RATE_HZ)
    sound = np.zeros(n)
    vowels = ((730, 1090, 2440), (270, 2290, 3010), (570, 840, 2410), (530, 1840, 2480))
    for index, formants_hz in enumerate(vowels):
        gain = sum(1 / (1 + ((freq_hz - formant) / 80) ** 2) for formant in formants_hz)
        turn = np.clip(np.cos(2 * np.pi * (at_s - index * 0.25)), 0, 1)
        sound += np.fft.irfft(spectrum * gain, n) * turn
    syllables = 0.15 + 0.85 * np.clip(np.sin(2 * np.pi * 2.1 * at_s), 0, 1) ** 0.5
    return np.asarray(sound * syllables, np.float32)
