"""The face models in MediaPipe's own graphs (legacy solutions API, mediapipe 0.10.18–0.10.21)."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np

from realtime.evidence.face_engines.deferred import imported_on_use
from realtime.evidence.face_engines.thresholds import MAX_MESHES, MIN_SCORE, MIN_SCORE_FOR_MESH
from realtime.evidence.native_logs import quiet_native_logs
from realtime.records import Box, Float32, UInt8

UNUSED = ("matplotlib", "matplotlib.pyplot", "cv2", "mediapipe.tasks", "mediapipe.tasks.python")
"What MediaPipe imports to draw with, and its other tasks. They take half a second and 60 MB."


class MediaPipeFaces:
    """A `FaceEngine`. It takes 50 MB, which MediaPipe does not give back when it is dropped."""

    def __init__(self) -> None:
        self._n_meshes = 0
        with quiet_native_logs():
            with imported_on_use(*UNUSED):
                from mediapipe.python.solutions.face_detection import FaceDetection
                from mediapipe.python.solutions.face_mesh import FaceMesh

            self._near: Any = FaceDetection(model_selection=0, min_detection_confidence=MIN_SCORE)
            self._far: Any = FaceDetection(model_selection=1, min_detection_confidence=MIN_SCORE)
            self._mesher: Any = FaceMesh(
                static_image_mode=True,
                max_num_faces=MAX_MESHES,
                refine_landmarks=True,
                min_detection_confidence=MIN_SCORE_FOR_MESH,
            )
            # The graphs start, and their models log, at the first picture rather than at construction.
            for graph in (self._near, self._far, self._mesher):
                graph.process(np.zeros((64, 64, 3), np.uint8))

    def near(self, rgb_HW3: UInt8) -> list[tuple[Box, float]]:
        return _found(self._near, rgb_HW3)

    def far(self, rgb_HW3: UInt8) -> list[tuple[Box, float]]:
        return _found(self._far, rgb_HW3)

    def meshes(self, rgb_HW3: UInt8) -> Float32:
        # The first face that is found makes the graph log once more.
        with quiet_native_logs() if self._n_meshes == 0 else contextlib.nullcontext():
            found = self._mesher.process(rgb_HW3).multi_face_landmarks or ()
        self._n_meshes += len(found)
        points = [[(point.x, point.y, point.z) for point in face.landmark] for face in found]
        return np.array(points, np.float32).reshape(-1, 478, 3)


def _found(graph: Any, rgb_HW3: UInt8) -> list[tuple[Box, float]]:
    found = []
    for detection in graph.process(rgb_HW3).detections or ():
        box = detection.location_data.relative_bounding_box
        found.append(((box.xmin, box.ymin, box.width, box.height), float(detection.score[0])))
    return found
