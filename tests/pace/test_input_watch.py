from __future__ import annotations

import numpy as np
import pytest

from realtime.pace.input_watch import InputWatch, unfinished
from realtime.records import (
    FrameEvidence,
    InputState,
    Scene,
    SoundKind,
    SpeechEvidence,
    TokenCounts,
    VideoFrame,
    VoiceCues,
)
from tests.scripted import picture


def evidence(at_s: float, *, brightness: float) -> FrameEvidence:
    """A frame in which no face was found."""
    tokens_ND, positions_3N = np.zeros((1, 4), np.float32), np.zeros((3, 1), np.int64)
    return FrameEvidence(at_s, (), (), Scene(brightness, 0.5), TokenCounts(0, 1, 0), tokens_ND, positions_3N)


def watch(*, has_video: bool = True, has_audio: bool = True) -> InputWatch:
    return InputWatch(has_video=has_video, has_audio=has_audio)


def test_one_pixel_that_lives_is_enough_for_a_camera_not_to_be_frozen() -> None:
    still = picture(0.0).rgb_HW3
    alive = watch()
    for at_s in range(20):
        pixels = still.copy()
        pixels[16, 32] = at_s * 10
        assert list(alive.received(VideoFrame(float(at_s), pixels))) == []


def test_a_frozen_camera_is_told_after_five_seconds_and_when_it_lives_again() -> None:
    frozen = watch()
    still = picture(0.0).rgb_HW3
    told = [(event.code, event.over, at_s) for at_s in range(9) for event in frozen.received(VideoFrame(at_s, still))]
    assert told == [("camera_frozen", False, 6)]
    assert [event.over for event in frozen.received(picture(9.0))] == [True]


def test_of_a_covered_lens_only_the_dark_is_told() -> None:
    covered, black = watch(), np.zeros((48, 64, 3), np.uint8)
    told: list[InputState] = []
    for second in range(20):
        told += covered.received(VideoFrame(float(second), black))
        told += covered.seen(evidence(float(second), brightness=0.0))
    assert [event.code for event in told] == ["too_dark"]
    lit = watch()
    assert [event.code for second in range(20) for event in lit.seen(evidence(float(second), brightness=0.5))] == [
        "no_face"
    ]


def test_a_size_that_changes_is_no_still_picture() -> None:
    turned = watch()
    assert list(turned.received(picture(0.0))) == []
    assert list(turned.received(VideoFrame(1.0, picture(0.0).rgb_HW3[:32]))) == []


def test_a_picture_that_stops_coming_is_told() -> None:
    stopped = watch()
    list(stopped.received(picture(0.0)))
    told = [(event.code, at_s) for at_s in range(12) for event in stopped.clock(float(at_s), silent_s=0)]
    assert told == [("no_video", 8)]
    list(stopped.received(picture(12.0)))
    assert [event.over for event in stopped.clock(12.0, silent_s=0)] == [True]


def test_a_muted_microphone_is_told_a_quiet_room_is_not() -> None:
    muted = watch()
    list(muted.received(picture(0.0)))
    assert list(muted.clock(0.5, silent_s=4.9)) == []
    assert [event.code for event in muted.clock(0.75, silent_s=5.0)] == ["muted"]
    assert [(event.code, event.over) for event in muted.clock(1.0, silent_s=0.0)] == [("muted", True)]


def test_what_the_offer_lacks_is_told_at_once_and_nothing_else() -> None:
    voice_only = watch(has_video=False)
    assert [event.code for event in voice_only.clock(0.0, silent_s=0)] == ["no_video"]
    face_only = watch(has_audio=False)
    list(face_only.received(picture(0.0)))
    assert [event.code for event in face_only.clock(0.0, silent_s=60)] == ["no_audio"]


def test_ordinary_endings_need_no_telling() -> None:
    assert list(unfinished("peer left")) == []
    assert [event.code for event in unfinished("no path")] == ["no_path"]


def heard(kind: SoundKind = "voice", *, narrow_band: bool = False, end_s: float = 2.0) -> SpeechEvidence:
    cues = VoiceCues({}, {}, np.zeros(0, np.float32), kind, narrow_band=narrow_band)
    return SpeechEvidence(0.0, end_s, cues, np.zeros((1, 4), np.float32), np.zeros((3, 1), np.int64))


@pytest.mark.parametrize("kind", ["tone", "noise"])
def test_what_is_no_voice_is_told_and_a_voice_after_it_too(kind: SoundKind) -> None:
    """Field report 2: hiss, breath, typing and hum were read as somebody's angry voice."""
    told = watch()
    assert [event.code for event in told.heard(heard(kind))] == ["no_voice"]
    assert list(told.heard(heard(kind))) == []
    assert [(event.code, event.over) for event in told.heard(heard())] == [("no_voice", True)]


def test_the_sound_of_a_telephone_is_told() -> None:
    """Field report 15: through 8 kHz, labels flipped, and nobody was told why."""
    told = watch()
    assert [event.code for event in told.heard(heard(narrow_band=True))] == ["narrow_band"]
    assert list(told.heard(heard(narrow_band=True))) == []
    assert [(event.code, event.over) for event in told.heard(heard())] == [("narrow_band", True)]
