"""Measures brightness and saturation of the whole picture."""

from __future__ import annotations

import numpy as np

from realtime.evidence.resize import shrink
from realtime.records import Scene, UInt8

SAMPLE_PX = 64
"Side of the square to which the frame is averaged first, since noise would count as colour."


def measure_scene(rgb_HW3: UInt8) -> Scene:
    """Mean luma (BT.601) and mean HSV saturation, 0–1 each; zeros for a frame without pixels."""
    if rgb_HW3.size == 0:
        return Scene(brightness=0.0, saturation=0.0)
    small = shrink(rgb_HW3, SAMPLE_PX) / 255
    high, low = small.max(axis=-1), small.min(axis=-1)
    saturation = np.where(high > 0.02, (high - low) / np.maximum(high, 0.02), 0.0)
    luma = small @ np.array([0.299, 0.587, 0.114], np.float32)
    return Scene(brightness=float(luma.mean()), saturation=float(saturation.mean()))
