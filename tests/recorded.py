"""Recorded clips, where the data folder is at hand."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from realtime.records import SAMPLE_RATE_HZ, Float32, VideoFrame

DATA = Path(os.environ.get("EMOTHINKER_DATA", Path(__file__).parents[2] / "shared" / "data"))
"The folder of recorded clips, beside the repository unless the environment names another. It may be missing."
CLIPS = DATA / "crema_d" / "clips"


def real_clips() -> list[Path]:
    """Every clip that is there, by name."""
    return sorted(CLIPS.glob("*.flv"))


def clip(emotion: str) -> Path:
    """One of the three CREMA-D clips; the test is skipped where the data folder is missing."""
    path = CLIPS / f"1001_DFA_{emotion}_XX.flv"
    if not path.is_file():
        pytest.skip(f"no clip at {path}; set EMOTHINKER_DATA to the data folder")
    return path


def frames_of(path: Path, every_s: float) -> list[VideoFrame]:
    import av

    kept: list[VideoFrame] = []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            at_s = float(frame.time or 0.0)
            if not kept or at_s >= kept[-1].at_s + every_s:
                kept.append(VideoFrame(at_s, frame.to_ndarray(format="rgb24")))
    return kept


def sound_of(path: Path) -> Float32:
    import av

    resampler = av.AudioResampler("flt", "mono", SAMPLE_RATE_HZ)
    with av.open(str(path)) as container:
        parts = [part.to_ndarray()[0] for frame in container.decode(audio=0) for part in resampler.resample(frame)]
    return np.concatenate(parts)
