"""A model's choice told in labels of somebody's own: by hand, and with nano from the first label to the answer."""

from __future__ import annotations

import pytest

from realtime.asking.question import question_of
from realtime.engine.loading import LoadedModel
from realtime.reason import calibrate, own_labels
from realtime.reason.chain import read_answer
from realtime.records import LABELS, Conflict, FaceLabel, Label, Question, Window
from tests.reason.chains import run
from tests.reason.windows import BOTH, FACE_ONLY, NOTHING, VOICE_ONLY

SEVEN = dict(zip(LABELS, (0.4, 0.2, 0.1, 0.1, 0.1, 0.06, 0.04), strict=True))


def asked(*labels: str) -> Question:
    return question_of(None, list(labels))


def test_a_label_has_the_sum_of_its_emotions_and_unsure_what_no_label_claims() -> None:
    assert own_labels.shares(asked("joy", "rage").own, SEVEN) == pytest.approx({"joy": 0.4, "rage": 0.1, "unsure": 0.5})
    coarse = own_labels.shares(asked("positive", "neutral", "negative").own, SEVEN)
    assert coarse == pytest.approx({"positive": 0.4, "neutral": 0.1, "negative": 0.4, "unsure": 0.1})


def test_nothing_is_left_for_unsure_where_every_emotion_is_claimed() -> None:
    assert own_labels.shares(asked("angry", "other").own, SEVEN) == pytest.approx({"angry": 0.1, "other": 0.9})
    assert own_labels.shares(asked("emotional", "calm").own, SEVEN) == pytest.approx({"emotional": 0.9, "calm": 0.1})


def test_an_emotion_that_several_labels_claim_is_shared_equally() -> None:
    told = own_labels.shares(asked("negative", "anger").own, SEVEN)
    assert told == pytest.approx({"negative": 0.35, "anger": 0.05, "unsure": 0.6})


def test_the_likeliest_is_unsure_where_it_is_weak_tied_or_less_than_what_nobody_claims() -> None:
    assert own_labels.likeliest({"joy": 0.6, "rage": 0.3, "unsure": 0.1}, 0.4) == "joy"
    assert own_labels.likeliest({"joy": 0.35, "rage": 0.34, "unsure": 0.31}, 0.4) == "unsure"
    assert own_labels.likeliest({"joy": 0.45, "rage": 0.0, "unsure": 0.55}, 0.4) == "unsure"
    assert own_labels.likeliest({"joy": 0.5, "happiness": 0.5}, 0.4) == "unsure"


def test_a_chains_emotion_is_told_by_the_label_that_claims_it() -> None:
    own = asked("positive", "negative").own
    told = {"positive": 0.3, "negative": 0.6, "unsure": 0.1}
    assert own_labels.for_emotion(own, "fear", told, 0.4) == "negative"
    assert own_labels.for_emotion(own, "happy", told, 0.4) == "unsure"  # 0.3 is below the threshold
    assert own_labels.for_emotion(own, "neutral", told, 0.2) == "unsure"
    assert own_labels.for_emotion(own, None, told, 0.2) == "unsure"


def test_what_face_voice_and_each_person_say_is_in_the_same_labels() -> None:
    angry, fear = ({name: float(name == label) for name in LABELS} for label in ("angry", "fear"))
    label = Label("angry", angry, "fast", Conflict(angry, fear, 1.0), (FaceLabel(3, "fear", fear),))
    told = own_labels.in_own(asked("pleasant", "unpleasant").own, label, 0.4)
    assert (told.label, told.probabilities["unpleasant"]) == ("unpleasant", 1.0)
    assert told.conflict is not None
    # Anger and fear differ, but not in what was asked.
    assert (told.conflict.face, told.conflict.score) == ({"pleasant": 0.0, "unpleasant": 1.0, "unsure": 0.0}, 0.0)
    assert [(face.track, face.label) for face in told.faces] == [(3, "unpleasant")]


@pytest.mark.parametrize("window", [BOTH, FACE_ONLY, VOICE_ONLY], ids=["both", "face", "voice"])
@pytest.mark.parametrize("labels", [("joy", "rage"), ("positive", "negative", "neutral"), ("angry", "other")])
def test_first_label_answer_and_conflict_of_nano_are_in_the_labels_given(
    nano: LoadedModel, window: Window, labels: tuple[str, ...]
) -> None:
    """`joy,rage` was answered with a softmax over words that nano does not know, and its answers were all unsure."""
    plain, question = Question(labels=nano.labels), asked(*labels)
    seven_fast, _, seven_chain, seven_done = run(nano, window, plain)
    fast, _, chain, done = run(nano, window, question)
    for told, seven in ((fast, seven_fast), (chain, seven_chain)):
        assert told.probabilities == pytest.approx(own_labels.shares(question.own, seven.probabilities), abs=1e-4)
        assert sum(told.probabilities.values()) == pytest.approx(1.0)
        assert told.calibrated
        assert told.label in (*labels, "unsure")
    # The model sees what it always sees, so it says what it always says.
    assert done.sections == seven_done.sections
    assert chain.label == done.answer.label
    named = read_answer(done.sections["answer"], LABELS).label
    if done.answer.label != "unsure":
        claims = {label.name: label.emotions for label in question.own}
        assert named in claims[done.answer.label]
        assert done.answer.confidence == chain.probabilities[done.answer.label]
    else:
        assert done.answer.confidence <= nano.weights.config.emotion.calibration.unsure_below


def test_nothing_seen_or_heard_is_unsure_in_any_labels(nano: LoadedModel) -> None:
    fast, _, chain, done = run(nano, NOTHING, asked("emotional", "unemotional"))
    assert (fast.label, chain.label, done.answer.label) == ("unsure", "unsure", "unsure")


def test_words_that_no_calibration_was_fitted_for_are_said_to_be_uncalibrated(nano: LoadedModel) -> None:
    assert not nano.thinker.fast_label(BOTH, Question(labels=("sincere", "sarcastic"))).calibrated
    assert nano.thinker.fast_label(BOTH, Question(labels=nano.labels)).calibrated
    assert not nano.open_labels


def test_the_divergence_is_that_of_the_labels_asked(nano: LoadedModel) -> None:
    conflict = nano.thinker.fast_label(BOTH, asked("joy", "rage")).conflict
    assert conflict is not None
    assert conflict.score == pytest.approx(
        calibrate.divergence_bits(list(conflict.face.values()), list(conflict.voice.values()))
    )


def test_several_emotions_together_are_told_no_surer_than_was_seen() -> None:
    sure = dict.fromkeys(SEVEN, 0.0) | {"angry": 0.6, "disgust": 0.399, "happy": 0.001}
    own = asked("positive", "negative").own
    told = own_labels.shares(own, sure, most=0.99)
    assert told["negative"] == pytest.approx(0.99)
    assert sum(told.values()) == pytest.approx(1.0)
    assert own_labels.shares(own, sure)["negative"] == pytest.approx(0.999)
    left_out = own_labels.shares(asked("joy", "fear").own, sure, most=0.99)
    assert left_out == pytest.approx({"joy": 0.001, "fear": 0.0, "unsure": 0.999}), "what is left out goes to no label"
