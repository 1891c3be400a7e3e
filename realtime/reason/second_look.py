"""What a second look at a face adds to the answer, while its chain is written.

The fast label takes one crop of a face. Perception judges two more, a little closer and a little farther. The mean of
all three is right a little more often than the first alone. So the expert's log-ratio, the three against the one, is
added to the fast label's log-probabilities before the chain argues for a label. Averaging over such crops is test-time
augmentation (Shanmugam et al., *Better Aggregation in Test-Time Augmentation*, ICCV 2021). `train/LOG.md` has figures.
"""

from __future__ import annotations

import math

import numpy as np

from realtime.reason import calibrate
from realtime.reason.people import weight
from realtime.records import LABELS, Label, Window


def looked_again(label: Label, window: Window) -> dict[str, float]:
    """The probabilities of a fast label after a second look at the face, summing to 1.

    They stay as they are where no face was judged twice, where several people are in view, and for a label that no
    calibration was fitted for.
    """
    seen = [(frame.at_s, cues) for frame in window.frames for cues in frame.cues]
    rows = [
        (at_s, cues, cues.second_7 - cues.verdict_7)
        for at_s, cues in seen
        if cues.second_7 is not None and cues.verdict_7 is not None
    ]
    if not rows or not label.calibrated or len({cues.track for _, cues in seen}) != 1:
        return dict(label.probabilities)
    newest_s = max(at_s for at_s, _, _ in rows)
    weights = [weight(cues, newest_s - at_s) for at_s, cues, _ in rows]
    ratio_7 = np.average(np.stack([ratio_7 for _, _, ratio_7 in rows]), axis=0, weights=weights)
    scores = [
        math.log(max(share, 1e-9)) + float(ratio_7[LABELS.index(name)]) for name, share in label.probabilities.items()
    ]
    return dict(zip(label.probabilities, calibrate.softmax(scores), strict=True))
