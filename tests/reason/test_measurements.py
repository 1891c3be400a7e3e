"""What was measured, in words: what is told, of whom, and that annotators say the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from realtime.model.config import EmotionConfig
from realtime.reason.measurements import MAX_CUES, measured_words
from realtime.reason.parts import ARGUED, FOUND, WHOLE
from realtime.records import Face, Scene
from tests.reason.windows import BOTH, FACE_ONLY, NOTHING, VOICE_ONLY, drawn_frame, measured
from train.coet.measured import Observation, PersonSeen, VoiceHeard, Writer

CUES = {"brow_lower": 0.45, "lip_press": 0.8, "jaw_drop": 0.2}
VOICE = {"pitch_hz": 0.9, "loudness_db": -1.6, "rate_hz": 0.2}
EVEN_7 = np.full(7, 1 / 7)
BIG = Face(0, (0.3, 0.1, 0.4, 0.6), 0.9, None)


def test_face_and_voice_are_told_with_degrees() -> None:
    window = measured(BOTH, CUES, VOICE)
    window = replace(window, frames=tuple(replace(frame, faces=(BIG,)) for frame in window.frames))
    assert measured_words(window, "face") == (
        " Measured: brows slightly lowered, lips strongly pressed; close to the camera, in the middle, facing the "
        "camera; evenly lit, with natural colour."
    )
    assert measured_words(window, "voice") == " Measured: higher in pitch, much quieter than usual."


def test_nothing_is_told_of_what_is_not_there() -> None:
    assert measured_words(NOTHING, "face") == measured_words(NOTHING, "voice") == ""
    assert measured_words(measured(VOICE_ONLY, CUES, VOICE), "face") == ""
    assert measured_words(measured(FACE_ONLY, CUES, VOICE), "voice") == ""
    nobody = replace(FACE_ONLY, frames=(drawn_frame(0.0, 0, 1),))
    assert measured_words(nobody, "face") == " Measured: evenly lit, with natural colour."
    assert measured_words(measured(BOTH, {}, {}), "face").startswith(" Measured: features at rest; ")
    assert measured_words(measured(BOTH, {}, {}), "voice") == " Measured: as usual for this voice."
    assert measured_words(measured(BOTH, {}, VOICE, usual=False), "voice") == " Measured: a voice too new to compare."


def test_a_cue_counts_by_its_peak_and_light_by_its_mean() -> None:
    early, late = (measured(FACE_ONLY, cues, {}).frames[0] for cues in ({"jaw_drop": 0.6}, {"jaw_drop": 0.1}))
    dark = replace(late, at_s=1.0, scene=Scene(0.1, 0.0))
    told = measured_words(replace(FACE_ONLY, frames=(early, dark)), "face")
    assert "jaw clearly dropped" in told
    assert told.endswith("; dim, with muted colour.")


def test_each_person_is_told_and_only_their_strongest_cues() -> None:
    two = replace(FACE_ONLY, frames=(drawn_frame(0.0, 2, 1),))
    strong = {name: 0.9 - 0.02 * place for place, name in enumerate(ALL_CUES)}
    told = measured_words(measured(two, strong, {}), "face")
    assert told.count("Person A: ") == told.count("Person B: ") == 1
    assert told.count("strongly") == 2 * MAX_CUES


ALL_CUES = (
    "inner_brow_raise", "outer_brow_raise", "upper_lid_raise", "cheek_raise", "nose_wrinkle", "upper_lip_raise",
    "lip_corner_pull", "jaw_drop",
)  # fmt: skip


def test_only_the_parts_that_describe_read_it() -> None:
    window = measured(BOTH, CUES, VOICE)
    voice, face = FOUND
    assert measured_words(window, "voice") in voice.state(window, measured=True)
    assert measured_words(window, "face") in face.state(window, measured=True)
    assert "much quieter" not in face.state(window, measured=True)
    for part in (*FOUND, ARGUED, *WHOLE):
        assert "Measured" not in part.state(window)
    for part in (ARGUED, *WHOLE):
        assert part.state(window, measured=True) == part.state(window)


def test_an_annotator_writes_the_same_words() -> None:
    """A chain that repeats what it was told is what the annotator writes, up to the wording that it draws."""
    window = measured(BOTH, CUES, VOICE)
    person = PersonSeen(CUES, (0.0, 0.0, 0.0), (0.1, 0.35), 0.3, EVEN_7)
    seen = Observation(
        (person,), voice=VoiceHeard(VOICE | {"tilt_db": 0, "pitch_range_st": 0}, EVEN_7, None), shares=EVEN_7
    )
    texts = [Writer(seed).chain(seen) for seed in range(20)]
    told = measured_words(window, "face")
    assert any(text["face"].lower().startswith("brows slightly lowered, lips strongly pressed.") for text in texts)
    for phrase in ("at arm's length", "on the left", "facing the camera"):
        assert phrase in told
        assert any(phrase in text["context"] for text in texts)
    assert any(text["voice"].lower().startswith("higher in pitch, much quieter than usual.") for text in texts)


def test_it_is_for_chains_that_describe_before_they_judge() -> None:
    assert EmotionConfig(measured=True, chain_form="evidence_first").measured
    with pytest.raises(ValueError, match="needs chain_form to be evidence_first"):
        EmotionConfig(measured=True, chain_form="first_look")
