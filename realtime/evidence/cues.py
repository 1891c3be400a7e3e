"""Measures a face mesh: aligned geometry, facial action cues after FACS, and head pose.

Everything here is arithmetic on landmarks and takes any leading axes. So training measures 35,000 faces in one call
with the code that measures one face live. A raw cue is a signed length on the face, in units of the distance between
the outer eye corners, after undoing the head's rotation. It has no zero of its own; `baseline.FaceBaseline` gives it
one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from realtime.records import Face, FaceCues, Float32

if TYPE_CHECKING:
    from realtime.evidence.baseline import FaceBaseline

N_ALIGNED = 468
"Landmarks of the face itself. The ten after them are the irises."
GEOMETRY_SIZE = N_ALIGNED * 2

# MediaPipe canonical mesh indices; "right" is the person's right, the left side of an unmirrored picture.
EYE_OUTER, EYE_INNER = (33, 263), (133, 362)
LID_UPPER, LID_LOWER = (158, 159, 160, 385, 386, 387), (144, 145, 153, 373, 374, 380)
BROW_INNER, BROW_OUTER = (55, 107, 285, 336), (46, 70, 276, 300)
CHEEK = (50, 101, 117, 280, 330, 346)
NOSE_WING, NOSE_BASE = (98, 327), (2,)
MOUTH_CORNER, LIP_BESIDE_CORNER = (61, 291), (40, 91, 270, 321)
LIP_UPPER_EDGE, LIP_UPPER_INNER, LIP_LOWER_INNER, LIP_LOWER_EDGE = (
    (37, 0, 267),
    (82, 13, 312),
    (87, 14, 317),
    (84, 17, 314),
)
FOREHEAD, CHIN = 10, 152

REST_PITCH_DEG = -8.3
"Median lean of 5,898 neutral faces (FER+), most of which look into the camera."


def to_pixels(mesh_N3: Float32, width: int, height: int) -> Float32:
    """(..., N, 3) from 0–1 of the frame into pixels, so that lengths across and down compare; z is in widths."""
    return mesh_N3.astype(np.float32) * np.array([width, height, width], np.float32)


def geometry(mesh_N3: Float32, width: int, height: int) -> Float32:
    """(..., 936) x and y of 468 landmarks with the outer eye corners at (∓0.5, 0): roll, place and size removed."""
    flat = to_pixels(mesh_N3, width, height)[..., :N_ALIGNED, :2]
    right, left = flat[..., EYE_OUTER[0], :], flat[..., EYE_OUTER[1], :]
    across = left - right
    length = np.maximum(np.linalg.norm(across, axis=-1, keepdims=True), 1e-6)
    cos, sin = np.split(across / length, 2, axis=-1)  # each (..., 1)
    x, y = np.moveaxis((flat - ((left + right) / 2)[..., None, :]) / length[..., None], -1, 0)  # each (..., 468)
    aligned: Float32 = np.stack([x * cos + y * sin, y * cos - x * sin], axis=-1, dtype=np.float32)
    return aligned.reshape(*aligned.shape[:-2], GEOMETRY_SIZE)


def head_axes(pixels_N3: Float32) -> Float32:
    """(..., 3, 3) rows: the head's own right-to-left, forehead-to-chin and into-the-head directions, orthonormal."""
    across = pixels_N3[..., EYE_OUTER[1], :] - pixels_N3[..., EYE_OUTER[0], :]
    down = pixels_N3[..., CHIN, :] - pixels_N3[..., FOREHEAD, :]
    across = across / np.maximum(np.linalg.norm(across, axis=-1, keepdims=True), 1e-6)
    down = down - (down * across).sum(axis=-1, keepdims=True) * across
    down = down / np.maximum(np.linalg.norm(down, axis=-1, keepdims=True), 1e-6)
    axes: Float32 = np.stack([across, down, np.cross(across, down)], axis=-2)
    return axes


def head_pose(mesh_N3: Float32, width: int, height: int) -> Float32:
    """(..., 3) yaw, pitch, roll in degrees.

    yaw > 0 is turned to the viewer's right, pitch > 0 looks up, roll > 0 tilts clockwise as the viewer sees it. Zero is
    the average frontal face, whose line from forehead to chin leans `REST_PITCH_DEG` in MediaPipe's depth.
    """
    axes = head_axes(to_pixels(mesh_N3, width, height))
    out = -axes[..., 2, :]  # out of the face, towards whom it faces; z points away from the camera
    yaw = np.degrees(np.arctan2(out[..., 0], -out[..., 2]))
    pitch = np.degrees(np.arctan2(-out[..., 1], np.hypot(out[..., 0], out[..., 2]))) - REST_PITCH_DEG
    roll = np.degrees(np.arctan2(axes[..., 0, 1], np.hypot(axes[..., 0, 0], axes[..., 0, 2])))
    pose: Float32 = np.stack([yaw, pitch, roll], axis=-1, dtype=np.float32)
    return pose


class _Frontal:
    """A batch of faces rotated to the front and scaled, measured by landmark groups. y grows downwards."""

    def __init__(self, pixels_N3: Float32) -> None:
        eyes = (pixels_N3[..., EYE_OUTER[0], :] + pixels_N3[..., EYE_OUTER[1], :]) / 2
        size = np.linalg.norm(pixels_N3[..., EYE_OUTER[1], :] - pixels_N3[..., EYE_OUTER[0], :], axis=-1)
        turned = np.einsum("...nk,...jk->...nj", pixels_N3 - eyes[..., None, :], head_axes(pixels_N3))
        self._points = turned / np.maximum(size, 1e-6)[..., None, None]

    def y(self, group: tuple[int, ...]) -> Float32:
        mean: Float32 = self._points[..., group, 1].mean(axis=-1)
        return mean

    def gap(self, a: int, b: int) -> Float32:
        length: Float32 = np.linalg.norm(self._points[..., a, :2] - self._points[..., b, :2], axis=-1)
        return length

    @property
    def eye_line(self) -> Float32:
        """Height of the four eye corners: they hardly move with any expression."""
        return self.y(EYE_OUTER + EYE_INNER)

    @property
    def aperture(self) -> Float32:
        return self.y(LID_LOWER) - self.y(LID_UPPER)

    @property
    def mouth_width(self) -> Float32:
        return self.gap(*MOUTH_CORNER)

    @property
    def mouth_gap(self) -> Float32:
        return self.y(LIP_LOWER_INNER) - self.y(LIP_UPPER_INNER)

    @property
    def corner_drop(self) -> Float32:
        """How far the mouth corners lie below the base of the nose."""
        return self.y(MOUTH_CORNER) - self.y(NOSE_BASE)


_MEASURES: dict[str, Callable[[_Frontal], Float32]] = {
    # AU1: inner ends of the brows above the eye line.
    "inner_brow_raise": lambda face: face.eye_line - face.y(BROW_INNER),
    # AU2: outer ends of the brows above the eye line.
    "outer_brow_raise": lambda face: face.eye_line - face.y(BROW_OUTER),
    # AU4: brows low and drawn together.
    "brow_lower": lambda face: face.y(BROW_INNER) - face.eye_line - 0.5 * face.gap(55, 285),
    # AU5: upper lids above the eye line.
    "upper_lid_raise": lambda face: face.eye_line - face.y(LID_UPPER),
    # AU6: cheeks pushed up towards the eyes.
    "cheek_raise": lambda face: face.eye_line - face.y(CHEEK),
    # AU7: lower lids drawn up; a raised upper lid speaks against it.
    "lid_tighten": lambda face: face.eye_line - face.y(LID_LOWER) - 0.5 * face.aperture,
    # AU9: nostrils drawn up beside the base of the nose, beyond what a wide mouth does to them.
    "nose_wrinkle": lambda face: face.y(NOSE_BASE) - face.y(NOSE_WING) - 0.1 * face.mouth_width,
    # AU10: upper lip drawn up towards the nose.
    "upper_lip_raise": lambda face: face.y(NOSE_BASE) - face.y(LIP_UPPER_EDGE),
    # AU12: mouth corners out and up.
    "lip_corner_pull": lambda face: 0.5 * face.mouth_width - face.corner_drop,
    # AU15: mouth corners below the lips beside them; upper and lower alike, so that an open mouth does not count.
    "lip_corner_depress": lambda face: face.y(MOUTH_CORNER) - face.y(LIP_BESIDE_CORNER),
    # AU20: mouth wide without its corners rising.
    "lip_stretch": lambda face: 0.5 * face.mouth_width + face.corner_drop,
    # AU24: lips together and their red thin.
    "lip_press": lambda face: face.y(LIP_UPPER_EDGE) - face.y(LIP_LOWER_EDGE),
    # AU26: lips apart and chin down.
    "jaw_drop": lambda face: face.mouth_gap + 0.5 * (face.y((CHIN,)) - face.y(NOSE_BASE)),
    # AU43: lids together.
    "eyes_closed": lambda face: -face.aperture,
}

CUES: tuple[str, ...] = tuple(_MEASURES)
"Cue names in the order of `raw_cues`."


def raw_cues(mesh_N3: Float32, width: int, height: int) -> Float32:
    """(..., C) signed measures in the order of `CUES`, in outer eye-corner distances. More is more of the cue."""
    face = _Frontal(to_pixels(mesh_N3, width, height))
    return np.stack([measure(face) for measure in _MEASURES.values()], axis=-1).astype(np.float32)


def mouth_gap(mesh_N3: Float32, width: int, height: int) -> float:
    """How far the lips are apart, in outer eye-corner distances."""
    return float(_Frontal(to_pixels(mesh_N3, width, height)).mouth_gap)


def measure_face(
    face: Face, baseline: FaceBaseline, width: int, height: int, *, moves_baseline: bool = True
) -> FaceCues | None:
    """Cues of one face relative to its track's neutral, which this face then moves a little. None without a mesh."""
    if face.mesh_N3 is None:
        return None
    raw_C = raw_cues(face.mesh_N3, width, height)
    intensities_C = baseline.intensities(raw_C)
    if moves_baseline:
        baseline.push(raw_C)
    yaw, pitch, roll = head_pose(face.mesh_N3, width, height).tolist()
    return FaceCues(
        track=face.track,
        intensities={name: round(float(value), 3) for name, value in zip(CUES, intensities_C, strict=True)},
        pose_deg=(yaw, pitch, roll),
        geometry_N=geometry(face.mesh_N3, width, height),
        mouth_gap=mouth_gap(face.mesh_N3, width, height),
    )
