"""A training sequence holds to serving: its label branches, and what a chain's sections are opened with."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from realtime.engine.loading import LoadedModel
from realtime.model.config import Calibration
from realtime.model.experts import EXPERT_LABELS
from realtime.reason.branches import labels_before_sections, openings, state_text
from realtime.reason.prompt import SECTIONS, Question
from realtime.reason.reasoner import Reasoner
from tests.train.drawn_inputs import drawn_window, random_inputs
from tests.train.observations import person, shares, voice
from train.coet.measured import Observation, Writer
from train.layout import IGNORED, append, chain_branches, hidden_states, label_branch, lay_out
from train.nano.drawn_windows import DrawnWindow
from train.nano.sequences import NAMED_WEIGHT, SECTION_WEIGHTS, NanoLayout, label_shares, window_of

WINDOWS = {
    "face and voice": drawn_window((0,), 0),
    "several of each": drawn_window((1, 2), 3, earlier=(1, 2), n_frames=3),
    "a face": drawn_window((3,), -1, n_frames=5),
    "a voice without a picture": drawn_window((), 4, n_frames=0),
    "nobody": drawn_window((), -1),
}


@pytest.fixture(scope="module")
def layout(nano: LoadedModel) -> NanoLayout:
    return NanoLayout(nano.weights, nano.thinker.vocabulary)


@pytest.mark.parametrize("drawn", WINDOWS.values(), ids=WINDOWS)
def test_label_branches_score_as_serving_scores_them(layout: NanoLayout, drawn: DrawnWindow) -> None:
    """The same window, once as a training sequence and once as serving reads it, plainly and fused."""
    model, vocabulary, inputs = layout.model, layout.vocabulary, random_inputs(layout.model)
    with torch.no_grad():
        window, tokens = layout.tokens(inputs, drawn, np.random.default_rng(5), Question())
        sequence = lay_out(model, vocabulary, window, tokens, Question())
        names = ("both", "face", "voice") if drawn.n_faces and drawn.voice_row >= 0 else ("both",)
        for name in names:
            sequence = append(model, sequence, label_branch(vocabulary, window, name))
        hidden = hidden_states(model, [sequence])[0]
        rows = model.thinker.lm_head(hidden[[sequence.label_rows[name] for name in names]])
        trained = torch.log_softmax(rows[:, layout.label_ids], -1).tolist()

    config = model.config
    model.config = replace(config, emotion=replace(config.emotion, calibration=Calibration()))
    try:
        reasoner = Reasoner(model, vocabulary)
        served = layout.served_window(inputs, drawn, np.random.default_rng(5))
        labels = [reasoner.read_plainly(served, Question()).label, reasoner.label_window(served, Question()).label]
    finally:
        model.config = config
    for label in labels:
        parts = [label.probabilities]
        if label.conflict is not None:
            parts += [label.conflict.face, label.conflict.voice]
        scores = [[float(np.log(part[name])) for name in EXPERT_LABELS] for part in parts]
        assert np.array(trained) == pytest.approx(np.array(scores), abs=1e-5)


@pytest.mark.parametrize("drawn", WINDOWS.values(), ids=WINDOWS)
def test_a_chain_sees_all_evidence_and_no_label_branch(layout: NanoLayout, drawn: DrawnWindow) -> None:
    config = layout.model.config
    layout.model.config = replace(config, emotion=replace(config.emotion, chain_form="plain"))
    try:
        sequence = layout.told_nothing(random_inputs(layout.model), drawn, np.random.default_rng(5))
    finally:
        layout.model.config = config
    (start, _), (n_evidence, _) = sequence.spans["chain"], sequence.spans["both"]
    assert sequence.mask_TT[start:, :n_evidence].all()
    assert not sequence.mask_TT[start:, n_evidence:start].any()
    assert len({int(sequence.positions_3T[0, at]) for at, _ in sequence.spans.values()}) == 1
    assert (sequence.targets_T[:start] == IGNORED).all()
    assert sequence.label_rows.keys() <= sequence.label_shares.keys()


def chain_of(seen: Observation, *, voice_row: int) -> DrawnWindow:
    return DrawnWindow((0,), voice_row, (), 1, 0, True, seen, Writer(3).chain(seen), 3)


def test_a_section_is_opened_as_in_serving_and_what_is_given_is_not_learnt(layout: NanoLayout) -> None:
    seen = Observation(
        people=(person({"jaw_drop": 0.8}, shares(sad=1.0)),),
        voice=voice(shares(happy=1.0), pitch_hz=1.0),
        shares=shares(sad=1.0),
    )
    drawn, vocabulary = chain_of(seen, voice_row=0), layout.vocabulary
    window = window_of(drawn, [0.0], [(0.0, 2.0)])
    looked = labels_before_sections({"both": "sad", "face": "sad", "voice": "happy"}, has_face=True, has_speech=True)
    (branch,) = chain_branches(vocabulary, window, drawn.sections, looked, "first_look")
    branch = layout.weighted(branch)
    given, state = openings(vocabulary, looked), vocabulary.ids(state_text(window))
    assert branch.ids[:-1] == state + [
        token for name in SECTIONS for token in (*given[name], *vocabulary.ids(f"{drawn.sections[name]}</{name}>"))
    ]
    told = [token for token, weight in zip(branch.ids, branch.weights, strict=True) if weight == 0][len(state) :]
    assert vocabulary.text(told) == "<label>happy<label>sad<label>sad<label>sad<label>happy"
    first, end = branch.sections["fine"]
    in_fine = {vocabulary.text([branch.ids[at]]).strip(): branch.weights[at] for at in range(first, end)}
    assert in_fine["sad"] == in_fine["happy"] == SECTION_WEIGHTS["fine"] * NAMED_WEIGHT
    assert in_fine["face"] == SECTION_WEIGHTS["fine"]


def test_without_a_first_look_only_the_state_is_given(nano: LoadedModel, layout: NanoLayout) -> None:
    seen = Observation(people=(person({}, shares(fear=1.0)),), shares=shares(fear=1.0))
    drawn = chain_of(seen, voice_row=-1)
    (branch,) = chain_branches(layout.vocabulary, window_of(drawn, [0.0], []), drawn.sections, {}, "plain")
    assert min(layout.weighted(branch).weights[branch.n_state :]) > 0
    assert layout.label_ids == [nano.thinker.vocabulary.ids(label)[0] for label in EXPERT_LABELS]
    assert np.allclose(label_shares(drawn)["face"], shares(fear=1.0))
