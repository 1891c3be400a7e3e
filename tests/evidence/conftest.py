"""Real material where it is there, public-domain material where it is not."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from realtime.records import SAMPLE_RATE_HZ, Float32, UInt8, VideoFrame

DATA = Path(os.environ.get("EMOTHINKER_DATA", Path(__file__).parents[3] / "shared" / "data"))


def clip(emotion: str) -> Path:
    """One of the three CREMA-D clips; the test is skipped where the data folder is missing."""
    path = DATA / "crema_d" / "clips" / f"1001_DFA_{emotion}_XX.flv"
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


@pytest.fixture(scope="session")
def portrait() -> UInt8:
    """A NASA portrait (public domain) that scikit-image ships: one smiling face in 512×512."""
    from skimage import data

    return np.asarray(data.astronaut())


@pytest.fixture(scope="session")
def portrait_face(portrait: UInt8) -> UInt8:
    """(200, 160, 3) cut of the portrait around the head."""
    return portrait[20:220, 145:305]
