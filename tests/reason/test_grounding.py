"""What a chain says of cues and prosody is compared with what was measured, person by person."""

from __future__ import annotations

from dataclasses import replace

import pytest

from realtime.engine.loading import LoadedModel
from realtime.reason.grounding import unsupported
from realtime.reason.measurements import CUE_PHRASES, measured_words
from realtime.records import Unsupported, Window
from tests.reason.chains import run, unbound
from tests.reason.windows import BOTH, VOICE_ONLY, drawn_frame, measured

OPEN = measured(BOTH, {"jaw_drop": 0.9, "lip_corner_pull": 0.4}, {"loudness_db": 1.6, "pitch_hz": -0.6})


def untrue(window: Window, **sections: str) -> list[str]:
    return [each.text for each in unsupported(sections, window)]


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("Jaw strongly dropped, lip corners slightly pulled up. The expression is surprised.", []),
        ("Mouth strongly open, mouth corners drawn up slightly.", []),
        ("Jaw slightly dropped, lip corners slightly pulled up.", ["Jaw slightly dropped"]),
        ("Jaw clearly dropped.", ["Jaw clearly dropped"]),
        ("Lip corners clearly pulled up.", []),  # half a step off
        ("Brows clearly lowered, jaw strongly dropped.", ["Brows clearly lowered"]),
        ("Features at rest, with a hint of a smile.", []),  # not recognised
        ("", []),
    ],
)
def test_a_cue_holds_where_it_was_measured_with_its_degree(text: str, wrong: list[str]) -> None:
    assert untrue(OPEN, face=text) == wrong


def test_what_holds_for_one_frame_holds() -> None:
    frames = measured(replace(BOTH, frames=BOTH.frames[:1]), {"jaw_drop": 0.2}, {}).frames
    opened = replace(OPEN, frames=(OPEN.frames[0], *frames))
    assert untrue(opened, face="Jaw strongly dropped.") == []


def test_each_person_is_compared_with_their_own_cues() -> None:
    two = replace(BOTH, frames=(drawn_frame(0.0, 2, 1),))
    first, second = measured(two, {"jaw_drop": 0.8}, {}).frames[0].cues
    second = replace(second, intensities={"eyes_closed": 0.9})
    window = replace(two, frames=(replace(two.frames[0], cues=(first, second)),))
    text = "Person A: Jaw strongly dropped. Person B: Jaw strongly dropped, eyes strongly closed."
    assert unsupported({"face": text}, window) == (Unsupported("face", 42, "Jaw strongly dropped"),)
    assert text[42:].startswith("Jaw strongly dropped, eyes")
    assert untrue(window, face="Person C: Nose clearly wrinkled.") == []


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("Much louder, lower in pitch than usual.", []),
        ("Louder than usual.", []),
        ("Quieter, and much lower in pitch.", ["Quieter", "much lower"]),
        ("Faster than usual. The voice is angry.", ["Faster"]),
    ],
)
def test_prosody_holds_with_its_sign_and_half_of_its_size(text: str, wrong: list[str]) -> None:
    assert untrue(OPEN, voice=text) == wrong


def test_nothing_can_be_said_against_a_usual_that_is_not_known() -> None:
    new = measured(BOTH, {}, {"loudness_db": 1.6}, usual=False)
    assert untrue(new, voice="Louder than usual.") == ["Louder"]
    assert untrue(new, voice="This voice is too new to compare.") == []


def test_what_is_measured_in_words_holds() -> None:
    """The words that a chain is given say nothing that this finds untrue."""
    values = (0.31, 0.49, 0.51, 0.71, 0.73, 1.0)
    for cue in CUE_PHRASES:
        for value in values:
            window = measured(BOTH, {cue: value}, {"rate_hz": 3 * value, "tilt_db": -2 * value})
            told = {name: measured_words(window, name) for name in ("face", "voice")}
            assert "at rest" not in told["face"]
            assert untrue(window, **told) == []


def test_nano_says_what_it_made_up(nano: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its cue tokens are noise, and nothing of what it says of them was measured."""
    window = measured(BOTH, {}, {})
    with unbound(monkeypatch):
        done = run(nano, window)[3]
    assert len(done.unsupported) >= 2
    assert done.unsupported == unsupported(done.sections, window)
    for said in done.unsupported:
        assert done.sections["face"][said.start :].startswith(said.text)
    assert run(nano, VOICE_ONLY)[3].unsupported == ()
