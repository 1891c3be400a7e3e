"""Makes the recording that ships with the program, `realtime/sample/sample.webm`.

    realtime export sample [--out FILE]

A NASA portrait (public domain, from scikit-image) sways a little, as somebody before a camera does. espeak-ng says two
sentences, the first lively and high, the second low and slow, with pauses between them. Wants the extra `dev` and the
program espeak-ng (on Debian: apt-get install espeak-ng). Prints the size of the file.
"""

from __future__ import annotations

import argparse
import io
import shutil
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from skimage import data

from export import command
from realtime.commands.program_parser import ProgramParser
from realtime.errors import RealtimeError
from realtime.outputs import write_whole
from realtime.sample import SAMPLE

FPS = 12
SIZE_WH = (384, 288)
RATE_HZ = 48_000
VIDEO_BIT_RATE, AUDIO_BIT_RATE = 110_000, 32_000
CUT_WH = (400, 300)
"Of the photograph, 512×512: the face takes a third of the height."
SWAY_PX = (11.0, 4.0)
"How far the cut moves to each side. A picture that never moves is rightly told to be frozen."
GRAIN = 2
"Largest step of a camera's noise, in grey levels."
ROOM_RMS = 3e-4
"Of the room's noise, −70 dB of full scale: no microphone gives digital silence."
SPOKEN = (
    (("-v", "en+f3", "-p", "72", "-s", "165"), "It worked! I can't believe it, we did it, and on the very first try!"),
    (("-v", "en+f3", "-p", "28", "-s", "115"), "Nobody else was there to see it."),
)
"Voice, pitch and speed (espeak-ng's options), and the words."
PAUSE_S = 1.2


class NoVoice(RealtimeError):
    """The speech synthesiser is not installed."""

    code = "no_voice"


def main() -> int:
    parser = ProgramParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=SAMPLE, metavar="FILE", help="default: %(default)s")
    args = parser.parse_args()
    return command.run("export.sample", lambda: make(args.out))


def make(path: Path) -> int:
    sound_N = sentences()
    with write_whole(path) as part:
        write(part, pictures(round(sound_N.size / RATE_HZ * FPS)), sound_N)
    print(f"{path}: {sound_N.size / RATE_HZ:.1f} s, {path.stat().st_size / 1000:.0f} kB")
    return 0


def sentences() -> npt.NDArray[np.float32]:
    """(N,) at `RATE_HZ`: pause, sentence, pause, sentence, pause, over the noise of a room. Raises NoVoice."""
    pause_N = np.zeros(round(PAUSE_S * RATE_HZ), np.float32)
    parts = [pause_N]
    for options, words in SPOKEN:
        parts += [spoken(options, words), pause_N]
    sound_N = np.concatenate(parts)
    noise_N = np.random.default_rng(0).normal(0, ROOM_RMS, sound_N.size)
    heard_N: npt.NDArray[np.float32] = 0.5 * sound_N / np.abs(sound_N).max() + noise_N.astype(np.float32)
    return heard_N


def spoken(options: tuple[str, ...], words: str) -> npt.NDArray[np.float32]:
    """(N,) at `RATE_HZ`. Raises NoVoice."""
    program = shutil.which("espeak-ng")
    if program is None:
        raise NoVoice("espeak-ng is not installed.", "On Debian: sudo apt-get install espeak-ng")
    said = subprocess.run([program, *options, "--stdout", words], capture_output=True, check=True)
    with av.open(io.BytesIO(said.stdout), "r") as media:
        resampler = av.AudioResampler("flt", "mono", RATE_HZ)
        frames = [*media.decode(audio=0), None]
        return np.concatenate([part.to_ndarray()[0] for frame in frames for part in resampler.resample(frame)])


def portrait() -> npt.NDArray[np.uint8]:
    """(512, 512, 3): Eileen Collins, photographed by NASA."""
    return np.asarray(data.astronaut())


def pictures(n: int) -> Iterator[npt.NDArray[np.uint8]]:
    """n times (H, W, 3): the portrait, swaying slowly, with the grain of a camera."""
    whole_HW3, noise = portrait(), np.random.default_rng(0)
    (width, height), (sway_x, sway_y) = CUT_WH, SWAY_PX
    for at_s in np.arange(n) / FPS:
        left = round(30 + sway_x * float(np.sin(2 * np.pi * at_s / 5.3)))
        top = round(5 + sway_y * float(np.sin(2 * np.pi * at_s / 3.1)))
        cut_HW3 = whole_HW3[top : top + height, left : left + width]
        grain_HW1 = noise.integers(-GRAIN, GRAIN + 1, (height, width, 1))
        yield np.clip(cut_HW3 + grain_HW1, 0, 255).astype(np.uint8)


def write(path: Path, pictures_HW3: Iterator[npt.NDArray[np.uint8]], sound_N: npt.NDArray[np.float32]) -> None:
    """WebM with VP9 and Opus, which every current browser plays and any PyAV reads."""
    with av.open(str(path), "w", format="webm") as out:
        video = out.add_stream("libvpx-vp9", rate=FPS, options={"deadline": "good", "cpu-used": "1"})
        video.width, video.height, video.pix_fmt = *SIZE_WH, "yuv420p"
        video.bit_rate = VIDEO_BIT_RATE
        audio = out.add_stream("libopus", rate=RATE_HZ, layout="mono")
        audio.bit_rate = AUDIO_BIT_RATE
        for picture_HW3 in pictures_HW3:
            frame = av.VideoFrame.from_ndarray(picture_HW3, format="rgb24")
            out.mux(video.encode(frame.reformat(*SIZE_WH, format="yuv420p")))
        out.mux(video.encode())
        for start in range(0, sound_N.size, RATE_HZ // 50):
            step_N = sound_N[start : start + RATE_HZ // 50]
            heard = av.AudioFrame.from_ndarray(step_N[None], format="flt", layout="mono")
            heard.sample_rate, heard.pts, heard.time_base = RATE_HZ, start, Fraction(1, RATE_HZ)
            out.mux(audio.encode(heard))
        out.mux(audio.encode())


if __name__ == "__main__":
    sys.exit(main())
