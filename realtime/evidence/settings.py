"""Settings of what finds the faces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

FaceEngineName = Literal["auto", "mediapipe", "onnx"]


@dataclass(frozen=True)
class FacesSettings:
    """What finds the faces. Both engines run the same models and give the same boxes and meshes."""

    engine: FaceEngineName = "auto"
    """`mediapipe` is the package of that name (the extra `mediapipe`, for Python 3.11 and 3.12), `onnx` its models on
    ONNX Runtime. `auto` takes the package where it is installed."""
