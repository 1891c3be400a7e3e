"""Chooses the engine for faces, by the setting `faces.engine`."""

from __future__ import annotations

import logging
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Protocol

from realtime.errors import EngineMissing
from realtime.evidence.settings import FaceEngineName
from realtime.records import Box, Float32, UInt8

logger = logging.getLogger(__name__)

INSTALL = "pip install 'emothinker[mediapipe]'"
BUNDLED = "mediapipe/modules/face_detection/face_detection_short_range.tflite"
"A model in the wheels of MediaPipe up to 0.10.21. Later ones have none, and report their use to their maker."


class FaceEngine(Protocol):
    """Both detectors and the mesh, without state between pictures. Not for several threads at once."""

    def near(self, rgb_HW3: UInt8) -> list[tuple[Box, float]]:
        """Boxes in 0–1 of the picture, which may reach beyond it, and scores; by the short-range detector."""

    def far(self, rgb_HW3: UInt8) -> list[tuple[Box, float]]:
        """The same by the full-range detector."""

    def meshes(self, rgb_HW3: UInt8) -> Float32:
        """(F, 478, 3) landmarks of up to two faces: x and y in 0–1 of the picture, z in picture widths."""


def start(wanted: FaceEngineName) -> FaceEngine:
    """Load an engine; it takes a quarter of a second to a second. Raises EngineMissing for one that is not here."""
    check(wanted)
    if wanted != "onnx" and has_mediapipe():
        try:
            from realtime.evidence.face_engines.mediapipe_engine import MediaPipeFaces

            return MediaPipeFaces()
        # It is installed, but a library of the system or the NumPy it was built for is missing.
        except (ImportError, OSError) as error:
            if wanted == "mediapipe":
                raise EngineMissing(f"MediaPipe cannot be loaded: {error}.", "Take faces.engine = onnx.") from error
            logger.warning("MediaPipe cannot be loaded (%s); faces are found with ONNX Runtime.", error)
    from realtime.evidence.face_engines.onnx_engine import OnnxFaces

    return OnnxFaces()


def check(wanted: FaceEngineName) -> None:
    """Raise EngineMissing for an engine that is not here. Loads nothing."""
    if wanted == "mediapipe" and not has_mediapipe():
        raise EngineMissing(
            "faces.engine is mediapipe, which is missing here or has no models.",
            f"{INSTALL} (Python 3.11 or 3.12), or take faces.engine = onnx.",
        )


def has_mediapipe() -> bool:
    """Whether a MediaPipe with models is installed. Does not import it."""
    try:
        return Path(str(distribution("mediapipe").locate_file(BUNDLED))).is_file()
    except PackageNotFoundError:
        return False
