"""What is kept of a recording that several clips share, and the windows that are cut from it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from realtime.records import FrameEvidence, Scene, SpeechSegment, TokenCounts, VideoFrame
from tests.ingest.media_files import write_clip
from train.readers.clip import Clip
from train.readers.recording import WINDOW_S, clip_windows, read_recording, span_of


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fourteen seconds with a picture a second and silence."""
    path = tmp_path_factory.mktemp("recording") / "long.mp4"
    seconds = [float(second) for second in range(14)]
    write_clip(path, pictures_s=seconds, sound_N=np.zeros(14 * 16_000, np.float32))
    return path


class FrameTimes:
    """A perception that keeps the times of frames alone."""

    def see(self, frame: VideoFrame) -> FrameEvidence:
        nothing_ND, nothing_3N = np.zeros((0, 0), np.float32), np.zeros((3, 0), np.int64)
        return FrameEvidence(frame.at_s, (), (), Scene(0.0, 0.0), TokenCounts(0, 0, 0), nothing_ND, nothing_3N)

    def hear(self, segment: SpeechSegment) -> None:
        raise AssertionError(f"speech at {segment.start_s} s of silence")


def test_only_frames_of_the_clips_are_kept_and_perceived_once(path: Path) -> None:
    clips = [Clip("a", path, "sad", start_s=1.0, end_s=3.0), Clip("b", path, "sad", start_s=2.0, end_s=13.0)]
    recording = read_recording(path, [span_of(clip) for clip in clips])
    assert [round(frame.at_s) for frame in recording.frames] == list(range(1, 13))
    assert (recording.has_picture, recording.has_sound, recording.notes) == (True, True, ())
    assert recording.end_s == pytest.approx(14.0, abs=0.3)
    first, second = clip_windows(recording, clips, FrameTimes())
    assert [round(frame.at_s) for frame in first.frames] == [1, 2, 3]
    assert (second.start_s, second.end_s) == (13.0 - WINDOW_S, 13.0)
    assert [round(frame.at_s) for frame in second.frames] == list(range(5, 13))


def test_a_clip_between_two_frames_is_shown_the_frame_before_it(path: Path) -> None:
    clips = [Clip("a", path, "sad", start_s=2.0, end_s=3.0), Clip("b", path, "sad", start_s=2.3, end_s=2.8)]
    recording = read_recording(path, [span_of(clip) for clip in clips])
    _, short = clip_windows(recording, clips, FrameTimes())
    assert [round(frame.at_s) for frame in short.frames] == [2]
