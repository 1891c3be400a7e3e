"""MediaPipe's face models on ONNX Runtime, with what its graphs do before and after them in numpy.

`realtime export faces` made the files in `models/`. Thresholds, anchors and the order of steps are those of the graphs
that MediaPipe 0.10.21 runs for `FaceDetection` and for `FaceMesh` with `static_image_mode` and `refine_landmarks`;
`tests/evidence/test_face_engines.py` holds both to each other.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime

from realtime.evidence.face_engines.thresholds import MAX_MESHES, MIN_SCORE, MIN_SCORE_FOR_MESH
from realtime.evidence.face_engines.warp import Cutter, Square
from realtime.evidence.tracks import iou
from realtime.records import Box, Float32, UInt8

MODELS = Path(__file__).parent / "models"
"near.onnx, far.onnx and mesh.onnx, Apache-2.0 (NOTICE)."
MIN_SCORE_FAR = 0.6
"MediaPipe's full-range graph drops what is below this, whatever lower threshold it is given."
SAME_FACE_IOU = 0.3
"Boxes of one detector that overlap more than this are one face; its box is their mean, weighted by score."
SAME_SQUARE_IOU = 0.5
"Squares for the mesh that overlap more than this are one face; the later one is kept."
MIN_PRESENCE = 0.5
"Meshes that are less probably a face are dropped."
MESH_SQUARE = 1.5
"Side of the square that the mesh sees, in units of the longer side of the detected box."
MIDDLE = np.float32(127.5)
"The detectors read pixels as their difference from this."
N_KEYPOINTS = 6
"Of a detection: right eye, left eye, nose, mouth, right ear, left ear."


@dataclass(frozen=True, slots=True)
class _Detection:
    box: Box
    score: float
    keypoints_62: Float32


class OnnxFaces:
    """A `FaceEngine`."""

    def __init__(self) -> None:
        # Anchors per cell of each grid, by its stride: short range has two on the fine grid and six on the coarse one.
        self._near = _Detector("near", anchors(128, {8: 2, 16: 6}))
        self._far = _Detector("far", anchors(192, {4: 1}))
        self._mesh = _session("mesh")
        self._mesh_px = self._mesh.get_inputs()[0].shape[-1]
        self._cutter = Cutter(self._mesh_px)

    def near(self, rgb_HW3: UInt8) -> list[tuple[Box, float]]:
        return [(found.box, found.score) for found in self._near.detect(rgb_HW3, MIN_SCORE)]

    def far(self, rgb_HW3: UInt8) -> list[tuple[Box, float]]:
        return [(found.box, found.score) for found in self._far.detect(rgb_HW3, MIN_SCORE_FAR)]

    def meshes(self, rgb_HW3: UInt8) -> Float32:
        height, width = rgb_HW3.shape[:2]
        found = self._near.detect(rgb_HW3, MIN_SCORE_FOR_MESH)[:MAX_MESHES]
        meshes = []
        for square in _apart([_mesh_square(each, width, height) for each in found], width, height):
            picture = self._cutter.cut(rgb_HW3, square, repeat_edge=True)
            mesh_N3, presence = self._mesh.run(None, {"picture": picture[None]})
            if presence[0] < MIN_PRESENCE:
                continue
            mesh_N3 = mesh_N3 / np.float32(self._mesh_px)
            placed = square.place(mesh_N3[:, :2]) / np.array([width, height], np.float32)
            meshes.append(np.concatenate([placed, mesh_N3[:, 2:] * np.float32(square.side / width)], axis=1))
        return np.stack(meshes) if meshes else np.zeros((0, 478, 3), np.float32)


class _Detector:
    def __init__(self, name: str, anchors_N2: Float32) -> None:
        self._session = _session(name)
        self._side_px = self._session.get_inputs()[0].shape[-1]
        self._cutter = Cutter(self._side_px)
        self._anchors_N2 = anchors_N2

    def detect(self, rgb_HW3: UInt8, min_score: float) -> list[_Detection]:
        """Faces in 0–1 of the picture, the most certain first."""
        height, width = rgb_HW3.shape[:2]
        square = Square(width / 2, height / 2, max(width, height))
        picture = self._cutter.cut(rgb_HW3, square, repeat_edge=False)
        picture -= MIDDLE
        raw_N16, scores_N = self._session.run(None, {"picture": picture[None]})
        kept = np.flatnonzero(scores_N >= min_score)
        kept = kept[np.argsort(-scores_N[kept], kind="stable")]
        # Centre, size, and the keypoints, in 0–1 of the square.
        values = raw_N16[kept].reshape(-1, 2 + N_KEYPOINTS, 2) / np.float32(self._side_px)
        values[:, 0] += self._anchors_N2[kept]
        values[:, 2:] += self._anchors_N2[kept][:, None]
        corners = np.concatenate([values[:, :1] - values[:, 1:2] / 2, values[:, :1] + values[:, 1:2] / 2], axis=1)
        points = np.concatenate([corners, values[:, 2:]], axis=1)  # (K, 8, 2)
        merged = list(_merged(points, scores_N[kept]))
        scale = np.array([square.side / width, square.side / height], np.float32)
        found = []
        for points_82, score in merged:
            (left, top), (right, bottom), *keypoints = (points_82 - np.float32(0.5)) * scale + np.float32(0.5)
            box = (float(left), float(top), float(right - left), float(bottom - top))
            found.append(_Detection(box, score, np.stack(keypoints)))
        return found


def anchors(side_px: int, per_cell: dict[int, int]) -> Float32:
    """(N, 2) centres in 0–1 of the detector's picture: for each stride, cell by cell, all anchors of a cell."""
    centres = []
    for stride, n_anchors in per_cell.items():
        n_cells = side_px // stride
        y, x = (np.mgrid[:n_cells, :n_cells] + 0.5) / n_cells
        centres.append(np.stack([x, y], axis=-1).reshape(-1, 2).repeat(n_anchors, axis=0))
    every: Float32 = np.concatenate(centres).astype(np.float32)
    return every


def _merged(points_K82: Float32, scores_K: Float32) -> Iterator[tuple[Float32, float]]:
    """Weighted non-maximum suppression: each face's points are the mean of all detections of it, by score."""
    boxes = [(x, y, right - x, bottom - y) for (x, y), (right, bottom) in points_K82[:, :2].tolist()]
    left = list(range(len(boxes)))
    while left:
        first = left[0]
        same = [each for each in left if iou(boxes[each], boxes[first]) > SAME_FACE_IOU] or [first]
        weights = scores_K[same]
        mean_82 = np.tensordot(weights / weights.sum(), points_K82[same], 1)
        yield mean_82.astype(np.float32), float(scores_K[first])
        left = [each for each in left if each not in same]


def _mesh_square(found: _Detection, width: int, height: int) -> Square:
    """What the mesh sees of a detection: upright by the line between the eyes."""
    x, y, w, h = found.box
    right, left = found.keypoints_62[:2] * np.array([width, height], np.float32)
    angle = math.atan2(left[1] - right[1], left[0] - right[0])
    return Square((x + w / 2) * width, (y + h / 2) * height, MESH_SQUARE * max(w * width, h * height), angle)


def _apart(squares: list[Square], width: int, height: int) -> list[Square]:
    """Of squares that overlap, the last."""
    kept: list[Square] = []
    for square in squares:
        kept = [other for other in kept if iou(_upright(square), _upright(other)) <= SAME_SQUARE_IOU]
        kept.append(square)
    return kept


def _upright(square: Square) -> Box:
    return (square.x - square.side / 2, square.y - square.side / 2, square.side, square.side)


def _session(name: str) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    # Arenas of the three would keep several MB between two frames. Without a pattern of the memory that a run takes, it
    # is taken in parts, which the C library keeps at hand; one large block is often given back, and filled anew.
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    return onnxruntime.InferenceSession(MODELS / f"{name}.onnx", options, providers=["CPUExecutionProvider"])
