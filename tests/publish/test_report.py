"""The window event names the tracks of the people whom the chain calls Person A, Person B, …"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from realtime.publish.report import window_event
from realtime.records import Face, FrameEvidence, Question, VideoFrame, Window
from tests.scripted import ScriptedPerceiver


def frame(at_s: float, found: tuple[int, ...], measured: tuple[int, ...]) -> FrameEvidence:
    """`found`: tracks from the biggest face on; `measured`: those among them that a mesh fits, in the same order."""
    seen = ScriptedPerceiver().see(VideoFrame(at_s, np.zeros((48, 64, 3), np.uint8)))
    faces = tuple(Face(track, (0.1 * track, 0.2, 0.1, 0.2), 0.9, None) for track in found)
    return replace(seen, faces=faces, cues=tuple(replace(seen.cues[0], track=track) for track in measured))


def people(*frames: FrameEvidence) -> tuple[int, ...]:
    return window_event(Window(0, 0.0, 8.0, frames, ()), Question(labels=("happy", "sad"))).people


def test_letters_go_by_size_in_the_newest_frame() -> None:
    assert people(frame(0.0, (1, 2), (1, 2)), frame(1.0, (2, 1), (2, 1))) == (2, 1)
    assert people(frame(0.0, (1,), (1,)), frame(1.0, (), ())) == (1,)
    assert people(frame(0.0, (), ())) == ()


def test_a_big_face_without_a_mesh_takes_no_letter_from_those_that_are_read() -> None:
    """A profile in front has no cue tokens: the chain's Person A is the one behind, and so it has to be on the page."""
    assert people(frame(0.0, (7, 3, 5), (3, 5))) == (3, 5, 7)


def test_a_face_that_lost_its_mesh_keeps_the_letter_it_was_read_under() -> None:
    assert people(frame(0.0, (4, 2), (4, 2)), frame(1.0, (4, 2), (2,))) == (2, 4)
    assert people(frame(0.0, (4,), (4,)), frame(1.0, (4,), ())) == (4,)
