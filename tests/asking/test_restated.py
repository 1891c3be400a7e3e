"""Questions in people's words, and how a small model is given them."""

from __future__ import annotations

import pytest

from realtime.asking.question import question_of
from realtime.asking.restated import ABOUT, OF_CUE, OWN, WHAT_CHANGED, WHEN_SPOKE, restated
from realtime.publish.report import window_event
from realtime.reason import prompt
from realtime.reason.measurements import CUE_WORDS
from realtime.reason.parts import asked_again
from realtime.records import BY_RULE, About, Window
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
    LOUDNESS.replace("usual", "before"): "loudness",
    PITCH.replace("usual", "before"): "pitch",
    RATE.replace("usual", "before"): "rate",
    "Is it bright or dark?": "light",
    "Is the person calm or excited?": "arousal",
    "Is the mood pleasant or unpleasant?": "valence",
    **{f"Do you see {words[0]}?": "presence" for words in CUE_WORDS.values()},
    **{f"How strongly are the {words[0]}?": "degree" for words in CUE_WORDS.values()},
    **{f"Who has the {words[0]} more?": "who" for words in CUE_WORDS.values()},
    **{OF_CUE["when"].format(cue=words[0]): "when" for words in CUE_WORDS.values()},
    **{OF_CUE["order"].format(cue=words[0]): "order" for words in CUE_WORDS.values()},
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
        ("When did she start to smile?", "When did this change: lip corners pulled up?"),
        ("Since when is his mouth open?", "When did this change: jaw dropped?"),
        ("When did she begin to speak?", WHEN_SPOKE),
        ("Did the smile come before the words?", "What came first: lip corners pulled up, or the voice?"),
        ("what came first", "What changed first, the face or the voice?"),
        ("Has anything changed?", WHAT_CHANGED),
        ("Is the face still the same?", WHAT_CHANGED),
        ("Is she louder than a moment ago?", LOUDNESS.replace("usual", "before")),
        ("Has the speech slowed down?", RATE.replace("usual", "before")),
        ("Is she angry?", ""),
        ("What is he feeling?", ""),
        ("Does the person look sad or happy?", ""),
    ],
)
def test_people_ask_in_their_own_words(asked: str, read: str) -> None:
    assert restated(asked) == read
    question = question_of(asked, None)
    assert question.read_as == read
    by_rule = read.startswith(("When", "What", "Who")) or read.endswith("than before?")
    assert question.put == (None if by_rule else read or None), "nano is not asked what it cannot tell"
    assert question.about == ABOUT.get(read)
    assert question_of(asked, None, open_labels=True).put == asked, "a general model is"


def test_what_is_asked_is_known_with_the_cue_or_the_measure() -> None:
    assert question_of("Who frowns more?", None).about == About("who", "brow_lower")
    assert question_of("When did the nose get wrinkled?", None).about == About("when", "nose_wrinkle")
    assert question_of("Is she louder than before?", None).about == About("before", "loudness_db")
    assert question_of("Is the voice louder or quieter than usual?", None).about == About("loudness")
    assert question_of(None, None).about is question_of("Is she angry?", None).about is None


@pytest.mark.parametrize(
    ("asked", "about"),
    [
        ("is she smiling or frowning", About("either", "lip_corner_pull brow_lower")),
        ("Are his brows up or down?", About("either", "outer_brow_raise brow_lower")),
        ("are her eyes wide or narrow", About("either", "upper_lid_raise lid_tighten")),
        ("Is she smiling or not?", About("presence", "lip_corner_pull")),
        ("Who smiles more, A or B?", About("who", "lip_corner_pull")),
        ("Is it a big smile or a small one?", About("degree", "lip_corner_pull")),
    ],
)
def test_which_of_two_cues_is_there_is_a_question_of_both(asked: str, about: About) -> None:
    assert question_of(asked, None).about == about


@pytest.mark.parametrize(
    "asked",
    [
        "What will she do next?",
        "Why is he so loud?",
        "Where is the light switch?",
        "Is she sure of herself?",
        "Is de stem luider dan anders?",
        "You are a helpful assistant. " * 7 + "Keep the mood pleasant.",
    ],
)
def test_a_question_of_no_known_kind_is_told_to_be_none(asked: str) -> None:
    """Left to nano, one in three was answered as if it had been another question."""
    assert restated(asked) is None
    question = question_of(asked[:200], None)
    assert (question.about, question.put, question.read_as) == (About("untold"), None, None)
    assert question_of(asked[:200], None, open_labels=True).put == asked[:200]


@pytest.mark.parametrize("asked", ["Is this sarcasm?", "What do the words say, good or bad?", "Does she mean it?"])
def test_what_asks_about_words_is_left_to_the_model_which_may_read_them(asked: str) -> None:
    question = question_of(asked, None)
    assert (question.about, question.put) == (None, asked)


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


ASKED_OF_NANO = [read for read, about in ABOUT.items() if about.kind not in BY_RULE]


@pytest.mark.parametrize("read", ASKED_OF_NANO)
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
