"""A picture that has not changed is not looked at again, and to everything after it is one like any other."""

from __future__ import annotations

import numpy as np
import pytest

from realtime.engine.loading import LoadedModel
from realtime.evidence.perceive import UNCHANGED_STEP, unchanged
from realtime.evidence.tracks import TRACK_GAP_S, Tracks
from realtime.records import Question, VideoFrame, Window

STILL = np.random.default_rng(0).integers(0, 250, (96, 128, 3), dtype=np.uint8)


def test_noise_of_a_camera_is_a_change_and_rounding_is_none() -> None:
    still = VideoFrame(0.0, STILL)
    assert unchanged(VideoFrame(1.0, STILL + np.uint8(UNCHANGED_STEP)), still)
    assert not unchanged(VideoFrame(1.0, STILL + np.uint8(UNCHANGED_STEP + 1)), still)
    assert not unchanged(VideoFrame(1.0, STILL[:48]), still)


def test_a_still_is_seen_once_and_read_once(nano: LoadedModel) -> None:
    perception, ask = nano.perceiver(seed=0), Question(labels=nano.labels)
    frames = tuple(perception.see(VideoFrame(float(s), STILL)) for s in range(4))
    assert perception.n_unchanged == 3
    assert [frame.at_s for frame in frames] == [0, 1, 2, 3]
    assert len({frame.number for frame in frames}) == 1
    label = nano.thinker.fast_label(Window(0, 0.0, 3.0, frames, ()), ask)

    ring = nano.thinker.open_ring(ask)
    assert ring is not None
    apart = Window(0, 0.0, 3.0, tuple(ring.add_frame(frame) for frame in frames), ())
    assert len({frame.number for frame in apart.frames}) == 4
    assert nano.thinker.fast_label(apart, ask).probabilities == pytest.approx(label.probabilities, abs=1e-5)
    ring.close()


def test_a_still_outlives_the_ring(nano: LoadedModel) -> None:
    perception = nano.perceiver(seed=0)
    first = perception.see(VideoFrame(0.0, STILL))
    ring = nano.thinker._rings[first.ring]
    ring.forget(first)
    again = perception.see(VideoFrame(1.0, STILL))
    assert again.number != first.number
    assert ring.ring.chunk(again.number) is not None


def test_whoever_sits_still_keeps_their_track() -> None:
    tracks, box = Tracks(), (0.4, 0.4, 0.2, 0.2)
    assert tracks.match([box], at_s=0.0, frame_px=(640, 480)) == [1]
    for at_s in range(1, 20):
        tracks.keep(float(at_s))
    assert tracks.match([box], at_s=19 + TRACK_GAP_S, frame_px=(640, 480)) == [1]
