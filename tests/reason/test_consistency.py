"""A chain that contradicts itself, or the model's own label branches, is found out and told as unsure."""

from __future__ import annotations

from dataclasses import replace

import pytest

from realtime.asking.emotion_words import own_labels
from realtime.engine.loading import LoadedModel, load
from realtime.reason.consistency import contradictions
from realtime.reason.prompt import UNSURE
from realtime.records import LABELS, Conflict
from tests.reason.windows import ASK, BOTH

SOUND = {
    "face": "Lip corners pulled up clearly. The expression is happy.",
    "voice": "Pitch lower than usual. The voice sounds sad.",
    "coarse": "Tendency positive. Face and voice disagree; the face weighs more here.",
    "fine": "The happy face outweighs the sad voice: happy, moderate.",
    "answer": "happy, moderate",
}
ALIKE = SOUND | {
    "voice": "The voice is happy.",
    "coarse": "Tendency positive. Both agree.",
    "fine": "It points to happy, moderate.",
}


@pytest.mark.parametrize("sections", [SOUND, ALIKE, {**SOUND, "coarse": "The two differ."}, {}])
def test_a_chain_that_holds_together_contradicts_nothing(sections: dict[str, str]) -> None:
    assert contradictions(sections, LABELS, {}) == ()


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({"fine": "The surprised face outweighs the sad voice: surprise, moderate."}, {"face", "answer"}),
        ({"fine": "The face is happy, against an angry voice: happy."}, {"voice"}),
        ({"fine": "The face is fearful, against a sad voice: happy."}, {"face"}),
        ({"coarse": "Tendency positive. Both agree."}, {"agreement"}),
        ({"answer": "fear, strong"}, {"answer"}),
        ({"fine": "It is not fear, but happy.", "answer": "fear, strong"}, {"answer"}),
    ],
)
def test_each_contradiction_is_told_by_what_it_is_about(changed: dict[str, str], found: set[str]) -> None:
    assert set(contradictions(SOUND | changed, LABELS, {})) == found


@pytest.mark.parametrize(
    "coarse",
    ["Both point the same way.", "Only the face speaks.", "The voice is the only evidence. The words are plain."],
)
def test_two_emotions_do_not_point_the_same_way_and_are_not_alone(coarse: str) -> None:
    """`small` wrote its arguments again until one said this of a sad face and an angry voice, and it was taken."""
    assert contradictions(SOUND | {"coarse": coarse}, LABELS, {}) == ("agreement",)


def test_an_argument_that_was_given_both_emotions_may_not_pass_over_their_conflict() -> None:
    evades = SOUND | {"coarse": "Tendency positive.", "fine": "This is happy, slight."}
    assert contradictions(evades, LABELS, {}) == ()
    assert contradictions(evades, LABELS, {}, given_both=True) == ("agreement",)
    assert contradictions(SOUND, LABELS, {}, given_both=True) == ()
    alike = ALIKE | {"coarse": "Tendency positive."}
    assert contradictions(alike, LABELS, {}, given_both=True) == ()
    begun = {name: SOUND[name] for name in ("face", "voice")}
    assert contradictions(begun, LABELS, {}, given_both=True) == (), "nothing is argued yet"


def test_face_and_voice_of_one_emotion_cannot_disagree() -> None:
    assert contradictions(ALIKE | {"coarse": "Face and voice disagree."}, LABELS, {}) == ("agreement",)


def test_a_text_is_held_against_its_own_modalitys_label_branch() -> None:
    likely = {"face": {"happy": 0.6, "sad": 0.2, "neutral": 0.2}, "voice": {"happy": 0.5, "sad": 0.2, "neutral": 0.3}}
    assert contradictions(SOUND, LABELS, likely) == ()
    likely["voice"] = {"happy": 0.9, "sad": 0.1, "neutral": 0.0}
    assert contradictions(SOUND, LABELS, likely) == ("voice",)


def test_several_people_or_none_say_nothing_that_could_be_held_against_the_argument() -> None:
    two = SOUND | {"face": "Person A: the expression is happy. Person B: the expression is angry."}
    assert contradictions(two, LABELS, {}) == ()
    nobody = {"face": "No face in view.", "voice": "No speech.", "fine": "It stays open.", "answer": "unsure"}
    assert contradictions(nobody, LABELS, {}) == ()


def test_labels_of_ones_own_are_found_as_whole_words() -> None:
    labels = ("calm", "calmly amused")
    chain = {"fine": "The calm face outweighs it: calm.", "answer": "calm"}
    assert contradictions({**chain, "face": "The expression is calm."}, labels, {}) == ()
    assert contradictions({**chain, "face": "The expression is calmly amused."}, labels, {}) == ("face",)


def test_a_contradicting_chain_is_unsure() -> None:
    nano: LoadedModel = load("nano", engine="torch")
    labelled = nano.thinker.label_window(BOTH, ASK)
    assert labelled.label.conflict is not None
    even = dict.fromkeys(LABELS, 1 / len(LABELS))
    conflict = replace(labelled.label.conflict, face=even, voice=even)
    sure = {name: 0.94 if name == "happy" else 0.01 for name in LABELS}
    labelled.label = replace(labelled.label, probabilities=sure, conflict=conflict)
    sound = nano.thinker.conclude(labelled, SOUND)
    assert (sound.answer.label, sound.contradictions) == ("happy", ())
    broken = nano.thinker.conclude(labelled, SOUND | {"coarse": "Both agree."})
    assert (broken.answer.label, broken.contradictions) == (UNSURE, ("agreement",))
    assert broken.probabilities == sound.probabilities
    evades = SOUND | {"coarse": "Tendency positive."}
    assert nano.thinker.conclude(labelled, evades).contradictions == (), "another form of chain was told no labels"
    labelled.judged = dict.fromkeys(LABELS, 0.0)
    assert nano.thinker.conclude(labelled, evades).contradictions == ("agreement",)


def test_a_chain_about_a_face_and_a_voice_that_disagree_is_no_surer_than_was_seen(nano: LoadedModel) -> None:
    """The sample's smile over a flat voice was told as "happy, >99 %" beside "They disagree"."""
    most = nano.weights.config.emotion.calibration.at_most
    labelled = nano.thinker.label_window(BOTH, ASK)
    assert labelled.label.conflict is not None
    face, voice = ({name: 0.94 if name == one else 0.01 for name in LABELS} for one in ("happy", "sad"))
    sure = {name: 1.0 - 6e-9 if name == "happy" else 1e-9 for name in LABELS}
    for score, kind in ((0.8, "apart"), (0.1, "both")):
        labelled.label = replace(labelled.label, probabilities=sure, conflict=Conflict(face, voice, score))
        for question in (ASK, replace(ASK, own=own_labels(("pleasant", "unpleasant")))):
            labelled.question = question
            concluded = nano.thinker.conclude(labelled, SOUND)
            assert concluded.answer.confidence == pytest.approx(most[kind])
            assert max(concluded.probabilities.values()) == pytest.approx(most[kind])
            told = nano.thinker.told(labelled.window, question, labelled.label)
            assert max(told.probabilities.values()) == pytest.approx(most[kind] if question.own else 1.0)
