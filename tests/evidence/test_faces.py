"""Faces are found where they are, keep their tracks, and nothing is found where there is none."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from realtime.evidence.faces import FaceFinder, mesh_of_face
from realtime.evidence.tracks import TRACK_GAP_S, Tracks
from realtime.records import UInt8
from tests.recorded import clip, frames_of


@pytest.mark.parametrize("emotion", ["ANG", "HAP", "NEU"])
def test_one_face_on_one_track_through_a_clip(emotion: str) -> None:
    finder = FaceFinder()
    for frame in frames_of(clip(emotion), every_s=0.5):
        (face,) = finder.find(frame.rgb_HW3, frame.at_s)
        assert face.track == 1
        assert face.mesh_N3 is not None
        assert face.mesh_N3.shape == (478, 3)
        assert 0.1 < face.box[2] < 0.4


def test_box_lies_around_the_portraits_face(portrait: UInt8) -> None:
    (face,) = FaceFinder().find(portrait, 0.0)
    x, y, w, h = face.box
    assert 0.3 < x < x + w < 0.6
    assert 0.1 < y < y + h < 0.5
    assert face.score > 0.8


def test_five_faces_keep_their_five_tracks(portrait_face: UInt8) -> None:
    row = np.concatenate([portrait_face] * 5, axis=1)
    frame = np.pad(row, ((120, 120), (40, 40), (0, 0)), constant_values=90)
    finder = FaceFinder()
    first: dict[int, float] = {}
    for step in range(4):
        faces = finder.find(np.roll(frame, 6 * step, axis=1), float(step))
        place = {face.track: face.box[0] for face in faces}
        assert sorted(place) == [1, 2, 3, 4, 5]
        first = place if step == 0 else first
        for track, x in place.items():
            assert x == pytest.approx(first[track] + 6 * step / frame.shape[1], abs=0.02)


def test_far_face_is_found_and_meshed(portrait: UInt8) -> None:
    frame = np.full((720, 1280, 3), 120, np.uint8)
    frame[300:556, 600:856] = Image.fromarray(portrait).resize((256, 256), Image.Resampling.BOX)
    (face,) = FaceFinder().find(frame, 0.0)
    assert face.box[3] * 720 < 100
    assert face.mesh_N3 is not None


def test_face_at_the_edge_of_the_frame(portrait: UInt8) -> None:
    (face,) = FaceFinder().find(np.ascontiguousarray(portrait[:, 175:]), 0.0)
    x, y, w, h = face.box
    assert min(x, y) >= 0
    assert max(x + w, y + h) <= 1


@pytest.mark.parametrize(
    "frame",
    [
        np.zeros((480, 640, 3), np.uint8),
        np.full((480, 640, 3), 255, np.uint8),
        np.random.default_rng(0).integers(0, 255, (480, 640, 3), dtype=np.uint8),
        np.zeros((0, 0, 3), np.uint8),
        np.zeros((3, 640, 3), np.uint8),
    ],
    ids=["black", "white", "noise", "empty", "sliver"],
)
def test_nothing_is_found_where_there_is_nobody(frame: UInt8) -> None:
    assert FaceFinder().find(frame, 0.0) == ()


def test_mesh_of_a_given_box_is_the_finders_mesh(portrait: UInt8) -> None:
    (face,) = FaceFinder().find(portrait, 0.0)
    mesh = mesh_of_face(portrait, face.box)
    assert mesh is not None
    assert face.mesh_N3 is not None
    np.testing.assert_allclose(mesh[:, :2], face.mesh_N3[:, :2], atol=0.01)


def test_no_mesh_where_the_box_holds_no_face(portrait: UInt8) -> None:
    assert mesh_of_face(portrait, (0.0, 0.8, 0.1, 0.1)) is None


class TestTracks:
    here, there = (0.1, 0.1, 0.2, 0.2), (0.7, 0.1, 0.2, 0.2)

    def match(self, tracks: Tracks, *boxes: tuple[float, float, float, float], at_s: float) -> list[int]:
        return tracks.match(list(boxes), at_s=at_s, frame_px=(100, 100))

    def test_order_of_detection_does_not_matter(self) -> None:
        tracks = Tracks()
        assert self.match(tracks, self.here, self.there, at_s=0.0) == [1, 2]
        assert self.match(tracks, self.there, self.here, at_s=1.0) == [2, 1]

    def test_a_face_that_returns_in_time_keeps_its_track(self) -> None:
        tracks = Tracks()
        self.match(tracks, self.here, at_s=0.0)
        self.match(tracks, at_s=2.0)
        assert self.match(tracks, self.here, at_s=TRACK_GAP_S) == [1]

    def test_a_face_that_returns_late_is_somebody_new(self) -> None:
        tracks = Tracks()
        self.match(tracks, self.here, at_s=0.0)
        assert self.match(tracks, self.here, at_s=TRACK_GAP_S + 0.1) == [2]

    def test_whoever_is_in_a_picture_that_stands_still_stays_and_whoever_had_gone_does_not(self) -> None:
        tracks = Tracks()
        self.match(tracks, self.here, self.there, at_s=0.0)
        self.match(tracks, self.here, at_s=1.0)
        tracks.keep(2 * TRACK_GAP_S)
        assert self.match(tracks, self.here, self.there, at_s=2 * TRACK_GAP_S + 1) == [1, 3]

    def test_elsewhere_or_of_another_size_is_somebody_else(self) -> None:
        tracks = Tracks()
        self.match(tracks, self.here, at_s=0.0)
        assert self.match(tracks, self.there, at_s=1.0) == [2]
        assert self.match(tracks, (0.15, 0.15, 0.05, 0.05), at_s=1.0) == [3]


def test_a_session_more_costs_no_more_models(portrait: UInt8) -> None:
    """A FaceFinder of its own graphs took 50 MB that MediaPipe never gave back: sessions share one set."""

    def resident_bytes() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    if not Path("/proc/self/statm").exists():
        pytest.skip("needs /proc")
    FaceFinder().find(portrait, 0.0)
    before = resident_bytes()
    for _ in range(5):
        FaceFinder().find(portrait, 0.0)
    assert resident_bytes() - before < 40e6
