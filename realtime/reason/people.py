"""A label for each person in view, from the face alone.

The face expert (`model/experts.py`) gives log-probabilities for each measured face of each frame. Those of one track
are averaged over the window, newer and more frontal faces with more weight, and calibrated as a window with a face and
no voice is. Nothing of the picture around a face counts here, and nothing of the voice, which may be somebody else's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from realtime.model.config import Calibration
from realtime.reason import calibrate
from realtime.reason.prompt import UNSURE
from realtime.records import LABELS, FaceCues, FaceLabel, Window

MAX_PEOPLE = 5
"People who get a label of their own at most."
IN_VIEW_S = 3.0
"Seconds before the newest measured face for which a face counts as in view: a head that turns away is not gone."
HALF_LIFE_S = 2.0
"Age at which a frame weighs half as much as the newest."
LEAST_FRONTAL = 0.1
"Least weight of a face for its pose. Nobody who is in view is left without a label because they look aside."


def face_labels(window: Window, labels: Sequence[str], calibration: Calibration) -> tuple[FaceLabel, ...]:
    """The calibrated label of each track in view, those of the newest frame first; at most `MAX_PEOPLE`.

    Empty without a face expert, and for labels that it was not trained to tell apart.
    """
    if not set(labels) <= set(LABELS):
        return ()
    scored = [
        (frame.at_s, cues, cues.verdict_7)
        for frame in window.frames
        for cues in frame.cues
        if cues.verdict_7 is not None
    ]
    if not scored:
        return ()
    newest_s = max(at_s for at_s, _, _ in scored)
    found = []
    # The newest frame first, and within a frame the order in which faces were found: the biggest first.
    for track in dict.fromkeys(
        cues.track for at_s, cues, _ in sorted(scored, key=lambda face: -face[0]) if newest_s - at_s <= IN_VIEW_S
    ):
        faces = [(verdict, weight(cues, newest_s - at_s)) for at_s, cues, verdict in scored if cues.track == track]
        verdicts_M7 = np.stack([verdict for verdict, _ in faces])
        mean_7 = np.average(verdicts_M7, axis=0, weights=[each for _, each in faces])
        scores = {label: float(mean_7[LABELS.index(label)]) for label in labels}
        probabilities = calibrate.fast(scores, "face", calibration)
        best = max(probabilities, key=lambda label: probabilities[label])
        sure = probabilities[best] >= calibration.unsure_below
        found.append(FaceLabel(track, best if sure else UNSURE, probabilities))
    return tuple(found[:MAX_PEOPLE])


def weight(cues: FaceCues, age_s: float) -> float:
    """How much a face counts in the mean over its track: less with age, and less the further it is turned away."""
    yaw, pitch, _ = cues.pose_deg
    frontal = math.cos(math.radians(yaw)) * math.cos(math.radians(pitch))
    return float(0.5 ** (age_s / HALF_LIFE_S)) * max(frontal, LEAST_FRONTAL)
