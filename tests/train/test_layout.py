"""The chain's branch as nano is trained on it, held to what serving opens a chain's sections with."""

from __future__ import annotations

import numpy as np
import pytest

from realtime.engine.loading import LoadedModel, load
from realtime.model.checkpoint import NANO
from realtime.model.experts import EXPERT_LABELS
from realtime.reason.branches import openings, told_before
from realtime.reason.prompt import SECTIONS
from tests.train.observations import person, shares, voice
from train.coet.measured import Observation, Writer
from train.nano.corpus import Example, TextEncoder
from train.nano.layout import NAMED_WEIGHT, SECTION_WEIGHTS, Layout


@pytest.fixture(scope="module")
def nano() -> LoadedModel:
    return load("nano", engine="torch")


def test_a_section_is_opened_as_in_serving_and_what_is_given_is_not_learnt(nano: LoadedModel) -> None:
    seen = Observation(
        people=(person({"jaw_drop": 0.8}, shares(sad=1.0)),),
        voice=voice(shares(happy=1.0), pitch_hz=1.0),
        verdict=shares(sad=1.0),
    )
    sections = Writer(3).chain(seen)
    example = Example((0,), 0, (), 1, 0, True, seen, sections, 3)
    layout = Layout(nano.weights, TextEncoder.read(NANO))
    looked = told_before({"both": "sad", "face": "sad", "voice": "happy"}, has_face=True, has_speech=True)
    ids, weights, spans = layout.chain(example, looked)
    vocabulary = nano.thinker.vocabulary
    given = openings(vocabulary, looked)
    assert ids[:-1] == [
        token for name in SECTIONS for token in (*given[name], *vocabulary.ids(f"{sections[name]}</{name}>"))
    ]
    told = [token for token, weight in zip(ids, weights, strict=True) if weight == 0]
    assert vocabulary.text(told) == "<label>sad<label>happy<label>sad<label>sad<label>happy"
    first, last = spans["fine"]
    in_fine = {vocabulary.text([ids[at]]).strip(): weights[at] for at in range(first, last)}
    assert in_fine["sad"] == in_fine["happy"] == SECTION_WEIGHTS["fine"] * NAMED_WEIGHT
    assert in_fine["face"] == SECTION_WEIGHTS["fine"]


def test_without_a_first_look_nothing_is_given(nano: LoadedModel) -> None:
    seen = Observation(people=(person({}, shares(fear=1.0)),), verdict=shares(fear=1.0))
    example = Example((0,), -1, (), 1, 0, True, seen, Writer(3).chain(seen), 3)
    layout = Layout(nano.weights, TextEncoder.read(NANO))
    assert min(layout.chain(example, {})[1]) > 0
    assert layout.label_ids == [nano.thinker.vocabulary.ids(label)[0] for label in EXPERT_LABELS]
    assert np.allclose(layout.targets(example)["face"], shares(fear=1.0))
