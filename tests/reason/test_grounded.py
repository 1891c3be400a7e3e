"""A chain cannot name a cue or a difference of the voice that its measurements contradict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch

from realtime.engine.loading import LoadedModel
from realtime.model.tokenizer import Vocabulary
from realtime.reason.grounded import Grounded
from realtime.reason.grounding import unsupported
from realtime.records import ReasonDone, Window
from tests.reason.chains import unbound
from tests.reason.windows import ASK, BOTH, drawn_frame, measured
from train.evaluation.batch import chains

CUES = {"brow_lower": 0.4, "lip_press": 0.6, "lip_corner_pull": 0.2}
HEARD = {"pitch_hz": -0.8, "loudness_db": 2.0}
WINDOW = measured(BOTH, CUES, HEARD)


def taken(nano: LoadedModel, text: str, word: str, *, section: str = "face", window: Window = WINDOW) -> str | set[str]:
    """How a section goes on where the model would go on with `word`: in its own way, or with one of these beginnings.

    Each token of the word is offered in turn, as a model offers them.
    """
    vocabulary, bound = nano.thinker.vocabulary, Grounded(nano.thinker.vocabulary, window)
    for token in vocabulary.ids(word):
        others = bound.in_place_of(token, section, text)
        if others:
            assert bound.n_withheld == 1
            return {text + vocabulary.text([each]) for each in others}
        text += vocabulary.text([token])
    assert bound.n_withheld == 0
    return text


def begun_with(vocabulary: Vocabulary, text: str, words: set[str]) -> set[str]:
    return {text + vocabulary.text(vocabulary.ids(word)[:1]) for word in words}


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "Lips clearly pressed"),
        ("", "Lips clearly pressed together"),
        ("Lips clearly pressed", ", brows slightly drawn down"),
        # Half a step off, and weaker than what is worth telling: not contradicted.
        ("", "Brows clearly lowered"),
        ("Lips clearly pressed,", " mouth corners slightly drawn up"),
        # What is no statement about cues that is known.
        ("", "No face in view"),
        ("Lips clearly pressed, brows slightly lowered.", " The expression is angry"),
        ("The expression is angry", ", moderate"),
    ],
)
def test_what_the_measurements_do_not_contradict_is_written_as_the_model_would(
    nano: LoadedModel, text: str, word: str
) -> None:
    assert taken(nano, text, word) == text + word


def test_a_cue_that_is_not_there_gives_way_to_one_that_is_and_was_not_told(nano: LoadedModel) -> None:
    vocabulary = nano.thinker.vocabulary
    told = "Lips clearly pressed,"
    assert taken(nano, told, " jaw slightly dropped") == begun_with(vocabulary, told, {" brows"})
    assert taken(nano, "", "Jaw slightly dropped") == begun_with(vocabulary, "", {"Lips", "Brows"})
    # A word that begins a true statement, too, may stand, and is then made into that one.
    assert taken(nano, told, " mouth clearly open") == begun_with(vocabulary, f"{told} mouth", {" corners"})


def test_a_wrong_degree_gives_way_to_the_measured_one(nano: LoadedModel) -> None:
    vocabulary = nano.thinker.vocabulary
    assert taken(nano, "", "Brows strongly lowered") == begun_with(vocabulary, "Brows", {" slightly"})


def test_a_list_ends_where_all_that_was_measured_is_told(nano: LoadedModel) -> None:
    both = "Lips clearly pressed together, brows clearly lowered"
    assert taken(nano, both, ", jaw slightly dropped") == {f"{both}."}
    heard = "Lower in pitch, much louder"
    assert taken(nano, heard, ", faster than usual", section="voice") == begun_with(
        nano.thinker.vocabulary, heard, {" than"}
    )


def test_nothing_measured_is_told_as_such(nano: LoadedModel) -> None:
    vocabulary = nano.thinker.vocabulary
    at_rest = measured(BOTH, {"jaw_drop": 0.05}, {})
    assert taken(nano, "", "Jaw slightly dropped", window=at_rest) == begun_with(vocabulary, "", {"Features", "The"})
    as_usual = taken(nano, "", "Louder than usual", section="voice", window=at_rest)
    assert as_usual == begun_with(vocabulary, "", {"As", "Close"})
    unknown = measured(BOTH, CUES, HEARD, usual=False)
    too_new = taken(nano, "", "Much louder than usual", section="voice", window=unknown)
    assert too_new == begun_with(vocabulary, "", {"Too", "This"})


def test_a_difference_of_the_voice_has_to_have_the_measured_direction(nano: LoadedModel) -> None:
    assert taken(nano, "", "Lower in pitch, much louder", section="voice") == "Lower in pitch, much louder"
    assert taken(nano, "Lower in pitch,", " much quieter", section="voice") == begun_with(
        nano.thinker.vocabulary, "Lower in pitch, much", {" louder"}
    )


def test_each_person_is_told_by_their_own_measurements(nano: LoadedModel) -> None:
    frame = drawn_frame(0.0, 2, 3)
    two = measured(replace(BOTH, frames=(frame,)), {}, {})
    cues = [replace(each, intensities=shown) for each, shown in zip(two.frames[0].cues, ({}, CUES), strict=True)]
    two = replace(two, frames=(replace(two.frames[0], cues=tuple(cues)),))
    other = "Person A: Features at rest. Person B:"
    assert taken(nano, other, " Lips clearly pressed", window=two) == f"{other} Lips clearly pressed"
    of_first = taken(nano, "Person A:", " Lips clearly pressed", window=two)
    assert of_first == begun_with(nano.thinker.vocabulary, "Person A:", {" Features", " The"})
    # Somebody who was not measured.
    assert taken(nano, "Person C:", " Lips clearly pressed", window=two) == "Person C: Lips clearly pressed"


def windows(n: int) -> list[Window]:
    """Drawn evidence, which nano names cues of that are not there, with measurements of its own."""
    shown: Mapping[str, float]
    found = []
    for seed in range(n):
        shown = {"brow_lower": 0.4} if seed % 2 else {}
        frames = (drawn_frame(0.0, 1, 50 + seed),)
        found.append(measured(replace(BOTH, frames=frames), shown, {"loudness_db": 2.0} if seed % 3 else {}))
    return found


@torch.inference_mode()
def test_whole_chains_name_nothing_that_is_contradicted(nano: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a session writes them and in a batch, word for word; and without the bound they do name it."""
    given = windows(6)
    batch = chains(nano, given, ASK)
    for window, answer in zip(given, batch, strict=True):
        *_, done = nano.thinker.reason(window, ASK)
        assert isinstance(done, ReasonDone)
        assert (dict(done.sections), done.n_withheld) == (answer.sections, answer.n_withheld)
        assert done.unsupported == ()
    assert sum(answer.n_withheld for answer in batch)

    with unbound(monkeypatch):
        free = chains(nano, given, ASK)
    assert sum(len(unsupported(each.sections, window)) for window, each in zip(given, free, strict=True))
