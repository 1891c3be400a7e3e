"""Recorded clips, where `EMOTHINKER_DATA` names a data folder (CONTRIBUTING.md). Without one, tests of them skip."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from realtime.records import SAMPLE_RATE_HZ, Float32, VideoFrame

DATA = Path(os.environ["EMOTHINKER_DATA"]) if os.environ.get("EMOTHINKER_DATA") else None


def real_clips() -> list[Path]:
    """Every CREMA-D clip that is there, by name."""
    return sorted((DATA / "crema_d" / "clips").glob("*.flv")) if DATA else []


def clip(emotion: str) -> Path:
    """One of the three CREMA-D clips; the test is skipped where there is none."""
    name = f"1001_DFA_{emotion}_XX.flv"
    found = [path for path in real_clips() if path.name == name]
    if not found:
        pytest.skip(f"no {name}; set EMOTHINKER_DATA to the data folder")
    return found[0]


def frames_of(path: Path, every_s: float) -> list[VideoFrame]:
    import av

    kept: list[VideoFrame] = []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            at_s = float(frame.time or 0.0)
            if not kept or at_s >= kept[-1].at_s + every_s:
                kept.append(VideoFrame(at_s, np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)))
    return kept


def sound_of(path: Path) -> Float32:
    import av

    resampler = av.AudioResampler("flt", "mono", SAMPLE_RATE_HZ)
    with av.open(str(path)) as container:
        parts = [part.to_ndarray()[0] for frame in container.decode(audio=0) for part in resampler.resample(frame)]
    return np.concatenate(parts)
