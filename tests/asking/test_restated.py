"""Questions in people's words, and how a small model is given them."""

from __future__ import annotations

import pytest

from realtime.asking.question import question_of
from realtime.asking.restated import OWN, restated
from realtime.errors import BadAsk
from realtime.publish.report import window_event
from realtime.reason import prompt
from realtime.reason.measurements import CUE_WORDS
from realtime.reason.parts import asked_again
from realtime.records import Window
from train.coet.wordings import ASKED, HELD_OUT, KINDS, Kind, all_wordings

LOUDNESS = "Is the voice louder or quieter than usual?"
PITCH = "Is the voice higher or lower than usual?"
RATE = "Is the speech faster or slower than usual?"
OF_KIND: dict[str, Kind] = {
    "How sure are you?": "sureness",
    "What changed first, the face or the voice?": "order",
    "Do face and voice agree?": "agreement",
    "When did the face change?": "when",
    "How many people are there?": "count",
    LOUDNESS: "loudness",
    PITCH: "pitch",
    RATE: "rate",
    "Is it bright or dark?": "light",
    "Is the person calm or excited?": "arousal",
    "Is the mood pleasant or unpleasant?": "valence",
    **{f"Do you see {words[0]}?": "presence" for words in CUE_WORDS.values()},
    **{f"How strongly are the {words[0]}?": "degree" for words in CUE_WORDS.values()},
    **{f"Who has the {words[0]} more?": "who" for words in CUE_WORDS.values()},
}


@pytest.mark.parametrize(
    ("asked", "read"),
    [
        ("Is the person smiling?", "Do you see lip corners pulled up?"),
        ("how broad is her grin", "How strongly are the lip corners pulled up?"),
        ("Does A frown more than B?", "Who has the brows lowered more?"),
        ("Are his eyebrows raised?", "Do you see outer brows raised?"),
        ("Is the mouth wide open?", "Do you see jaw dropped?"),
        ("Are his lips drawn wide?", "Do you see lips stretched?"),
        ("Are her eyes shut?", "Do you see eyes closed?"),
        ("Are her eyes wide?", "Do you see upper lids raised?"),
        ("Is he squinting?", "Do you see lids tightened?"),
        ("Is she shouting?", LOUDNESS),
        ("Is her voice deeper than normal?", PITCH),
        ("Is he talking in a hurry?", RATE),
        ("Would you say that the voice fits the face?", "Do face and voice agree?"),
        ("Do you think she is relaxed?", "Is the person calm or excited?"),
        ("Is the room well lit?", "Is it bright or dark?"),
        ("Is he in a good mood?", "Is the mood pleasant or unpleasant?"),
        ("Is anybody there?", "How many people are there?"),
        ("How reliable is that?", "How sure are you?"),
        ("Did the face move before the voice rose?", "What changed first, the face or the voice?"),
        ("How many seconds ago did her expression change?", "When did the face change?"),
        ("When did she start to smile?", "When did the face change?"),
        ("Is she angry?", ""),
        ("What is he feeling?", ""),
        ("Does the person look sad or happy?", ""),
    ],
)
def test_people_ask_in_their_own_words(asked: str, read: str) -> None:
    assert restated(asked) == read
    if read.startswith(("When did", "What changed", "Who has")):
        with pytest.raises(BadAsk, match=r"This model cannot tell wh(en something changed|o of several)"):
            question_of(asked, None)
        assert question_of(asked, None, open_labels=True).query == asked, "a general model may be asked"
    else:
        assert question_of(asked, None).read_as == read


@pytest.mark.parametrize(
    "asked",
    [
        "What will she do next?",
        "Why is he so loud?",
        "Where is the light switch?",
        "Is this sarcasm?",
        "What do the words say, good or bad?",
        "Is she sure of herself?",
        "Is de stem luider dan anders?",
        "You are a helpful assistant. " * 7 + "Keep the mood pleasant.",
    ],
)
def test_a_question_of_no_known_kind_stays_as_it_is(asked: str) -> None:
    assert restated(asked) is None
    question = question_of(asked[:200], None)
    assert question.put == question.query


def kinds_read(wordings: tuple[str, ...]) -> set[Kind]:
    """The kinds that these patterns are read as."""
    found = set()
    for pattern in wordings:
        for wording in all_wordings(pattern):
            for words in CUE_WORDS.values() if "{cue}" in wording else [("",)]:
                told = restated(wording.replace("{cue}", words[0]))
                assert told != OWN, "it was taught to answer that"
                found |= set() if told is None else {OF_KIND[told]}
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_a_wording_that_was_trained_is_read_as_its_own_kind_or_left_alone(kind: Kind) -> None:
    known = {kind} & set(OF_KIND.values())
    assert kinds_read(ASKED[kind]) == known
    assert kinds_read(HELD_OUT[kind]) == known


@pytest.mark.parametrize("read", OF_KIND)
def test_it_is_restated_in_words_that_were_trained(read: str) -> None:
    assert any(
        wording.replace("{cue}", words[0]).casefold() == read.casefold()
        for pattern in ASKED[OF_KIND[read]]
        for wording in all_wordings(pattern)
        for words in (CUE_WORDS.values() if "{cue}" in wording else [("",)])
    )


def test_the_model_reads_it_so_and_a_general_one_reads_the_persons_own() -> None:
    asked = "Is the person smiling?"
    small, large = question_of(asked, None), question_of(asked, None, open_labels=True)
    assert (small.query, large.query, large.read_as) == (asked, asked, None)
    assert prompt.query_text("nano", small).startswith("Do you see lip corners pulled up? happy")
    assert asked_again("evidence_first", small) == "Do you see lip corners pulled up?"
    assert prompt.query_text("nano", large).startswith(asked)
    felt = question_of("Is she angry?", None)
    assert prompt.query_text("nano", felt) == prompt.query_text("nano", question_of(None, None))
    assert asked_again("evidence_first", felt) == ""
    assert window_event(Window(0, 0.0, 1.0, (), ()), felt).read_as == "Which emotion is shown?"
    assert question_of(LOUDNESS, None).read_as is None, "it is in these words already"
