"""Decoded pictures of any format into the program's arrays: upright RGB in standard dynamic range."""

from __future__ import annotations

import struct
from fractions import Fraction
from typing import Any, cast

import av
import numpy as np
from av.sidedata import sidedata

from realtime.ingest import hdr
from realtime.records import UInt8

MAX_SIDE_PX = 1280
"Sampled frames with a longer side are scaled down to it."


def _named_by_its_number(kinds: type[sidedata.Type], number: int) -> sidedata.Type:
    """A kind of side data that PyAV has no name for."""
    kind: Any = object.__new__(kinds)
    kind._name_, kind._value_ = f"NUMBER_{number}", number
    return cast("sidedata.Type", kind)


# FFmpeg 8 hands on EXIF, the views of stereo video and LCEVC with a picture. PyAV 18 has no names for them, and raised
# ValueError of every photograph of a phone when the matrix beside them was read.
sidedata.Type._missing_ = classmethod(_named_by_its_number)  # type: ignore[assignment, method-assign]


def to_rgb(frame: av.VideoFrame, *, max_side_px: int = MAX_SIDE_PX, pixel_aspect: Fraction | None = None) -> UInt8:
    """(H, W, 3) uint8, turned and mirrored as the display matrix says, pixels square, tone-mapped where it is HDR.

    No side is longer than `max_side_px`.
    """
    width, height = float(frame.width * (pixel_aspect or 1)), float(frame.height)
    scale = min(1.0, max_side_px / max(width, height))
    size = {"width": max(1, round(width * scale)), "height": max(1, round(height * scale))}
    if frame.color_trc in hdr.TRANSFERS:
        # 16 bits, as eight are too few before the curve is straightened.
        wide_HW3 = frame.reformat(format="rgb48le", **size).to_ndarray()
        rgb_HW3 = hdr.tone_map(np.asarray(wide_HW3, np.uint16), frame.color_trc)
    else:
        rgb_HW3 = np.asarray(frame.reformat(format="rgb24", **size).to_ndarray(), np.uint8)
    return _upright(rgb_HW3, frame)


def _upright(rgb_HW3: UInt8, frame: av.VideoFrame) -> UInt8:
    """The picture as it is meant to be seen.

    Phones store the sensor's rows, and a matrix that says how the phone was held; front cameras mirror with it. A
    stored pixel (x, y) belongs at (a·x + c·y, b·x + d·y), with the matrix in rows of a, b, 0 and c, d, 0
    (ISO/IEC 14496-12, 8.2.2; libavutil/display.h).
    """
    matrix: Any = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return np.ascontiguousarray(rgb_HW3)
    a, b, _, c, d = struct.unpack_from("<5i", bytes(matrix))
    x, y = a, d
    if abs(b) + abs(c) > abs(a) + abs(d):
        rgb_HW3, x, y = rgb_HW3.transpose(1, 0, 2), c, b
    return np.ascontiguousarray(rgb_HW3[:: -1 if y < 0 else 1, :: -1 if x < 0 else 1])
