"""The measured annotator says what was measured, and its checker notices when a chain does not."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from realtime.evidence.cues import CUES
from realtime.evidence.voice import VOICE_VALUES
from realtime.model.experts import EXPERT_LABELS
from realtime.reason.chain import read_answer
from realtime.reason.measurements import CUE_WORDS
from realtime.reason.prompt import LABELS, SECTIONS
from realtime.records import SpeechEvidence, VoiceCues
from tests.train.observations import person, shares, voice
from train.coet.checks import contradicts_itself, faithful
from train.coet.measured import Observation, WordsRead, Writer, as_text, words_decide
from train.coet.observe import voice_of
from train.readers.perceived import SpeechHeard

SMILE = person({"lip_corner_pull": 0.8, "cheek_raise": 0.6}, shares(happy=0.9, neutral=0.1))
ANGRY_VOICE = voice(shares(angry=1.0), loudness_db=2.0, pitch_hz=1.0)


def test_every_cue_has_words() -> None:
    assert set(CUE_WORDS) == set(CUES)


@pytest.mark.parametrize("seed", range(30))
def test_a_chain_is_faithful_to_its_own_measurements_and_names_what_both_show(seed: int) -> None:
    rng = np.random.default_rng(seed)
    seen = Observation(
        people=(person(dict(zip(CUES, rng.random(len(CUES)), strict=True)), rng.dirichlet(np.ones(7))),),
        voice=voice(rng.dirichlet(np.ones(7)), **dict(zip(VOICE_VALUES, rng.normal(0, 1.5, 10), strict=True))),
        shares=rng.dirichlet(np.ones(7)),
    )
    sections = Writer(seed).chain(seen)
    assert tuple(sections) == SECTIONS
    assert seen.voice is not None
    told = faithful(sections, seen.people[0].intensities, seen.voice.relative)
    assert told.n_statements > 0
    assert told.n_true == told.n_statements
    assert seen.shares is not None
    assert read_answer(sections["answer"], LABELS).label == EXPERT_LABELS[int(seen.shares.argmax())]
    assert as_text(sections).count("</") == len(SECTIONS)
    assert not contradicts_itself(sections)


@pytest.mark.parametrize(
    ("face", "heard", "said", "all_of_it", "told"),
    [
        ("happy", "happy", "neutral", "happy", "words say nothing of it|words are plain"),
        ("happy", "happy", "happy", "happy", "words are happy, too|words say so, too"),
        ("angry", "angry", "happy", "angry", "hardly meant so|not meant as they are said"),
        ("sad", "sad", "angry", "sad", "weigh less"),
        ("neutral", "neutral", "sad", "sad", "they decide|sad words that decide"),
    ],
)
def test_a_chain_tells_what_the_words_add(face: str, heard: str, said: str, all_of_it: str, told: str) -> None:
    words = WordsRead("So this is it.", shares(**{said: 0.9, "fear": 0.1}))
    looks = person({"lip_corner_pull": 0.6}, shares(**{face: 1.0}))
    for seed in range(20):
        seen = Observation(
            people=(looks,), voice=voice(shares(**{heard: 1.0})), shares=shares(**{all_of_it: 1.0}), words=words
        )
        sections = Writer(seed).chain(seen)
        assert re.search(told, sections["coarse"])
        assert read_answer(sections["answer"], LABELS).label == all_of_it
        assert words_decide(seen) == (all_of_it != face)
        assert not contradicts_itself(sections)


def test_the_checker_notices_an_invented_cue() -> None:
    sections = {"face": "Brows strongly lowered.", "voice": "Much louder than usual."}
    told = faithful(sections, SMILE.intensities, {"loudness_db": -1.0})
    assert (told.n_statements, told.n_true) == (2, 0)


def test_swapping_the_face_changes_only_what_is_said_of_the_face() -> None:
    frown = person({"brow_lower": 0.8}, shares(angry=1.0))
    one = Writer(3).chain(Observation(people=(SMILE,), voice=ANGRY_VOICE, shares=shares(happy=1.0)))
    other = Writer(3).chain(Observation(people=(frown,), voice=ANGRY_VOICE, shares=shares(angry=1.0)))
    assert one["face"] != other["face"]
    assert "disagree" in one["coarse"]
    assert "disagree" not in other["coarse"]


def test_a_missing_modality_is_said() -> None:
    nobody = Writer(0).chain(Observation())
    assert "no face" in nobody["face"].lower()
    assert "no speech" in nobody["voice"].lower()
    assert nobody["answer"] == "unsure"
    blind = Writer(0).chain(Observation(has_picture=False, voice=ANGRY_VOICE, shares=shares(angry=1.0)))
    assert "no picture" in blind["face"].lower()


@pytest.mark.parametrize(
    ("fine", "expected"),
    [
        ("The sad face outweighs the happy voice: sad, strong.", False),
        ("The face is sad, against a happy voice: sad, slight.", False),
        ("A sad face and a happy voice together: neutral, moderate.", False),
        ("The face is happy, against a happy voice: sad, slight.", True),
        ("The angry voice outweighs the sad face: angry, strong.", True),
        ("It points to sad, strong.", False),
    ],
)
def test_a_chain_contradicts_itself_where_it_argues_from_another_emotion_than_it_named(
    fine: str, expected: bool
) -> None:
    sections = {
        "face": "The expression is sad.",
        "voice": "The voice seems happy.",
        "coarse": "Face and voice disagree.",
    }
    assert contradicts_itself(sections | {"fine": fine}) is expected


@pytest.mark.parametrize(
    ("face", "voice", "coarse", "expected"),
    [
        ("The expression is happy.", "The voice sounds happy.", "Face and voice disagree; the face weighs more.", True),
        ("The expression is happy.", "The voice sounds happy.", "Both agree.", False),
        ("The expression is happy.", "The voice is sad.", "Both point the same way.", True),
        ("The expression is happy.", "The voice is perhaps sad.", "Face and voice disagree.", False),
        ("The expression is happy.", "No speech.", "Only the face speaks.", None),
        ("The expression could be happy or sad.", "The voice is sad.", "Both agree.", None),
    ],
)
def test_a_chain_contradicts_itself_where_it_counts_two_that_it_names_alike_as_different(
    face: str, voice: str, coarse: str, expected: bool | None
) -> None:
    assert contradicts_itself({"face": face, "voice": voice, "coarse": coarse}) is expected


def test_what_changed_says_when_and_in_which_order() -> None:
    smile = person({"lip_corner_pull": 0.9}, shares(happy=1.0))
    heard = voice(shares(sad=1.0))

    def told(appeared_s: float | None, began_s: float) -> dict[str, str]:
        people = (replace(smile, appeared_s=appeared_s),)
        seen = Observation(people=people, voice=replace(heard, began_s=began_s), shares=shares(happy=1.0))
        return Writer(1).chain(seen)

    assert "It appeared two seconds ago. The expression" in told(2.3, 1.0)["face"]
    assert "appeared" not in told(None, 1.0)["face"]
    assert told(2.3, 1.0)["coarse"].endswith(" The face changed before the voice began.")
    assert told(1.0, 2.3)["coarse"].endswith(" The face changed after the voice began.")
    assert told(1.2, 1.0)["coarse"].endswith(" The face changed as the voice began.")
    assert "changed" not in told(None, 1.0)["coarse"]


def test_a_voice_is_not_compared_before_its_usual_is_known() -> None:
    """A stranger's first sentence was told to be as usual for this voice."""
    for known in (False, True):
        cues = VoiceCues({}, dict.fromkeys(VOICE_VALUES, 0.0), np.zeros(0, np.float32), usual_known=known)
        evidence = SpeechEvidence(0.0, 1.6, cues, np.zeros((1, 4), np.float32), np.zeros((3, 1), np.int64))
        heard = voice_of([SpeechHeard(evidence, np.zeros(16, np.float32), {})])
        assert heard is not None
        told = Writer(0).voice(Observation(voice=heard))
        assert told.startswith(("As usual", "Close to")) if known else "compare" in told, told
