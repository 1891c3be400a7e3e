"""Whose voice is heard: the person whose mouth moves while it is, or nobody.

A mouth that speaks opens and closes with the syllables, a few times a second; a mouth that listens hardly moves, and
one that chews or laughs moves as much while nobody speaks. So the change of its opening from one measurement to the
next is compared between speech and quiet, and between people. The sound itself is not compared with the mouth.

Measurements come once a second with the frames, and more often with `ingest.cue_fps`. Once a second is enough only for
a long utterance.
"""

from __future__ import annotations

import math
from collections import defaultdict
from itertools import pairwise

from realtime.records import FaceCues, Window

MOVES = 0.025
"""Least movement of a mouth that speaks, in outer eye-corner distances. Of a still picture the mesh's own noise makes
less than 0.005 (`tests/evidence/test_speaker.py`)."""
AGAINST_QUIET = 1.5
"How many times as much a mouth has to move while speech is heard as while it is not."
AGAINST_OTHERS = 2.0
"How many times as much it has to move as each other mouth. With less it is nobody's voice rather than the wrong one's."
LEAST_STEPS = 4
"Steps between measurements within speech, without which nothing is said of a mouth; as many in quiet to compare with."
LONGEST_STEP_S = 1.6
"Measurements further apart are no step: the face was lost in between, or a frame was skipped."


def whose_voice(window: Window) -> int | None:
    """The track to which the speech of a window belongs; None where that is not clear, or nobody speaks."""
    stretches = [(part.start_s, part.end_s) for part in window.speech]
    if not stretches:
        return None
    spoken: dict[int, float] = {}
    speaks: set[int] = set()
    for track, series in mouths(window).items():
        steps: dict[bool, list[float]] = {True: [], False: []}
        for (before_s, before), (at_s, gap) in pairwise(series):
            if at_s - before_s > LONGEST_STEP_S:
                continue
            inside = [any(start_s <= moment <= end_s for start_s, end_s in stretches) for moment in (before_s, at_s)]
            if inside[0] == inside[1]:
                steps[inside[0]].append(gap - before)
        if len(steps[True]) < LEAST_STEPS:
            continue
        spoken[track] = movement(steps[True])
        quiet = movement(steps[False]) if len(steps[False]) >= LEAST_STEPS else 0.0
        if spoken[track] >= max(MOVES, AGAINST_QUIET * quiet):
            speaks.add(track)
    if not speaks:
        return None
    most = max(spoken, key=lambda track: spoken[track])
    others = max((moved for track, moved in spoken.items() if track != most), default=0.0)
    return most if most in speaks and spoken[most] >= AGAINST_OTHERS * others else None


def mouths(window: Window) -> dict[int, list[tuple[float, float]]]:
    """Times and mouth openings of each track in the window, in order."""
    measured: dict[int, dict[float, float]] = defaultdict(dict)
    moments: list[tuple[float, tuple[FaceCues, ...]]] = [
        *((frame.at_s, frame.cues) for frame in window.frames),
        *((glimpse.at_s, glimpse.cues) for glimpse in window.glimpses),
    ]
    for at_s, faces in moments:
        for cues in faces:
            if cues.mouth_gap is not None:
                measured[cues.track][at_s] = cues.mouth_gap
    return {track: sorted(series.items()) for track, series in measured.items()}


def movement(steps: list[float]) -> float:
    """The spread that changes from one measurement to the next stand for: √(mean square / 2) (von Neumann, 1941).

    A slow change, as of a smile or a turning head, adds little to it.
    """
    return math.sqrt(sum(step * step for step in steps) / len(steps) / 2)
