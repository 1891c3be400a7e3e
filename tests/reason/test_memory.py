"""What a chain is told of the session's past: exact words, only the chain, and the same however it is read."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from realtime.engine.loading import LoadedModel, load
from realtime.reason import prompt
from realtime.reason.branches import past_text, state_text
from realtime.reason.sequence import assemble, text_positions
from realtime.records import Conclusion
from tests.reason.test_stream import ASK, BOTH, FACE_ONLY, drawn_frame, drawn_speech, guessed, run
from tests.reason.test_together import in_lockstep, sections
from train.evaluation.batch import chains
from train.tuning import tiny

PAST = (Conclusion(-9.2, "sad", ""), Conclusion(-5.0, "unsure", ""), Conclusion(1.0, "happy", "strong"))
TOLD = "\nBefore: 12 s ago sad; 2 s ago happy, strong."
REMEMBERING = replace(BOTH, before=PAST)


def with_memory(model: LoadedModel, n: int) -> LoadedModel:
    model.weights.config = replace(model.weights.config, emotion=replace(model.weights.config.emotion, memory=n))
    return model


@pytest.fixture(scope="module")
def nano() -> LoadedModel:
    return with_memory(load("nano", engine="torch"), 3)


@pytest.fixture(scope="module")
def omni(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """A random Qwen2.5-Omni folder whose file says how much it remembers; read causally, as a whole."""
    folder = tiny.write_model(tmp_path_factory.mktemp("omni"))
    (folder / "emothinker.json").write_text(json.dumps({"memory": 2}))
    return load(str(folder), engine="torch")


def test_the_words() -> None:
    assert past_text(REMEMBERING, ASK.labels, 3) == TOLD
    assert past_text(REMEMBERING, ASK.labels, 1) == "\nBefore: 2 s ago happy, strong."
    assert past_text(REMEMBERING, ("sincere", "sarcastic"), 3) == "", "another question was answered then"
    assert past_text(REMEMBERING, ASK.labels, 0) == past_text(BOTH, ASK.labels, 3) == ""
    assert state_text(REMEMBERING, past=TOLD) == (
        f"{TOLD}\nIn view: 1 face. Heard: speech.{prompt.END_OF_TURN}\n<|im_start|>assistant\n"
    )


def test_nano_was_not_trained_with_a_memory_and_has_none() -> None:
    stock = load("nano", engine="torch")
    assert stock.weights.config.emotion.memory == 0
    ids = [stock.thinker.look(window, ASK).laid.memory.n_used for window in (BOTH, REMEMBERING)]
    assert ids[0] == ids[1]


def test_labels_are_of_what_is_seen_and_heard_whatever_was_concluded(nano: LoadedModel) -> None:
    with_it, without = (nano.thinker.look(window, ASK) for window in (REMEMBERING, BOTH))
    assert with_it.label.probabilities == pytest.approx(without.label.probabilities, abs=1e-6)
    assert with_it.label.conflict is not None
    n_told = len(nano.thinker.vocabulary.ids(state_text(BOTH, past=TOLD))) - len(
        nano.thinker.vocabulary.ids(state_text(BOTH))
    )
    assert with_it.laid.memory.n_used - without.laid.memory.n_used == n_told > 0


@torch.inference_mode()
def test_a_chain_with_a_past_equals_one_plain_pass(nano: LoadedModel) -> None:
    said, best = guessed(nano, REMEMBERING, run(nano, REMEMBERING)[3])
    assert said == best


@torch.inference_mode()
def test_the_first_word_of_a_checkpoint_without_a_ring_is_the_plain_one(omni: LoadedModel) -> None:
    """Random weights never close a section, so it is the first word and the memory behind it that are compared."""
    frames = tuple(replace(drawn_frame(float(s), 1, s), tokens_ND=drawn_frame(float(s), 1, s).tokens_ND[:, :64])
                   for s in range(2))  # fmt: skip
    speech = (replace(drawn_speech(0.2, 9), tokens_ND=drawn_speech(0.2, 9).tokens_ND[:, :64]),)
    window = replace(REMEMBERING, frames=frames, speech=speech)
    weights, vocabulary = omni.weights, omni.thinker.vocabulary
    look = omni.thinker.look(window, ASK)
    evidence = assemble(weights, vocabulary, window, ASK)
    told = [*vocabulary.ids(state_text(window, past=TOLD)), *vocabulary.ids("<face>")]
    x = torch.cat([evidence.trunk_x_ND, *(c.x_ND for c in evidence.chunks), weights.embed(torch.tensor(told))])
    positions = [text_positions(evidence.n_trunk, 0), *(chunk.positions_3N for chunk in evidence.chunks)]
    positions.append(text_positions(len(told), evidence.next_position))
    causal = torch.ones(x.shape[0], x.shape[0], dtype=torch.bool).tril()
    hidden = weights.thinker.model(x[None], torch.cat(positions, 1)[:, None], causal)[0]
    plain = weights.thinker.lm_head(hidden[-1])
    assert look.chain_logits_V is not None
    assert float((look.chain_logits_V - plain).norm() / plain.norm()) < 1e-5
    assert look.laid.memory.n_used == x.shape[0]
    assert look.chain_position == evidence.next_position + len(told)


def test_together_and_in_batches_it_is_the_same(nano: LoadedModel) -> None:
    windows = [REMEMBERING, FACE_ONLY, replace(FACE_ONLY, before=PAST[:1])]
    alone = [sections(nano.thinker, window) for window in windows]
    assert in_lockstep(nano.thinker, windows) == alone
    assert [str(written) for written in chains(nano, windows, ASK)[1]] == alone
