"""Where eyes look: exact for eyeballs of known direction, near the truth for people who look into a camera."""

from __future__ import annotations

import numpy as np
import pytest

from realtime.evidence.cues import CHIN, EYE_INNER, EYE_OUTER, FOREHEAD, REST_PITCH_DEG
from realtime.evidence.faces import FaceFinder
from realtime.evidence.gaze import ABOVE, BEHIND, IRIS, LID_LOWER, LID_UPPER, RADIUS, gaze, gaze_angles
from realtime.records import Float32, UInt8
from tests.recorded import clip, frames_of

WIDTH, HEIGHT = 640, 480


def turn(yaw_deg: float, pitch_deg: float, roll_deg: float = 0.0) -> Float32:
    """A rotation of the camera's space (right, down, away): first pitch (up), then yaw (to the right), then roll."""
    yaw, pitch, roll = np.radians([yaw_deg, pitch_deg, roll_deg])
    up = np.array([[1, 0, 0], [0, np.cos(pitch), np.sin(pitch)], [0, -np.sin(pitch), np.cos(pitch)]])
    right = np.array([[np.cos(yaw), 0, -np.sin(yaw)], [0, 1, 0], [np.sin(yaw), 0, np.cos(yaw)]])
    tilt = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
    return np.asarray(tilt @ right @ up, np.float32)


def head(
    looks_at: tuple[float, float],
    *,
    turned: tuple[float, float, float] = (0.0, 0.0, 0.0),
    between_px: float = 80.0,
    opening: float = 0.3,
) -> Float32:
    """(478, 3) mesh of a head with two eyeballs that look in that direction (yaw, pitch), seen by the camera."""
    lean = np.radians(-REST_PITCH_DEG)
    points, lid = np.zeros((478, 3), np.float32), np.array([0, opening * 0.16, 0], np.float32)
    points[FOREHEAD], points[CHIN] = (0, -0.7, 0.7 * np.tan(lean)), (0, 0.9, -0.9 * np.tan(lean))
    for side, (outer, inner, iris) in enumerate(zip(EYE_OUTER, EYE_INNER, IRIS, strict=True)):
        sign = (-1, 1)[side]
        points[outer], points[inner] = (sign * 0.5, 0, 0.05), (sign * 0.18, 0, -0.05)
        middle = (points[outer] + points[inner]) / 2
        points[LID_UPPER[side]] = middle - lid
        points[LID_LOWER[side]] = middle + lid
        # In the head the eyeball lies along its axes, which lean as the line from forehead to chin does.
        into, down = np.array([0, np.sin(lean), np.cos(lean)]), np.array([0, np.cos(lean), -np.sin(lean)])
        points[iris] = middle + BEHIND * into - ABOVE * down
    seen = points @ turn(*turned).T
    # Eyes turn in the head, so their direction is told against the camera.
    seen[list(IRIS)] += RADIUS * turn(*looks_at) @ np.array([0, 0, -1], np.float32)
    placed = between_px * seen + np.array([300, 200, 0], np.float32)
    return np.asarray(placed / np.array([WIDTH, HEIGHT, WIDTH]), np.float32)


@pytest.mark.parametrize("looks_at", [(0, 0), (20, 0), (-35, 0), (0, 25), (0, -20), (15, -10)])
@pytest.mark.parametrize("turned", [(0, 0, 0), (25, 0, 0), (-30, 10, 0), (0, -15, 20)])
def test_eyes_of_known_direction_are_measured_exactly(
    looks_at: tuple[float, float], turned: tuple[float, float, float]
) -> None:
    """Also in a head that is turned elsewhere."""
    found = gaze(head(looks_at, turned=turned), WIDTH, HEIGHT)
    assert found == pytest.approx(looks_at, abs=0.2)


@pytest.mark.parametrize(
    "mesh",
    [
        head((0, 0), opening=0.08),
        head((0, 0), between_px=30),
        head((0, 0), turned=(50, 0, 0)),
        head((80, 0)),
    ],
    ids=["closed", "small", "turned away", "no iris there"],
)
def test_where_eyes_do_not_show_it_nothing_is_told(mesh: Float32) -> None:
    assert gaze(mesh, WIDTH, HEIGHT) is None


def test_many_meshes_are_measured_as_one_is() -> None:
    batch = np.stack([head((10, 5)), head((0, 0), opening=0.0), head((-10, 0))])
    together = gaze_angles(batch, WIDTH, HEIGHT)
    assert together.shape == (3, 2)
    assert np.isnan(together[1]).all()
    np.testing.assert_allclose(together[[0, 2]], [(10, 5), (-10, 0)], atol=0.1)


def test_a_portrait_looks_into_the_camera_and_its_mirror_image_to_the_other_side(portrait: UInt8) -> None:
    sides = []
    for picture in (portrait, np.ascontiguousarray(portrait[:, ::-1])):
        (face,) = FaceFinder().find(picture, 0.0)
        assert face.mesh_N3 is not None
        found = gaze(face.mesh_N3, picture.shape[1], picture.shape[0])
        assert found is not None
        sides.append(found)
    assert sides[0] == pytest.approx((0, 0), abs=12)
    assert sides[0][0] == pytest.approx(-sides[1][0], abs=4)
    assert sides[0][1] == pytest.approx(sides[1][1], abs=4)


@pytest.mark.parametrize("emotion", ["HAP", "NEU", "ANG"])
def test_an_actress_who_speaks_to_the_camera_looks_near_it(emotion: str) -> None:
    finder, found = FaceFinder(), []
    for frame in frames_of(clip(emotion), every_s=0.5):
        for face in finder.find(frame.rgb_HW3, frame.at_s):
            height, width = frame.rgb_HW3.shape[:2]
            assert face.mesh_N3 is not None
            found.append(gaze(face.mesh_N3, width, height))
    seen = np.array([each for each in found if each is not None])
    assert len(seen)
    assert np.abs(np.median(seen, axis=0)).max() < 12
