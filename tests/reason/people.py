"""Faces with a verdict, and frames that hold them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from realtime.records import LABELS, FaceCues, FrameEvidence
from tests.reason.windows import drawn_frame


def cues(track: int, label: str, share: float = 0.9, *, yaw: float = 0.0) -> FaceCues:
    p_7 = np.full(7, (1 - share) / 6, np.float32)
    p_7[LABELS.index(label)] = share
    return FaceCues(track, {}, (yaw, 0.0, 0.0), np.zeros(0, np.float32), verdict_7=np.log(p_7))


def frame(at_s: float, *faces: FaceCues) -> FrameEvidence:
    return replace(drawn_frame(at_s, 0, 0), cues=faces)
