"""Windows that are staged for questions that one picture cannot answer: who of two, when a face changed, what first.

Two people are two faces of the benchmark side by side. A face that changes is another person's neutral one, and from
some second on the sample's own, in the same place: the benchmark has one picture of each person, and the session
measures whatever face is in its track. The truth follows from what was measured of both faces, and from the times of
the pictures and of the sentence.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from realtime.evidence.perceive import Perception
from realtime.records import FrameEvidence, VideoFrame, Window
from train.coet.measured import Observation
from train.evaluation.samples import Sample

WINDOW_S = 8
"Length of a window, with a picture in each second."
LEAST_S = 1.0
"A sentence begins and a face changes at least this long from the window's ends."


def side_by_side(one: VideoFrame, other: VideoFrame) -> VideoFrame:
    """Both pictures in one, at the time of the first."""
    return VideoFrame(one.at_s, np.concatenate([one.rgb_HW3, other.rgb_HW3], axis=1))


def two_people(perception: Perception, sample: Sample, other: Sample) -> Window | None:
    """The window of a sentence while both are in view; None where not both were measured."""
    assert sample.frame is not None
    assert sample.speech is not None
    assert other.frame is not None
    seen = perception.see(side_by_side(sample.frame, other.frame))
    heard = perception.hear(sample.speech)
    end_s = sample.speech.end_s
    window = Window(0, max(0.0, end_s - WINDOW_S), end_s, (seen,), (heard,) if heard is not None else ())
    return window if len(seen.cues) == 2 and window.speech else None


def changing(
    perception: Perception, sample: Sample, rest: VideoFrame, rng: np.random.Generator
) -> tuple[Window, float] | None:
    """The window in which the face at rest becomes the sample's, and how long before its end it does.

    A picture is seen each second. The sentence ends somewhere in the window. None where no face was measured in one of
    the pictures.
    """
    assert sample.frame is not None
    assert sample.speech is not None
    length_s = min(sample.speech.end_s - sample.speech.start_s, WINDOW_S - 2 * LEAST_S)
    after_s = float(rng.uniform(0.0, WINDOW_S - LEAST_S - length_s))
    "From the sentence's end to the window's. Live it is 0 where the window is due to speech, and up to 4 s in quiet."
    end_s = sample.speech.end_s + after_s
    onset = int(rng.integers(1, WINDOW_S - 1))
    frames: list[FrameEvidence] = []
    heard = None
    for second in range(WINDOW_S):
        at_s = end_s - WINDOW_S + second + 0.5
        if heard is None and at_s >= sample.speech.end_s:
            heard = perception.hear(sample.speech)
        picture = sample.frame if second >= onset else rest
        frames.append(perception.see(replace(picture, at_s=at_s)))
    heard = heard or perception.hear(sample.speech)
    if heard is None or not all(frame.cues for frame in frames):
        return None
    return Window(0, end_s - WINDOW_S, end_s, tuple(frames), (heard,)), end_s - frames[onset].at_s


def timed(seen: Observation, window: Window, changed_s: float) -> Observation:
    """What was measured, with how long ago the face changed and the sentence began."""
    assert seen.voice is not None
    first, *others = seen.people
    began_s = window.end_s - window.speech[-1].start_s
    people = (replace(first, appeared_s=changed_s), *others)
    return replace(seen, people=people, voice=replace(seen.voice, began_s=began_s))
