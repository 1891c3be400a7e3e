"""What a rule answers from the measurements, and where a model's answer does not stand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from realtime.asking.question import question_of
from realtime.asking.sayings import SAYINGS
from realtime.engine.loading import LoadedModel
from realtime.model.config import ChainForm
from realtime.reason.answers import MOODS, Grounds, agreement, answered, by_rule, mood
from realtime.reason.chain import read_answer
from realtime.reason.measurements import CUE_PHRASES
from realtime.records import LABELS, About, Conflict, Float32, Label, Window
from tests.reason.chains import in_form, run
from tests.reason.seconds import LENGTH_S, becomes, seconds, stretch
from train.evaluation.batch import chains

REST = {"lip_corner_pull": 0.05, "brow_lower": 0.1}
SMILE = {"lip_corner_pull": 0.8, "brow_lower": 0.1}
STILL = [REST] * LENGTH_S
WROTE = "happy, moderate"


def told(query: str, window: Window, wrote: str = WROTE, **shares: float) -> tuple[str, str | None]:
    """The answer to a question, and what it is from. Face and voice have these shares alone, as both together."""
    rest = (1 - sum(shares.values())) / (7 - len(shares))
    probabilities = {label: shares.get(label, rest) for label in LABELS}
    label = Label("happy", probabilities, "fast", Conflict(probabilities, probabilities, 0.0))
    return answered(question_of(query, None), Grounds(window, label, probabilities), wrote)


def test_it_is_told_when_a_face_changed_and_how() -> None:
    window = seconds(becomes(REST, SMILE, 5), start_s=60.0)
    answer = "Four seconds ago, at 1:04: lip corners strongly pulled up. happy, moderate"
    assert told("When did her face change?", window) == (answer, "measurements")
    assert told("When did she start to smile?", window)[0] == answer
    frown = "No change in these 8 seconds: brows not lowered. happy, moderate"
    assert told("Since when is he frowning?", window)[0] == frown
    assert told("When did the face change?", seconds(STILL))[0].startswith(
        "The face did not change in these 8 seconds."
    )
    twice = seconds([REST, REST, SMILE, SMILE, SMILE, REST, REST, REST])
    assert told("When did the face change?", twice)[0].startswith(
        "Four seconds ago, at 0:04: lip corners no longer pulled up; before that at 0:01."
    )


def test_what_is_not_there_to_tell_is_told_so() -> None:
    speech = [stretch(3.0, 4.0)]
    assert told("When did the face change?", seconds())[0].startswith("There is no face to tell.")
    assert told("What came first, face or voice?", seconds(STILL))[0].startswith("There is no voice to tell.")
    assert told("When did the face change?", seconds(STILL[:2]))[0].startswith("The face was seen too briefly to tell.")
    still = told("What came first, face or voice?", seconds(STILL, speech=speech))[0]
    assert still.startswith("The face did not change in these 8 seconds; the voice began at 0:03.")
    assert told("Who smiles more?", seconds(STILL))[0].startswith(
        "There is only one person: lip corners not pulled up."
    )
    assert told("Is she louder than before?", seconds(STILL))[0].startswith("There is no voice to tell.")
    new = seconds(speech=[stretch(3.0, 4.0, known=False)])
    assert told("Is she louder than before?", new)[0].startswith("Too little of this voice was heard to compare it.")
    assert told("Where does she live?", seconds(STILL)) == ("That cannot be told from this. happy, moderate", "nothing")


def test_swapping_two_seconds_of_evidence_changes_what_is_said_of_order() -> None:
    """The same face, the same voice; only which of them came at 0:02, and which at 0:06, is swapped."""
    asked = "What came first, the face or the voice?"
    face_first = seconds(becomes(REST, SMILE, 2), speech=[stretch(5.5, 7.0)])
    voice_first = seconds(becomes(REST, SMILE, 6), speech=[stretch(1.5, 3.0)])
    assert told(asked, face_first)[0].startswith("The face first, at 0:01; then the voice, at 0:05.")
    assert told(asked, voice_first)[0].startswith("The voice first, at 0:01; then the face, at 0:05.")
    # The same four seconds of rest and four of a smile, with the sentence before the one or before the other.
    halves = becomes(REST, SMILE, 4)
    assert told(asked, seconds(halves, speech=[stretch(1.0, 2.5)]))[0].startswith("The voice first")
    assert told(asked, seconds(halves, speech=[stretch(5.0, 6.5)]))[0].startswith("The face first")
    assert told(asked, seconds(halves[::-1], speech=[stretch(1.0, 2.5)]))[0].startswith("The voice first")


@pytest.mark.parametrize(("voice_s", "begins"), [(3.4, "Within about a second"), (4.2, "Within"), (2.9, "Within")])
def test_what_happens_within_a_second_has_no_order(voice_s: float, begins: str) -> None:
    window = seconds(becomes(REST, SMILE, 4), speech=[stretch(voice_s, voice_s + 1)])
    answer, source = told("Did the face change before the voice?", window)
    assert answer.startswith(begins)
    assert "what came first cannot be told" in answer
    assert source == "measurements"


def test_who_shows_more_is_told_by_letter_with_the_side_and_not_of_a_hairs_breadth() -> None:
    both = seconds([SMILE] * LENGTH_S, STILL)
    asked = "Who smiles more?"
    assert told(asked, both)[0].startswith(
        "Person A, on the left: lip corners strongly pulled up; Person B: lip corners not pulled up."
    )
    assert told(asked, seconds(STILL, [SMILE] * LENGTH_S))[0].startswith("Person B, on the right: lip corners strongly")
    near = seconds([SMILE] * LENGTH_S, [{**SMILE, "lip_corner_pull": 0.74}] * LENGTH_S)
    assert told(asked, near)[0].startswith("Both alike: lip corners strongly pulled up.")
    assert told("Who frowns more?", both)[0].startswith("Neither: brows not lowered.")
    frown = {"brow_lower": 0.6}
    second = seconds(STILL, becomes(REST, {**REST, **frown}, 3))
    assert told("Who frowns more?", second)[0].startswith(
        "Person B, on the right: brows clearly lowered; Person A: brows"
    )
    assert told("When did the face change?", second)[0].startswith(
        "Person A: the face did not change in these 8 seconds; Person B: six seconds ago, at 0:02: brows clearly"
    )


def judged(window: Window, *happy: float) -> Window:
    """The same, with the probability that each person is happy by their face; they are sad otherwise."""

    def verdict(share: float) -> Float32:
        return np.log(np.array([{"happy": share, "sad": 1 - share}.get(each, 1e-9) for each in LABELS], np.float32))

    frames = (
        replace(frame, cues=tuple(replace(each, verdict_7=verdict(happy[each.track])) for each in frame.cues))
        for frame in window.frames
    )
    return replace(window, frames=tuple(frames))


def test_who_shows_more_of_an_emotion_is_told_from_each_face_by_itself() -> None:
    two = seconds(STILL, [SMILE] * LENGTH_S)
    assert told("Which of the two looks happier?", judged(two, 0.1, 0.8))[0].startswith(
        "Person B, on the right: 80%; Person A: 10%."
    )
    assert told("Is A sadder than B?", judged(two, 0.1, 0.8))[0].startswith("Person A, on the left: 90%;")
    assert told("Who looks happier?", judged(two, 0.5, 0.6))[0].startswith("Both alike: 60% · 50%.")
    assert told("Who looks happier?", two) == ("That cannot be told from this. happy, moderate", "nothing")
    alone = judged(seconds(STILL), 0.4)
    assert told("Which one looks happier?", alone)[0].startswith("There is only one person: 40%.")


def test_whose_face_shows_more_is_told_with_its_strongest_cues() -> None:
    two = seconds(STILL, [SMILE] * LENGTH_S)
    assert told("Which of the two is more expressive?", two)[0].startswith(
        "Person B, on the right: lip corners strongly pulled up; Person A: –."
    )
    assert told("Which of the two is more expressive?", seconds(STILL, STILL))[0].startswith("Both alike: – · –.")


def test_which_of_two_cues_is_there_is_told_of_both() -> None:
    asked = "Is she smiling or frowning?"
    smiles, frowns = seconds([SMILE] * LENGTH_S), seconds([{"lip_corner_pull": 0.05, "brow_lower": 0.5}] * LENGTH_S)
    assert told(asked, smiles) == (
        "Lip corners strongly pulled up, brows not lowered. happy, moderate",
        "measurements",
    )
    assert told(asked, frowns)[0].startswith("Brows clearly lowered, lip corners not pulled up.")
    assert told(asked, seconds(STILL))[0].startswith("Brows not lowered, lip corners not pulled up.")
    both = told(asked, seconds(STILL, [SMILE] * LENGTH_S))[0]
    assert both.startswith("Person A: brows not lowered, lip corners not pulled up; Person B: lip corners strongly")
    assert told(asked, seconds())[0].startswith("There is no face to tell.")


def test_a_voice_is_compared_with_the_stretch_before_and_else_with_its_usual() -> None:
    asked = "Is the voice louder than before?"
    louder = seconds(speech=[stretch(0.5, 2.0), stretch(4.0, 6.0, loudness_db=-23.8)])
    assert told(asked, louder) == ("Louder than before, by 6 dB. happy, moderate", "measurements")
    same = seconds(speech=[stretch(0.5, 2.0), stretch(4.0, 6.0, loudness_db=-29.0)])
    assert told(asked, same)[0].startswith("About as before.")
    alone = seconds(speech=[stretch(4.0, 6.0, z_loudness_db=-1.0)])
    assert told(asked, alone)[0].startswith(
        "Quieter than usual; no earlier stretch of speech is there to compare with."
    )
    high = seconds(speech=[stretch(0.5, 2.0), stretch(4.0, 6.0, pitch_hz=220.0)])
    assert told("Is her voice higher than before?", high)[0].startswith("Higher in pitch than before.")
    slow = seconds(speech=[stretch(0.5, 2.0), stretch(4.0, 6.0, rate_hz=3.0)])
    assert told("Has she become slower?", slow)[0].startswith("Slower than before.")


def test_what_changed_is_told_of_face_and_voice() -> None:
    speech = [stretch(0.5, 2.0), stretch(4.0, 6.0, loudness_db=-23.8)]
    both = told("What changed?", seconds(becomes(REST, SMILE, 5), speech=speech))[0]
    assert both.startswith("Four seconds ago, at 0:04: lip corners strongly pulled up; the voice louder than before.")
    voice = told("What changed?", seconds(STILL, speech=speech))[0]
    assert voice.startswith("The voice louder than before.")
    assert told("What changed?", seconds(STILL))[0].startswith("Nothing that is measured changed in these 8 seconds.")


SMILING, LOUD = seconds([SMILE] * LENGTH_S), seconds(STILL, speech=[stretch(3.0, 6.0, z_loudness_db=2.0)])


@pytest.mark.parametrize(
    ("query", "window", "wrote", "answer", "source"),
    [
        ("Is she smiling?", SMILING, "No. happy, slight", "Yes, strongly. happy, slight", "measurements"),
        ("Is she smiling?", SMILING, "Yes, strongly. happy, slight", "Yes, strongly. happy, slight", "model"),
        ("Is she smiling?", SMILING, "Yes, clearly. happy, slight", "Yes, clearly. happy, slight", "model"),
        ("Is she smiling?", SMILING, "happy, slight", "Yes, strongly. happy, slight", "measurements"),
        ("How broad is the smile?", SMILING, "Slightly. sad, slight", "Strongly. sad, slight", "measurements"),
        ("Is it louder than usual?", LOUD, "As usual. sad, slight", "Much louder. sad, slight", "measurements"),
        ("How many people are there?", LOUD, "Two people. sad, slight", "One person. sad, slight", "measurements"),
        ("Is it dark?", LOUD, "Dark. sad, slight", "Evenly lit. sad, slight", "measurements"),
        ("Is the mood good?", LOUD, "Unpleasant. happy, slight", "Pleasant. happy, slight", "probabilities"),
        ("How sure are you?", LOUD, "Not sure. happy, slight", "Sure. happy, slight", "probabilities"),
        ("Do face and voice agree?", LOUD, "They disagree. sad, slight", "They agree. sad, slight", "probabilities"),
    ],
)
def test_a_models_answer_stands_where_the_evidence_bears_it_out(
    query: str, window: Window, wrote: str, answer: str, source: str
) -> None:
    assert told(query, window, wrote, happy=0.9) == (answer, source)


def test_the_models_own_question_and_one_of_words_are_left_as_they_are() -> None:
    assert told("Is she happy?", SMILING) == (WROTE, None)
    assert told("Is this sarcasm?", SMILING, "Hardly meant so. sad, slight") == (
        "Hardly meant so. sad, slight",
        "model",
    )


def test_face_and_voice_agree_where_they_probably_show_the_same() -> None:
    flat = dict.fromkeys(LABELS, 1 / 7)
    happy = {**dict.fromkeys(LABELS, 0.02), "happy": 0.88}
    sad = {**dict.fromkeys(LABELS, 0.02), "sad": 0.88}
    assert agreement(happy, happy) == "They agree"
    assert agreement(happy, sad) == agreement(happy, flat) == "They disagree", (
        "a voice that says nothing says not the same"
    )


def test_a_mood_is_that_of_the_label_after_it_and_not_the_mean_of_joy_and_anger() -> None:
    torn = dict.fromkeys(LABELS, 0.0) | {"happy": 0.35, "angry": 0.4, "sad": 0.2, "neutral": 0.05}
    assert mood(torn, *MOODS["valence"]) == "Unpleasant"
    assert mood(torn | {"happy": 0.45}, *MOODS["valence"]) == "Pleasant"
    assert mood(torn, *MOODS["arousal"]) == "Excited"
    assert mood(torn | {"sad": 0.5}, *MOODS["arousal"]) == "Calm"
    assert mood(dict.fromkeys(LABELS, 0.05) | {"neutral": 0.7}, *MOODS["arousal"]) == "In between"
    assert mood(dict.fromkeys(LABELS, 0.05) | {"neutral": 0.7}, *MOODS["valence"]) == "Neither"


def test_an_unsure_voice_still_agrees_with_a_face_that_it_may_share() -> None:
    happy = {**dict.fromkeys(LABELS, 0.02), "happy": 0.88}
    unsure = {**dict.fromkeys(LABELS, 0.02), "sad": 0.46, "happy": 0.44}
    assert agreement(unsure, happy) == "They agree", "the second likeliest of an unsure voice is the face's"


@pytest.mark.parametrize("language", SAYINGS)
def test_every_answer_is_told_in_all_languages_and_names_no_label(language: str) -> None:
    speech = [stretch(0.5, 2.0, pitch_hz=120.0), stretch(5.5, 7.0, loudness_db=-23.8)]
    sayings = SAYINGS[language]
    assert sayings.cues.keys() == CUE_PHRASES.keys()
    windows = [
        seconds(becomes(REST, SMILE, 2), speech=speech),
        seconds(becomes(REST, SMILE, 2), STILL, speech=speech[1:]),
        seconds(STILL, [SMILE] * LENGTH_S),
        seconds(STILL),
    ]
    kinds = [About("when"), About("when", "lip_corner_pull"), About("when", "voice"), About("order"), About("changed")]
    kinds += [About("order", "brow_lower"), About("who", "lip_corner_pull"), About("before", "loudness_db")]
    kinds += [About("either", "lip_corner_pull brow_lower")]
    english = set()
    for about in kinds:
        for window in windows:
            said, _ = by_rule(about, window, sayings)
            assert "." not in said
            assert "{" not in said
            assert said[0].isupper()
            assert read_answer(f"{said}. fear, slight", LABELS).label == "fear"
            english |= {said} if said == by_rule(about, window, SAYINGS["en"])[0] else set()
    known = {"There is no voice to tell", "There is no face to tell"}
    assert language == "en" or english <= known, "the words that `in_language` puts into that language"


@pytest.mark.parametrize("form", ["evidence_first", "plain"])
def test_a_chain_tells_the_measured_answer_whole_and_keeps_its_own_label(nano: LoadedModel, form: ChainForm) -> None:
    window = seconds(becomes(REST, SMILE, 5), speech=[stretch(0.5, 2.0)])
    asked, usual = question_of("When did the face change?", None), question_of(None, None)
    with in_form(nano, form) as model:
        _, deltas, label, done = run(model, window, asked)
        _, _, usual_label, usual_done = run(model, window, usual)
    answer = done.sections["answer"]
    assert answer == f"Four seconds ago, at 0:04: lip corners strongly pulled up. {usual_done.sections['answer']}"
    assert (done.answered_from, usual_done.answered_from) == ("measurements", None)
    assert "".join(delta.text for delta in deltas if delta.section == "answer").strip() == answer
    assert (label.label, label.probabilities) == (usual_label.label, usual_label.probabilities)
    german = question_of("Wann hat sich das Gesicht verändert?", None)
    with in_form(nano, form) as model:
        *_, told_in_german = run(model, window, german)
    assert told_in_german.sections["answer"].startswith("Vor 4 Sekunden, bei 0:04: Mundwinkel stark hochgezogen. ")


def test_a_batch_of_chains_tells_the_same_answers_as_a_session(nano: LoadedModel) -> None:
    window = seconds([SMILE] * LENGTH_S, speech=[stretch(0.5, 2.0)])
    for query in ("Who smiles more?", "Is she smiling?", "Do face and voice agree?", "Where does she live?"):
        asked = question_of(query, None)
        (batched,) = chains(nano, [window], asked)
        *_, done = run(nano, window, asked)
        assert (batched.told, batched.answered_from) == (done.sections["answer"], done.answered_from)
