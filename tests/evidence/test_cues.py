"""Cues answer to expressions and to nothing else: not to place, size, tilt or shape of the frame."""

from __future__ import annotations

import numpy as np
import pytest

from realtime.evidence.baseline import FaceBaseline, fit_population, squash
from realtime.evidence.cues import CUES, GEOMETRY_SIZE, geometry, head_pose, measure_face, raw_cues
from realtime.evidence.faces import FaceFinder
from realtime.face_actions import BLENDSHAPES, FACS
from realtime.records import Face, Float32, UInt8
from tests.recorded import clip, frames_of

WIDTH, HEIGHT = 640, 480


@pytest.fixture(scope="module")
def mesh(portrait: UInt8) -> Float32:
    """The portrait's mesh as a face in a 640×480 frame."""
    (face,) = FaceFinder().find(portrait, 0.0)
    assert face.mesh_N3 is not None
    return face.mesh_N3 * np.array([512 / WIDTH, 512 / HEIGHT, 512 / WIDTH], np.float32)


def moved(mesh_N3: Float32, *, scale: float, roll_deg: float, shift_px: tuple[float, float]) -> Float32:
    pixels = mesh_N3 * np.array([WIDTH, HEIGHT, WIDTH], np.float32)
    cos, sin = np.cos(np.radians(roll_deg)), np.sin(np.radians(roll_deg))
    turned = pixels @ np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]], np.float32).T
    placed = scale * turned + np.array([*shift_px, 0.0], np.float32)
    result: Float32 = (placed / np.array([WIDTH, HEIGHT, WIDTH], np.float32)).astype(np.float32)
    return result


def test_geometry_does_not_know_place_size_or_roll(mesh: Float32) -> None:
    expected = geometry(mesh, WIDTH, HEIGHT)
    assert expected.shape == (GEOMETRY_SIZE,)
    np.testing.assert_allclose(expected.reshape(468, 2)[[33, 263]], [[-0.5, 0], [0.5, 0]], atol=1e-6)
    other = moved(mesh, scale=0.4, roll_deg=25, shift_px=(200, 30))
    np.testing.assert_allclose(geometry(other, WIDTH, HEIGHT), expected, atol=2e-5)


def test_cues_do_not_know_place_size_or_roll(mesh: Float32) -> None:
    other = moved(mesh, scale=2.5, roll_deg=-30, shift_px=(-100, 50))
    np.testing.assert_allclose(raw_cues(other, WIDTH, HEIGHT), raw_cues(mesh, WIDTH, HEIGHT), atol=2e-5)


def test_many_faces_are_measured_as_one_is(mesh: Float32) -> None:
    batch = np.stack([mesh, moved(mesh, scale=0.5, roll_deg=10, shift_px=(5, 5))])
    for measure in (geometry, raw_cues, head_pose):
        together = measure(batch, WIDTH, HEIGHT)
        np.testing.assert_allclose(together[1], measure(batch[1], WIDTH, HEIGHT), atol=1e-6)


def test_roll_is_the_tilt_of_the_head(mesh: Float32) -> None:
    tilted = moved(mesh, scale=1.0, roll_deg=20, shift_px=(0, 0))
    change = head_pose(tilted, WIDTH, HEIGHT) - head_pose(mesh, WIDTH, HEIGHT)
    assert change[2] == pytest.approx(20, abs=1.5)


@pytest.mark.parametrize(("axis", "index"), [("yaw", 0), ("pitch", 1)])
def test_turning_the_head_changes_pose_and_not_the_cues(mesh: Float32, axis: str, index: int) -> None:
    pixels = mesh * np.array([WIDTH, HEIGHT, WIDTH], np.float32)
    cos, sin = np.cos(np.radians(20)), np.sin(np.radians(20))
    right = np.array([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]], np.float32)  # the nose, at z < 0, goes to x > 0
    up = np.array([[1, 0, 0], [0, cos, sin], [0, -sin, cos]], np.float32)  # the nose goes to y < 0
    turned = (pixels @ (right if axis == "yaw" else up).T) / np.array([WIDTH, HEIGHT, WIDTH], np.float32)
    change = head_pose(turned, WIDTH, HEIGHT) - head_pose(mesh, WIDTH, HEIGHT)
    assert change[index] == pytest.approx(20, abs=3)
    np.testing.assert_allclose(raw_cues(turned, WIDTH, HEIGHT), raw_cues(mesh, WIDTH, HEIGHT), atol=1e-4)


def test_mouth_opened_by_hand_is_a_dropped_jaw(mesh: Float32) -> None:
    """Lower lip and chin moved down: the jaw drops, the lips are pressed less, the brows do not move."""
    opened = mesh.copy()
    opened[[14, 87, 317, 17, 84, 314, 152], 1] += 12 / HEIGHT
    change = raw_cues(opened, WIDTH, HEIGHT) - raw_cues(mesh, WIDTH, HEIGHT)
    by_name = dict(zip(CUES, change.tolist(), strict=True))
    assert by_name["jaw_drop"] > 0.05
    assert by_name["lip_press"] < -0.05
    assert abs(by_name["outer_brow_raise"]) < 0.01


def test_every_cue_names_its_action_unit() -> None:
    assert tuple(FACS) == tuple(BLENDSHAPES) == CUES
    assert FACS["lip_corner_pull"] == 12


def test_happy_clip_pulls_the_lip_corners_and_the_neutral_one_does_not() -> None:
    strongest = {}
    for emotion in ("HAP", "NEU"):
        finder, baseline = FaceFinder(), FaceBaseline(CUES)
        pulled = []
        for frame in frames_of(clip(emotion), every_s=0.4):
            (face,) = finder.find(frame.rgb_HW3, frame.at_s)
            cues = measure_face(face, baseline, frame.rgb_HW3.shape[1], frame.rgb_HW3.shape[0])
            assert cues is not None
            assert all(0 <= value <= 1 for value in cues.intensities.values())
            pulled.append(cues.intensities["lip_corner_pull"])
        strongest[emotion] = float(np.mean(sorted(pulled)[-2:]))
    assert strongest["HAP"] > strongest["NEU"] + 0.3


def test_a_face_without_a_mesh_has_no_cues() -> None:
    face = Face(track=1, box=(0.1, 0.1, 0.2, 0.2), score=0.8, mesh_N3=None)
    assert measure_face(face, FaceBaseline(CUES), WIDTH, HEIGHT) is None


class TestFaceBaseline:
    def at(self, baseline: FaceBaseline, z: float) -> Float32:
        """A raw frame that stands z spreads above the population's neutral in every cue."""
        raw: Float32 = (baseline._neutral_C + z * baseline._spread_C).astype(np.float32)
        return raw

    def test_own_neutral_becomes_neutral(self) -> None:
        baseline = FaceBaseline(CUES)
        mine = self.at(baseline, 1.0)
        assert baseline.relative(mine) == pytest.approx(1.0, abs=0.01)
        for _ in range(60):
            baseline.push(mine)
        assert abs(baseline.relative(mine)).max() < 0.35

    def test_a_laugh_of_ten_seconds_stays_a_laugh(self) -> None:
        baseline = FaceBaseline(CUES)
        laugh = self.at(baseline, 4.0)
        for _ in range(10):
            baseline.push(laugh)
        assert baseline.intensities(laugh).min() > 0.75

    def test_what_stays_for_minutes_is_the_face(self) -> None:
        baseline = FaceBaseline(CUES)
        shape = self.at(baseline, 4.0)
        for _ in range(300):
            baseline.push(shape)
        assert baseline.intensities(shape).max() < 0.3

    def test_broken_numbers_leave_the_neutral_alone(self) -> None:
        baseline = FaceBaseline(CUES)
        neutral = self.at(baseline, 0.0)
        baseline.push(np.full(len(CUES), np.nan, np.float32))
        assert abs(baseline.relative(neutral)).max() < 1e-3
        assert np.isfinite(baseline.relative(np.full(len(CUES), np.inf, np.float32))).all()


def test_intensity_is_zero_at_neutral_and_grows_to_one() -> None:
    values = squash(np.array([-3.0, 0.0, 0.5, 1.0, 2.0, 5.0], np.float32))
    np.testing.assert_allclose(values, [0, 0, 0, 0.22, 0.53, 0.89], atol=0.01)


def test_population_is_robust_against_a_few_wrong_meshes() -> None:
    rng = np.random.default_rng(0)
    raw = rng.normal(0.3, 0.02, (1000, 2)).astype(np.float32)
    raw[:20] = 9.0
    fitted = fit_population(raw, ("a", "b"))
    assert fitted["a"]["neutral"] == pytest.approx(0.3, abs=0.005)
    assert fitted["b"]["spread"] == pytest.approx(0.02, abs=0.003)
