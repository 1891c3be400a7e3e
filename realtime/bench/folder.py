"""How fast `realtime analyze` goes through a folder of short clips, from its start to its end, as one JSON line.

    python -m realtime.bench.folder [FOLDER] [--clips 200] [--seconds 3.7] [--copies N]

Without a folder, clips of so many seconds are cut out of the included recording, at starts that differ. Making them is
not measured. CPU time is that of all processes. Nothing else should run.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import av
import numpy as np

from realtime.commands.machine import usable_cores
from realtime.commands.program_parser import ProgramParser
from realtime.sample import SAMPLE

RATE_HZ = 48_000
VIDEO_BIT_RATE, AUDIO_BIT_RATE = 400_000, 48_000


def main() -> int:
    parser = ProgramParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, metavar="FOLDER", help="clips to analyse")
    parser.add_argument("--clips", type=int, default=200, help="clips that are cut (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=3.7, help="length of each (default: %(default)s)")
    parser.add_argument("--copies", type=int, help="as of `realtime analyze`")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = args.folder or cut_sample(Path(scratch) / "clips", args.clips, args.seconds)
        print(json.dumps(measured(folder, Path(scratch) / "out", args.copies)))
    return 0


def measured(folder: Path, out: Path, copies: int | None = None) -> dict[str, Any]:
    """Analyse a folder in a process of its own. Raises subprocess.CalledProcessError where that fails."""
    command = [sys.executable, "-m", "emothinker_start", "analyze", str(folder), "--out", str(out), "--format", "csv"]
    if copies is not None:
        command += ["--copies", str(copies)]
    before, began_s = os.times(), time.perf_counter()
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    wall_s, after = time.perf_counter() - began_s, os.times()
    cpu_s = after.children_user - before.children_user + after.children_system - before.children_system
    entries = [json.loads(line) for line in (out / "files.jsonl").read_text("utf-8").splitlines()]
    media_s = sum(entry["seconds"] for entry in entries if entry["status"] == "done")
    return {
        "clips": len(entries),
        "failed": sum(entry["status"] == "failed" for entry in entries),
        "media_s": round(media_s, 1),
        "wall_s": round(wall_s, 1),
        "cpu_s": round(cpu_s, 1),
        "times_real_time": round(media_s / wall_s, 2),
        "cores": usable_cores(),
        "copies": copies,
    }


def cut_sample(folder: Path, n_clips: int, seconds: float) -> Path:
    """Cut clips out of the included recording into a new folder; their starts are spread over it evenly."""
    folder.mkdir()
    with av.open(str(SAMPLE)) as source:
        fps = source.streams.video[0].average_rate
        assert fps is not None
        pictures = [frame.to_ndarray(format="rgb24") for frame in source.decode(video=0)]
    with av.open(str(SAMPLE)) as source:
        to_mono = av.AudioResampler(format="fltp", layout="mono", rate=RATE_HZ)
        parts = [part for frame in source.decode(audio=0) for part in to_mono.resample(frame)]
        sound_N = np.concatenate([part.to_ndarray()[0] for part in parts])
    spare_s = min(float(len(pictures) / fps), len(sound_N) / RATE_HZ) - seconds
    for number in range(n_clips):
        start_s = spare_s * number / max(n_clips - 1, 1)
        first, n_pictures = round(start_s * fps), round(seconds * fps)
        at = round(start_s * RATE_HZ)
        with av.open(str(folder / f"{number:03}.mp4"), "w") as clip:
            video = clip.add_stream("mpeg4", rate=fps, width=pictures[0].shape[1], height=pictures[0].shape[0])
            video.pix_fmt, video.bit_rate = "yuv420p", VIDEO_BIT_RATE
            audio = clip.add_stream("aac", rate=RATE_HZ, layout="mono")
            audio.bit_rate = AUDIO_BIT_RATE
            for picture_HW3 in pictures[first : first + n_pictures]:
                clip.mux(video.encode(av.VideoFrame.from_ndarray(picture_HW3, format="rgb24")))
            clip.mux(video.encode(None))
            spoken = av.AudioFrame.from_ndarray(
                sound_N[None, at : at + round(seconds * RATE_HZ)], format="fltp", layout="mono"
            )
            spoken.sample_rate = RATE_HZ
            clip.mux(audio.encode(spoken))
            clip.mux(audio.encode(None))
    return folder


if __name__ == "__main__":
    sys.exit(main())
