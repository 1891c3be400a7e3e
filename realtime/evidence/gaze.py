"""Measures where a pair of eyes looks, from the irises of a face mesh.

An eyeball's centre is fixed in the head, so the mesh says where it lies in the picture. Seen from there, the iris lies
in the direction of gaze: its offset in pixels, over the distance between both, is the sine of the angle. Of a pair of
eyes the mean counts, which cancels what is the same for both with opposite signs.

The lengths are anatomy and statistics of portraits (`realtime train evaluation.gaze`), and no person's own: a gaze is
off by a few degrees that stay the same for a person. Differences within a person are more exact.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from realtime.evidence.cues import EYE_INNER, EYE_OUTER, head_axes, head_pose, to_pixels
from realtime.records import Float32

BoolMask = npt.NDArray[np.bool_]

IRIS = (468, 473)
"Centres of the irises: of the person's right eye, then of the left one."
LID_UPPER, LID_LOWER = (159, 386), (145, 374)

# Lengths in units of the distance between the outer eye corners.
RADIUS = 0.115
"From an eyeball's centre to its iris: 10 mm, where the outer corners are 87 mm apart."
BEHIND = 0.06
"""How far the centre lies behind the middle of the eye's corners: 5 mm. Anatomy and portraits with a turned head say up
to 7; less errs less, since the mesh takes the shape of many a face for a head that looks up or down."""
ABOVE = 0.0096
"How far it lies above that: the median of 422 pictures (muxspace), of which none looks up more than others look down."

LEAST_PX = 36.0
"Distance between the outer eye corners, in pixels, below which an iris is under five pixels wide, and nothing is told."
LEAST_OPENING = 0.12
"Distance between the lids, in widths of the eye, below which an iris is covered. Open eyes have 0.2 to 0.4."
MOST_TURNED_DEG = 40.0
"Yaw of the head beyond which its farther eye is hidden by the nose, and the mesh guesses it."
MOST_SINE = 0.87
"Sine of the widest gaze: 60°. Further out lies only an iris that was not found."


def gaze(mesh_N3: Float32, width: int, height: int) -> tuple[float, float] | None:
    """(yaw, pitch) in degrees, with the signs of `head_pose`, against the camera's axis: (0, 0) looks into the camera.

    None where the eyes are closed, too small, or turned away. `mesh_N3`: (478, 3) in 0–1 of the frame.
    """
    yaw_pitch_2 = gaze_angles(mesh_N3, width, height)
    if not np.isfinite(yaw_pitch_2).all():
        return None
    yaw, pitch = yaw_pitch_2.tolist()
    return round(yaw, 1), round(pitch, 1)


def gaze_angles(mesh_N3: Float32, width: int, height: int) -> Float32:
    """(..., 2) as `gaze`, of any number of meshes; NaN where that has None."""
    offset_2 = iris_offset(mesh_N3, width, height)  # (..., 2) right and down
    sine = np.linalg.norm(offset_2, axis=-1)
    right, down = offset_2[..., 0], offset_2[..., 1]
    with np.errstate(invalid="ignore"):
        towards = np.sqrt(1.0 - sine**2)
        angles = np.degrees(np.stack([np.arctan2(right, towards), -np.arcsin(down)], axis=-1)).astype(np.float32)
    seen = (sine <= MOST_SINE) & _shows_eyes(mesh_N3, width, height)
    told: Float32 = np.where(seen[..., None], angles, np.float32(np.nan))
    return told


def iris_offset(mesh_N3: Float32, width: int, height: int) -> Float32:
    """(..., 2) from the eyeballs' centres to the irises in the picture, right and down, in units of `RADIUS`."""
    pixels_N3 = to_pixels(mesh_N3, width, height)
    outer, inner = pixels_N3[..., EYE_OUTER, :], pixels_N3[..., EYE_INNER, :]  # (..., 2 eyes, 3)
    size = np.linalg.norm(outer[..., 1, :] - outer[..., 0, :], axis=-1)[..., None]
    axes_33 = head_axes(pixels_N3)
    from_corners = size * (BEHIND * axes_33[..., 2, :] - ABOVE * axes_33[..., 1, :])
    centres = (outer + inner) / 2 + from_corners[..., None, :]
    offset = (pixels_N3[..., IRIS, :2] - centres[..., :2]).mean(axis=-2)
    scaled: Float32 = offset / np.maximum(RADIUS * size, 1e-6)
    return scaled


def _shows_eyes(mesh_N3: Float32, width: int, height: int) -> BoolMask:
    """Whether both eyes are open, large enough, and turned to the camera."""
    pixels_N3 = to_pixels(mesh_N3, width, height)
    outer, inner = pixels_N3[..., EYE_OUTER, :], pixels_N3[..., EYE_INNER, :]
    between = np.linalg.norm(outer[..., 1, :] - outer[..., 0, :], axis=-1)
    opening = np.linalg.norm(pixels_N3[..., LID_UPPER, :] - pixels_N3[..., LID_LOWER, :], axis=-1)
    widths = np.linalg.norm(outer - inner, axis=-1)
    is_open = (opening >= LEAST_OPENING * widths).all(axis=-1)
    yaw = head_pose(mesh_N3, width, height)[..., 0]
    shows: BoolMask = (between >= LEAST_PX) & is_open & (np.abs(yaw) <= MOST_TURNED_DEG)
    return shows
