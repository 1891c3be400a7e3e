"""Field report: a person 3 m away beside a near one. Who is seen does not depend on who else is."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from realtime.evidence.faces import FaceFinder
from realtime.evidence.far_search import AT_LATEST_S, BEHIND, FarSearch, tile_boxes
from realtime.records import UInt8

HEAD_PX = 105
"Height of the face in the portrait."
NEAR_PX, NEAR_AT = 240, (60, 60)
FAR_AT = ((640, 60), (820, 240), (1000, 60), (1000, 420))


def scene() -> UInt8:
    """A 720p frame without a face: a wall with a window, a shelf and some noise."""
    frame = np.full((720, 1280, 3), (150, 140, 125), np.uint8)
    frame[40:301, 700:931] = (200, 215, 230)
    frame[480:501, 560:1241] = (90, 60, 40)
    noise = np.random.default_rng(0).normal(0, 3, frame.shape)
    return np.clip(frame + noise, 0, 255).astype(np.uint8)


def place(frame: UInt8, portrait: UInt8, *, face_px: int, at: tuple[int, int]) -> UInt8:
    """The frame with the portrait's head and shoulders in it, the face `face_px` high."""
    scale = face_px / HEAD_PX
    how = Image.Resampling.BOX if scale < 1 else Image.Resampling.BICUBIC
    person = np.asarray(Image.fromarray(portrait[:260, 100:350]).resize((round(250 * scale), round(260 * scale)), how))
    x, y = at
    shown = person[: 720 - y, : 1280 - x]
    placed = frame.copy()
    placed[y : y + shown.shape[0], x : x + shown.shape[1]] = shown
    return placed


@pytest.mark.slow
@pytest.mark.parametrize("far_px", [44, 55, 66])
def test_a_person_three_metres_away_is_seen_alone_and_beside_a_near_one(portrait: UInt8, far_px: int) -> None:
    near = place(scene(), portrait, face_px=NEAR_PX, at=NEAR_AT)
    assert len(FaceFinder().find(near, 0.0)) == 1
    for at in FAR_AT:
        (alone,) = FaceFinder().find(place(scene(), portrait, face_px=far_px, at=at), 0.0)
        first, second = FaceFinder().find(place(near, portrait, face_px=far_px, at=at), 0.0)
        assert first.box[3] > 2 * second.box[3]
        assert second.mesh_N3 is not None
        assert second.box == pytest.approx(alone.box, abs=0.01)


def test_four_far_people_are_seen_beside_a_near_one(portrait: UInt8) -> None:
    frame = place(scene(), portrait, face_px=NEAR_PX, at=NEAR_AT)
    for at in FAR_AT:
        frame = place(frame, portrait, face_px=55, at=at)
    assert len(FaceFinder().find(frame, 0.0)) == 5


def test_a_far_person_is_seen_within_a_second_and_stays(portrait: UInt8) -> None:
    """It took up to three seconds: all tiles were searched together, and no oftener. The picture of a tile tells."""
    finder = FaceFinder()
    near = place(scene(), portrait, face_px=NEAR_PX, at=NEAR_AT)
    both = place(near, portrait, face_px=50, at=FAR_AT[1])
    assert [len(finder.find(near, float(at_s))) for at_s in range(2)] == [1, 1]
    seen = [finder.find(both, 2.0 + at_s) for at_s in range(8)]
    assert [len(faces) for faces in seen] == [2] * 8
    assert {face.track for faces in seen for face in faces} == {1, 2}


def noisy(frame: UInt8, seed: int) -> UInt8:
    """The same picture as a camera sends it next."""
    noise = np.random.default_rng(seed).normal(0, 3, frame.shape)
    return np.clip(frame + noise, 0, 255).astype(np.uint8)


def test_a_room_where_nothing_moves_is_searched_every_three_seconds() -> None:
    search, still = FarSearch(), scene()
    counts = [len(search.parts(noisy(still, at_s), float(at_s), [])) for at_s in range(10)]
    every = len(tile_boxes(still))
    assert counts == [every if at_s % AT_LATEST_S == 0 else 0 for at_s in range(10)]


def test_only_the_tiles_that_a_far_person_comes_into_are_searched(portrait: UInt8) -> None:
    search, still = FarSearch(), scene()
    search.parts(still, 0.0, [])
    (x, y), face_px = FAR_AT[3], 44
    parts = search.parts(noisy(place(still, portrait, face_px=face_px, at=(x, y)), 1), 1.0, [])
    assert 0 < len(parts) < len(tile_boxes(still))
    assert any(left < x / 1280 < left + across and top < y / 720 < top + down for left, top, across, down in parts)


@pytest.mark.parametrize("at", [(680, 330), (300, 330), (320, 420)])
def test_a_newcomer_behind_somebody_who_moves_is_seen_within_two_seconds(portrait: UInt8, at: tuple[int, int]) -> None:
    """It took up to three: what moves about somebody near was taken to be their body, and left for the next search."""
    finder, counts = FaceFinder(), []
    near = place(scene(), portrait, face_px=NEAR_PX, at=(300, 100))
    for at_s in range(8):
        frame = near.copy()
        frame[600:660, 500:560] = 250 * (at_s % 2)
        if at_s >= 4:
            frame = place(frame, portrait, face_px=60, at=at)
        counts.append(len(finder.find(frame, float(at_s))))
    assert counts[:4] == [1] * 4
    assert counts[5:] == [2] * 3


@pytest.mark.parametrize("fps", [1, 5])
def test_somebody_near_who_moves_costs_two_tiles_a_second(fps: int) -> None:
    search, still = FarSearch(), scene()
    face = (0.35, 0.2, 0.2, 0.35)
    moved = still.copy()
    moved[400:, 320:830] = 255 - moved[400:, 320:830]
    counts = [len(search.parts((still, moved)[n % 2], n / fps, [], [face])) for n in range(3 * fps)]
    assert counts[0] == len(tile_boxes(still))
    assert max(counts[fps:]) <= BEHIND
    assert sum(counts[fps:]) == pytest.approx(2 * BEHIND, abs=1)


def test_frames_that_come_often_share_the_search_of_a_second() -> None:
    rng = np.random.default_rng(0)
    search, n_tiles = FarSearch(), len(tile_boxes(scene()))
    # Everything changes all the time.
    counts = [len(search.parts(rng.integers(0, 255, (720, 1280, 3), np.uint8), at / 10, [])) for at in range(31)]
    assert counts[0] == n_tiles
    assert max(counts[1:]) == 1
    assert sum(counts[11:21]) == sum(counts[21:31]) == n_tiles


def test_no_frame_is_searched_in_more_parts_than_there_are_tiles() -> None:
    search, still = FarSearch(), scene()
    search.parts(still, 0.0, [])
    known = [(0.1 * place, 0.5, 0.04, 0.08) for place in range(5)]
    assert len(search.parts(still, 1.0, known)) == 5
    assert len(search.parts(np.invert(still), 2.0, known)) == len(tile_boxes(still))


@pytest.mark.parametrize("name", ["coffee", "rocket", "brick", "grass", "gravel", "hubble_deep_field", "coins", "page"])
def test_no_face_appears_in_textures_beside_a_near_person(portrait: UInt8, name: str) -> None:
    from skimage import data

    texture = np.asarray(getattr(data, name)())
    if texture.ndim == 2:
        texture = np.stack([texture] * 3, axis=-1)
    frame = np.asarray(Image.fromarray(texture[..., :3]).resize((1280, 720), Image.Resampling.BILINEAR))
    assert FaceFinder().find(frame, 0.0) == ()
    assert len(FaceFinder().find(place(frame, portrait, face_px=NEAR_PX, at=NEAR_AT), 0.0)) == 1
