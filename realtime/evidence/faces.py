"""Finds the faces in a frame: boxes, a 478-point mesh for each, and their tracks.

The models are MediaPipe's; `face_engines` has what runs them.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence

import numpy as np

from realtime.evidence.face_engines.choice import FaceEngine, start
from realtime.evidence.far_search import FarSearch, tile_boxes
from realtime.evidence.resize import enlarge
from realtime.evidence.settings import FaceEngineName
from realtime.evidence.tracks import Tracks, iou
from realtime.records import Box, Face, Float32, UInt8

Detector = Callable[[UInt8], list[tuple[Box, float]]]
WHOLE: Box = (0.0, 0.0, 1.0, 1.0)
MAX_FACES = 5
"Most faces per frame, biggest first. Faces further back are left out."
MIN_SCORE_IN_TILES = 0.65
"The same inside tiles, where face-like textures such as clouds are magnified too."
FAR_FACE = 0.16
"Height of a far face at most, in units of the frame's shorter side. Above it the whole frame shows it well."
MARGIN = 0.35
"Width of the plain grey margin around a frame that a face may fill, in frame sizes. Detectors need a head's outline."
MIN_SCORE_WITHOUT_MESH = 0.8
"The same for a box on which no mesh fits: it is often a face-like thing in the background."
SAME_FACE_IOU = 0.4
"Boxes that overlap more than this are one face seen twice."
SAME_FACE_COVERED = 0.5
"The same for a box from a tile, whose border may cut a face: the share of the smaller box that lies in the other."
CROP_SCALE = 2.0
"Side of the square the mesh is fitted in, in units of the longer side of the detected box."
CROP_PX = 288
"Crops smaller than this are enlarged, so that a far face has the size that the mesh model expects."


class FaceModels:
    """Two detectors and a mesh, without state between pictures. Any thread may call it.

    All sessions share one set (`shared_models`): a set of MediaPipe's takes 50 MB, and it does not give them back when
    a set is dropped, so one per session would fill the memory.
    """

    def __init__(self, engine: FaceEngine) -> None:
        self._lock = threading.Lock()
        self._engine = engine

    def detect(self, rgb_HW3: UInt8, tiles: Sequence[Box] | None = None) -> list[tuple[Box, float]]:
        """Boxes and scores, biggest first, each face once.

        `tiles` are parts of the frame that are also searched for far faces, all parts by default. A frame that shows
        nobody otherwise is searched in all of them, and then with a margin.
        """
        # Short range (within 2 m) sees near faces best, full range those across the room. At one frame a second both
        # together cost about 10 ms, which is cheaper than guessing which of them a frame needs. On a whole 720p frame
        # both miss faces below 80 px, so full range also searches tiles.
        both = (self._engine.near, self._engine.far)
        with self._lock:
            whole = [found for model in both for found in _detect_in(rgb_HW3, WHOLE, model)]
            everywhere = tile_boxes(rgb_HW3)
            searched = everywhere if tiles is None or not whole else tiles
            magnified = self._detect_far(rgb_HW3, searched)
            if not whole and not magnified:
                framed, part = _with_margin(rgb_HW3)
                whole = [
                    found
                    for model in both
                    for found in _detect_in(framed, WHOLE, model, shows=part)
                    if found[1] >= MIN_SCORE_IN_TILES
                ]
        kept: list[tuple[Box, float]] = []
        for box, score in sorted(whole, key=lambda found: -found[1]):
            if all(iou(box, other) < SAME_FACE_IOU for other, _ in kept):
                kept.append((box, score))
        for box, score in sorted(magnified, key=lambda found: -found[1]):
            if all(_covered(box, other) < SAME_FACE_COVERED for other, _ in kept):
                kept.append((box, score))
        return sorted(kept, key=lambda found: -found[0][2] * found[0][3])

    def _detect_far(self, rgb_HW3: UInt8, tiles: Sequence[Box]) -> list[tuple[Box, float]]:
        magnified = [found for tile in tiles for found in _detect_in(rgb_HW3, tile, self._engine.far)]
        return [found for found in magnified if found[1] >= MIN_SCORE_IN_TILES]

    def fit_mesh(self, rgb_HW3: UInt8, box: Box) -> Float32 | None:
        """(478, 3) landmarks in 0–1 of the frame (z in frame widths), or None where no mesh fits the box."""
        height, width = rgb_HW3.shape[:2]
        left_px, top_px, side_px, crop = _square_crop(rgb_HW3, box)
        with self._lock:
            meshes = self._engine.meshes(crop)  # (F, 478, 3)
        if not len(meshes):
            return None
        meshes *= side_px
        meshes[..., :2] += np.array([left_px, top_px], np.float32)
        centre = np.array([(box[0] + box[2] / 2) * width, (box[1] + box[3] / 2) * height], np.float32)
        away_F = np.linalg.norm(meshes[..., :2].mean(axis=1) - centre, axis=1)
        nearest = int(away_F.argmin())
        if away_F[nearest] > 0.6 * max(box[2] * width, box[3] * height):
            return None  # a neighbour's mesh
        mesh_N3: Float32 = meshes[nearest] / np.array([width, height, width], np.float32)
        return mesh_N3


@functools.cache
def shared_models(engine: FaceEngineName = "auto") -> FaceModels:
    """The process's one set of face models on an engine. The first call loads them in about a second.

    Raises EngineMissing where that engine is not installed.
    """
    return FaceModels(start(engine))


def mesh_of_face(rgb_HW3: UInt8, box: Box) -> Float32 | None:
    """(478, 3) mesh of the face in `box`, exactly as the live program fits it; None where no mesh fits."""
    return shared_models().fit_mesh(np.ascontiguousarray(rgb_HW3), box)


class FaceFinder:
    """Finds up to five faces per frame and keeps their tracks. One per session."""

    def __init__(self, engine: FaceEngineName = "auto") -> None:
        self._models = shared_models(engine)
        self._tracks = Tracks()
        self._far: list[Box] = []
        "Small faces of the latest frame, which a search of the whole frame may miss."
        self._near: list[Box] = []
        "The others of it."
        self._search = FarSearch()

    def unchanged(self, at_s: float) -> None:
        """Keep all tracks: this picture shows what the last one showed."""
        self._tracks.keep(at_s)

    def find(self, rgb_HW3: UInt8, at_s: float) -> tuple[Face, ...]:
        """Faces of one frame, biggest first; empty for a frame without a face, or without pixels.

        `at_s` is media time. It may go back by a moment: a sampled frame can be later than a cue frame after it.
        """
        if rgb_HW3.ndim != 3 or rgb_HW3.shape[2] != 3 or min(rgb_HW3.shape[:2]) < 16:
            return ()
        rgb_HW3 = np.ascontiguousarray(rgb_HW3)
        seen: list[tuple[Box, float, Float32 | None]] = []
        parts = self._search.parts(rgb_HW3, at_s, self._far, self._near)
        for box, score in self._models.detect(rgb_HW3, parts)[: MAX_FACES * 2]:
            mesh_N3 = self._models.fit_mesh(rgb_HW3, box)
            if mesh_N3 is None and score < MIN_SCORE_WITHOUT_MESH:
                continue
            outline = box if mesh_N3 is None else _bounds(mesh_N3)
            if outline[2] > 0 and outline[3] > 0 and all(iou(outline, other) < SAME_FACE_IOU for other, _, _ in seen):
                seen.append((outline, score, mesh_N3))
        seen.sort(key=lambda face: -face[0][2] * face[0][3])
        seen = seen[:MAX_FACES]
        far_px = FAR_FACE * min(rgb_HW3.shape[:2])
        self._far = [box for box, _, _ in seen if box[3] * rgb_HW3.shape[0] < far_px]
        self._near = [box for box, _, _ in seen if box not in self._far]
        shape = (rgb_HW3.shape[1], rgb_HW3.shape[0])
        tracks = self._tracks.match([box for box, _, _ in seen], at_s=at_s, frame_px=shape)
        return tuple(
            Face(track=track, box=box, score=score, mesh_N3=mesh_N3)
            for track, (box, score, mesh_N3) in zip(tracks, seen, strict=True)
        )


def _detect_in(rgb_HW3: UInt8, part: Box, detector: Detector, *, shows: Box | None = None) -> list[tuple[Box, float]]:
    """Boxes (0–1 of the frame) and scores that one detector sees in a part of these pixels.

    `shows` is where the part lies in the frame, if the pixels are not the frame itself.
    """
    height, width = rgb_HW3.shape[:2]
    left, top = round(part[0] * width), round(part[1] * height)
    pixels = rgb_HW3[top : top + round(part[3] * height), left : left + round(part[2] * width)]
    return [
        (box, score)
        for found, score in detector(np.ascontiguousarray(pixels))
        if (box := _clip(found, shows or part)) is not None
    ]


def _with_margin(rgb_HW3: UInt8) -> tuple[UInt8, Box]:
    """The frame with a margin of its own mean grey, and the region of that in 0–1 of the frame."""
    height, width = rgb_HW3.shape[:2]
    across, down = round(MARGIN * width), round(MARGIN * height)
    framed = np.full((height + 2 * down, width + 2 * across, 3), round(float(rgb_HW3.mean())), np.uint8)
    framed[down : down + height, across : across + width] = rgb_HW3
    left, top = across / width, down / height
    return framed, (-left, -top, 1 + 2 * left, 1 + 2 * top)


def _covered(box: Box, other: Box) -> float:
    """The share of the smaller of two boxes that lies in the other."""
    across = min(box[0] + box[2], other[0] + other[2]) - max(box[0], other[0])
    down = min(box[1] + box[3], other[1] + other[3]) - max(box[1], other[1])
    return max(across, 0.0) * max(down, 0.0) / min(box[2] * box[3], other[2] * other[3])


def _clip(found: Box, part: Box) -> Box | None:
    """The detector's box from 0–1 of a part into 0–1 of the frame, cut at its edges; None where nothing lies inside."""
    left, top = part[0] + found[0] * part[2], part[1] + found[1] * part[3]
    right, bottom = left + found[2] * part[2], top + found[3] * part[3]
    left, top, right, bottom = max(left, 0.0), max(top, 0.0), min(right, 1.0), min(bottom, 1.0)
    return (left, top, right - left, bottom - top) if right > left and bottom > top else None


def _bounds(mesh_N3: Float32) -> Box:
    low, high = np.clip(mesh_N3[:, :2].min(axis=0), 0, 1), np.clip(mesh_N3[:, :2].max(axis=0), 0, 1)
    return float(low[0]), float(low[1]), float(high[0] - low[0]), float(high[1] - low[1])


def _square_crop(rgb_HW3: UInt8, box: Box) -> tuple[float, float, float, UInt8]:
    """(left, top, side) in frame pixels of a padded square around the box, and its pixels.

    Outside the frame its edge is repeated, so that a face at the border is centred like all others.
    """
    height, width = rgb_HW3.shape[:2]
    side = max(round(CROP_SCALE * max(box[2] * width, box[3] * height)), 8)
    left = round((box[0] + box[2] / 2) * width - side / 2)
    top = round((box[1] + box[3] / 2) * height - side / 2)
    inside = rgb_HW3[max(top, 0) : max(top + side, 1), max(left, 0) : max(left + side, 1)]
    above, before = max(-top, 0), max(-left, 0)
    below, after = max(top + side - height, 0), max(left + side - width, 0)
    crop = inside
    if above or below or before or after:
        crop = np.pad(inside, ((above, below), (before, after), (0, 0)), mode="edge")
    crop = enlarge(crop, CROP_PX) if side < CROP_PX else np.ascontiguousarray(crop)
    return float(left), float(top), float(side), crop
