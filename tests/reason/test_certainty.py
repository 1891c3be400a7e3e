"""A chain is no surer of a face or a voice than its evidence is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest

from realtime.bench.paired import collect_windows
from realtime.engine.loading import LoadedModel
from realtime.reason.certainty import NAMED, SURE_FROM, Certainty, certainty
from realtime.reason.prompt import Question
from realtime.records import LABELS, Conflict, FaceLabel, Label, ReasonDone, Window
from realtime.sample import SAMPLE
from realtime.settings import Settings
from tests.reason.windows import BOTH, FACE_ONLY, VOICE_ONLY
from train.evaluation.batch import chains

ASK = Question()
UNSURE = re.compile(r"The (?:voice|expression) (?:seems|could|is (?:perhaps|between))\b")
SURE = re.compile(r"The (?:voice|expression) (?:looks|sounds|is (?!perhaps|between))")


def shares(first: float, label: str = "happy") -> dict[str, float]:
    """A distribution whose likeliest label has this probability."""
    return {each: first if each == label else (1.0 - first) / (len(LABELS) - 1) for each in LABELS}


def labelled(face: float, voice: float) -> Label:
    return Label("happy", shares(0.9), "fast", Conflict(shares(face), shares(voice), 0.0))


def in_place_of(nano: LoadedModel, word: str, text: str, *, section: str = "voice", sure: bool = False) -> set[str]:
    """The words one of which has to be written in place of this one."""
    vocabulary = nano.thinker.vocabulary
    (token,) = vocabulary.ids(word)
    found = Certainty(vocabulary, {section: [sure]}).in_place_of(token, section, text)
    return {vocabulary.text([each]).strip() for each in found}


@pytest.mark.parametrize(
    ("word", "text", "instead"),
    [
        (" sounds", "Louder than usual. The voice", {"seems", "could", "is"}),
        (" is", "The voice", set()),
        (" seems", "The voice", set()),
        (" happy", "The voice is", {"perhaps", "between"}),
        (" perhaps", "The voice is", set()),
        (" between", "The voice is", set()),
        (" sad", "The voice is between sad and", set(NAMED) - {"sad"}),
        (" sad", "The voice could be sad or", set(NAMED) - {"sad"}),
        (" sad", "The voice could be happy or", set()),
        # It would be a statement of another kind, or in words that are not known.
        (" expression", "The voice is", set()),
        (" happy", "The voice is perhaps", set()),
        (" happy", "The scene is", set()),
    ],
)
def test_where_a_statement_would_be_too_sure_another_word_is_taken(
    nano: LoadedModel, word: str, text: str, instead: set[str]
) -> None:
    assert in_place_of(nano, word, text) == instead
    assert in_place_of(nano, word, text, sure=True) == set()


def test_the_emotion_that_was_about_to_be_named_stays(nano: LoadedModel) -> None:
    (sad,), (angry,) = (nano.thinker.vocabulary.ids(word) for word in (" sad", " angry"))

    def after_perhaps(token: int) -> list[int]:
        bound = Certainty(nano.thinker.vocabulary, {"voice": [False]})
        assert bound.in_place_of(sad, "voice", "The voice is")
        return bound.in_place_of(token, "voice", "The voice is perhaps")

    assert after_perhaps(angry) == [sad]
    assert after_perhaps(sad) == []


def test_each_person_is_told_as_sure_as_their_own_face_is(nano: LoadedModel) -> None:
    (happy,) = nano.thinker.vocabulary.ids(" happy")
    several = Certainty(nano.thinker.vocabulary, {"face": [True, False]})
    one, other = "Person A: jaw slightly dropped. The expression is", " happy. Person B: at rest. The expression is"
    assert not several.in_place_of(happy, "face", one)
    assert several.in_place_of(happy, "face", one + other)
    # Of somebody who was not measured nothing is known.
    assert not several.in_place_of(happy, "face", "Person C: at rest. The expression is")


def test_what_a_label_is_sure_of(nano: LoadedModel) -> None:
    def sure(label: Label, window: Window) -> dict[str, list[bool]]:
        found = certainty(nano.thinker.vocabulary, label, window)
        assert found is not None
        return {section: list(each) for section, each in found.sure.items()}

    below = SURE_FROM - 0.01
    assert sure(labelled(SURE_FROM, below), BOTH) == {"face": [True], "voice": [False]}
    assert sure(labelled(below, SURE_FROM), BOTH) == {"face": [False], "voice": [True]}
    # What is there alone is what the label is of.
    alone = Label("happy", shares(below), "fast", None)
    assert sure(alone, FACE_ONLY) == {"face": [False]}
    assert sure(alone, VOICE_ONLY) == {"voice": [False]}
    frame = BOTH.frames[-1]
    two = replace(frame, faces=tuple(replace(frame.faces[0], track=track) for track in (7, 8)))
    of_each = (FaceLabel(7, "unsure", shares(below)),)
    assert sure(replace(alone, faces=of_each), replace(FACE_ONLY, frames=(two,))) == {"face": [False, True]}
    # The texts tell of the usual labels alone.
    assert certainty(nano.thinker.vocabulary, replace(alone, probabilities={"happy": 0.5, "sad": 0.5}), BOTH) is None


@pytest.fixture(scope="module")
def window(nano: LoadedModel) -> Iterator[Window]:
    """The first sentence of the sample, a synthetic voice, and a picture of the portrait."""
    (heard,) = collect_windows([str(SAMPLE)], Settings(), 1)
    perceiver = nano.perceiver(0)
    frame = perceiver.see(heard.frames[-1])
    yield Window(0, frame.at_s, heard.segment.end_s, (frame,), (perceiver.hear(heard.segment),))
    perceiver.close()


def written(nano: LoadedModel, window: Window, label: Label, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The sections of a chain where the evidence comes to this label, as a session writes them and in a batch."""
    with monkeypatch.context() as patched:
        patched.setattr(nano.thinker, "_label", lambda *_: label)
        *_, done = nano.thinker.reason(window, ASK)
        (batched,) = chains(nano, [window], ASK)
    assert isinstance(done, ReasonDone)
    assert batched.sections == done.sections
    return dict(done.sections)


def words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text))


@pytest.mark.slow
def test_nano_writes_a_doubt_where_there_is_one_and_only_there(
    nano: LoadedModel, window: Window, monkeypatch: pytest.MonkeyPatch
) -> None:
    sure, unsure = (written(nano, window, labelled(each, each), monkeypatch) for each in (0.9, 0.5))
    for section in ("face", "voice"):
        assert SURE.search(sure[section])
        assert UNSURE.search(unsure[section])
        assert not SURE.search(unsure[section])
        # What was found is the same.
        assert sure[section].partition("The ")[0] == unsure[section].partition("The ")[0]
        assert set(NAMED) & words(sure[section]) <= words(unsure[section])
