"""Other names of our facial cues: the action units of FACS, and the blendshapes of ARKit and MediaPipe.

A cue of ours approximates its action unit from a mesh, which does not show muscles. It is relative to the person's own
neutral face and is one value for both sides of the face; a blendshape is absolute and has a value for each side.
"""

from __future__ import annotations

from collections.abc import Mapping

FACS: Mapping[str, int] = {
    "inner_brow_raise": 1,
    "outer_brow_raise": 2,
    "brow_lower": 4,
    "upper_lid_raise": 5,
    "cheek_raise": 6,
    "lid_tighten": 7,
    "nose_wrinkle": 9,
    "upper_lip_raise": 10,
    "lip_corner_pull": 12,
    "lip_corner_depress": 15,
    "lip_stretch": 20,
    "lip_press": 24,
    "jaw_drop": 26,
    "eyes_closed": 43,
}
"The action unit of each cue (Ekman, Friesen and Hager, 2002)."
BLENDSHAPES: Mapping[str, tuple[str, ...]] = {
    "inner_brow_raise": ("browInnerUp",),
    "outer_brow_raise": ("browOuterUpLeft", "browOuterUpRight"),
    "brow_lower": ("browDownLeft", "browDownRight"),
    "upper_lid_raise": ("eyeWideLeft", "eyeWideRight"),
    "cheek_raise": ("cheekSquintLeft", "cheekSquintRight"),
    "lid_tighten": ("eyeSquintLeft", "eyeSquintRight"),
    "nose_wrinkle": ("noseSneerLeft", "noseSneerRight"),
    "upper_lip_raise": ("mouthUpperUpLeft", "mouthUpperUpRight"),
    "lip_corner_pull": ("mouthSmileLeft", "mouthSmileRight"),
    "lip_corner_depress": ("mouthFrownLeft", "mouthFrownRight"),
    "lip_stretch": ("mouthStretchLeft", "mouthStretchRight"),
    "lip_press": ("mouthPressLeft", "mouthPressRight"),
    "jaw_drop": ("jawOpen",),
    "eyes_closed": ("eyeBlinkLeft", "eyeBlinkRight"),
}
"The blendshapes of ARKit that move the same part of the face. MediaPipe's Face Landmarker uses the same names."


def blendshapes(cues: Mapping[str, float]) -> dict[str, float]:
    """The cues of a face by the names of blendshapes, both sides alike; what has no such name is left out."""
    return {name: cues[cue] for cue, names in BLENDSHAPES.items() if cue in cues for name in names}
