"""Whose voice it is: from made-up mouths, and from three clips side by side in one picture."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from realtime.evidence.speaker import mouths, whose_voice
from realtime.records import (
    CueFrame,
    FaceCues,
    Glimpse,
    SpeechEvidence,
    VideoFrame,
    VoiceCues,
    Window,
)
from tests import recorded

SPOKEN = (2.0, 5.0)
Mouth = Callable[[float], float]


def speech(start_s: float, end_s: float) -> SpeechEvidence:
    voice = VoiceCues({}, {}, np.zeros(0, np.float32))
    return SpeechEvidence(start_s, end_s, voice, np.zeros((0, 8), np.float32), np.zeros((3, 0), np.int64))


def glimpse(at_s: float, gaps: dict[int, float]) -> Glimpse:
    nothing = np.zeros(0, np.float32)
    return Glimpse(at_s, tuple(FaceCues(n, {}, (0, 0, 0), nothing, mouth_gap=gap) for n, gap in gaps.items()))


def window(*mouths: Mouth, fps: float = 10.0, spoken: tuple[float, float] | None = SPOKEN) -> Window:
    times = np.arange(0, 8, 1 / fps).tolist()
    seen = tuple(glimpse(at_s, {n: mouth(at_s) for n, mouth in enumerate(mouths, start=1)}) for at_s in times)
    heard = () if spoken is None else (speech(*spoken),)
    return Window(0, 0.0, 8.0, (), heard, seen)


def babble(at_s: float) -> float:
    """A mouth that opens with syllables of uneven length."""
    return 0.1 + 0.09 * math.sin(2 * math.pi * (3.7 * at_s + 0.6 * math.sin(2.1 * at_s)))


def speaks(at_s: float) -> float:
    return babble(at_s) if SPOKEN[0] <= at_s <= SPOKEN[1] else 0.01


def listens(at_s: float) -> float:
    return 0.01 + 0.003 * math.sin(31 * at_s)


def chews(at_s: float) -> float:
    return 0.05 + 0.05 * math.sin(2 * math.pi * 1.7 * at_s)


def smiles(at_s: float) -> float:
    """A mouth that opens once, slowly, while somebody speaks."""
    return 0.15 / (1 + math.exp(-4 * (at_s - 3.5)))


@pytest.mark.parametrize("other", [listens, smiles], ids=["listens", "smiles"])
def test_the_voice_is_theirs_whose_mouth_moves_with_it(other: Mouth) -> None:
    assert whose_voice(window(other, speaks)) == 2
    assert whose_voice(window(speaks, other, other)) == 1


def test_a_face_alone_whose_mouth_never_moves_does_not_speak() -> None:
    assert whose_voice(window(listens)) is None
    assert whose_voice(window(smiles)) is None
    assert whose_voice(window(speaks)) == 1


def test_a_mouth_that_moves_in_quiet_as_well_does_not_speak() -> None:
    assert whose_voice(window(chews, listens)) is None


def test_two_mouths_that_both_move_are_nobodys() -> None:
    assert whose_voice(window(speaks, lambda at_s: speaks(at_s + 0.03))) is None
    assert whose_voice(window(speaks, chews)) in (None, 1)


def test_nobody_speaks_where_there_is_no_speech() -> None:
    assert whose_voice(window(speaks, spoken=None)) is None


def test_once_a_second_is_enough_for_a_long_utterance_and_not_for_a_short_one() -> None:
    rng = np.random.default_rng(3)
    opening = dict(zip(range(8), rng.uniform(0, 0.2, 8).tolist(), strict=True))
    long = window(listens, lambda at_s: opening[int(at_s)], fps=1.0, spoken=(0.0, 7.5))
    assert whose_voice(long) == 2
    assert whose_voice(replace(long, speech=(speech(2.5, 4.4),))) is None


def test_a_track_that_was_lost_in_between_makes_no_step() -> None:
    seen = tuple(glimpse(at_s, {1: 0.2 * (n % 2)}) for n, at_s in enumerate((0.0, 2.0, 4.0, 6.0, 7.9)))
    assert whose_voice(Window(0, 0.0, 8.0, (), (speech(0.0, 8.0),), seen)) is None


SIDE_BY_SIDE = ("ANG", "HAP", "NEU")


def side_by_side(path: Path, speaker: int) -> None:
    """The three clips in one picture, of which only one moves, with its sound. The others stand still."""
    import av

    clips = [recorded.frames_of(recorded.clip(name), 0.0) for name in SIDE_BY_SIDE]
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=30)
        height, width = clips[0][0].rgb_HW3.shape[:2]
        video.width, video.height, video.pix_fmt = 3 * width, height, "yuv420p"
        audio = out.add_stream("aac", rate=16_000)
        for n, moving in enumerate(clips[speaker]):
            pictures = [moving.rgb_HW3 if place == speaker else clip[0].rgb_HW3 for place, clip in enumerate(clips)]
            frame = av.VideoFrame.from_ndarray(np.concatenate(pictures, axis=1), format="rgb24")
            frame.pts = n
            out.mux(video.encode(frame))
        sound = av.AudioFrame.from_ndarray(
            recorded.sound_of(recorded.clip(SIDE_BY_SIDE[speaker]))[None], format="fltp", layout="mono"
        )
        sound.sample_rate, sound.pts = 16_000, 0
        out.mux([*video.encode(None), *audio.encode(sound), *audio.encode(None)])


@pytest.mark.slow
@pytest.mark.parametrize("speaker", range(3), ids=SIDE_BY_SIDE)
def test_of_three_faces_side_by_side_the_one_that_speaks_is_found(speaker: int, tmp_path: Path) -> None:
    from realtime.evidence.baseline import FaceBaseline
    from realtime.evidence.cues import CUES, measure_face
    from realtime.evidence.faces import FaceFinder
    from realtime.ingest.media import MediaSource
    from realtime.ingest.settings import IngestSettings
    from realtime.ingest.speech import SpeechSettings
    from realtime.records import SpeechSegment

    side_by_side(tmp_path / "three.mp4", speaker)
    finder, seen, heard = FaceFinder(), [], []
    source = MediaSource.open(str(tmp_path / "three.mp4"), ingest=IngestSettings(cue_fps=10), speech=SpeechSettings())
    for item in source.read():
        if isinstance(item, VideoFrame | CueFrame):
            height, width = item.rgb_HW3.shape[:2]
            faces = finder.find(item.rgb_HW3, item.at_s)
            cues = [measure_face(face, FaceBaseline(CUES), width, height) for face in faces]
            seen.append((Glimpse(item.at_s, tuple(each for each in cues if each is not None)), faces))
        elif isinstance(item, SpeechSegment):
            heard.append(speech(item.start_s, item.end_s))
    found = Window(0, 0.0, 8.0, (), tuple(heard), tuple(cues for cues, _ in seen))
    assert heard
    assert len(mouths(found)) == 3
    places = {face.track: int(3 * (face.box[0] + face.box[2] / 2)) for _, faces in seen for face in faces}
    track = whose_voice(found)
    assert track is not None
    assert places[track] == speaker
