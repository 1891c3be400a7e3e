"""Emotion tokens change nothing at first, follow the question, are kept by a gate, and learn to tell the emotion."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from realtime.engine.loading import LoadedModel, load
from realtime.errors import BadModel, BadSettings
from realtime.evidence.cue_model import cue_model, cue_weights
from realtime.model import checkpoint
from realtime.model.methods.emotion_tokens import N_TOKENS, EmotionTokens, KeepGate
from realtime.records import LABELS, SpeechSegment, UInt8, VideoFrame
from tests.export.shapes import write_checkpoint
from tests.ingest.media_files import voice
from tests.model.taught import taught_emochat
from train.readers.perceived import watch
from train.tuning.data import AnnotatedWindow
from train.tuning.emotion_tokens import token_loss
from train.tuning.initial_model import let_it_read, save_additions, with_additions
from train.tuning.model import Trainee
from train.tuning.run import warn_of_collapse

DIM, INNER = 32, 16


def maker(*, gated: bool = True) -> EmotionTokens:
    torch.manual_seed(0)
    return EmotionTokens(DIM, INNER, gated=gated)


@pytest.mark.slow
def test_a_new_emochat_is_nano_bit_for_bit_and_what_it_learnt_is_served_live(
    nano: LoadedModel, portrait: UInt8, tmp_path: Path
) -> None:
    model, emotion = with_additions(
        checkpoint.NANO, selector_dim=64, cues=True, ring=None, method="emochat", dtype=torch.float32
    )
    save_additions(model, emotion, tmp_path / "new")
    save_additions(taught_emochat(model), emotion, tmp_path / "learnt")
    served = [nano, *(load("nano", adapter=tmp_path / name, engine="torch") for name in ("new", "learnt"))]
    seen, heard = [], []
    for one in served:
        perception = one.perceiver(seed=1)
        seen.append(perception.see(VideoFrame(0.0, portrait)).tokens_ND)
        heard.append(perception.hear(SpeechSegment(0.0, 1.0, voice(1.0))).tokens_ND)
        perception.close()
    for tokens, n_changed in ((seen, 2), (heard, 1)):
        np.testing.assert_array_equal(tokens[0], tokens[1])
        changed = (tokens[0] != tokens[2]).any(-1)
        assert changed[-1], "the last token of the frame or utterance, for the emotion tokens"
        assert changed.sum() == n_changed, "and the shape token of the one face, for the action units"


def test_what_is_kept_is_added_to_the_last_token_and_a_question_moves_it() -> None:
    tokens, (x, text) = maker(), (torch.randn(2, 9, DIM))
    assert not tokens.added(x, text).any()
    torch.nn.init.normal_(tokens.out.weight)
    made = tokens(x, text)
    assert set(made.kept_M.tolist()) <= {0.0, 1.0}
    wanted = sum(tokens.out(row) for row, kept in zip(made.tokens_MI, made.kept_M, strict=True) if kept)
    torch.testing.assert_close(tokens.added(x, text), wanted)
    assert not torch.allclose(tokens(x, torch.randn(4, DIM)).tokens_MI, made.tokens_MI, atol=1e-3)
    assert maker(gated=False)(x, text).kept_M.tolist() == [1.0] * N_TOKENS


def test_one_is_always_kept_and_a_closed_gate_can_open() -> None:
    torch.manual_seed(0)
    gate, tokens = KeepGate(INNER), torch.randn(N_TOKENS, INNER)
    gate.weights.data = -tokens * torch.tensor([[1.0], [2.0], [0.1], [3.0]])
    open_M, kept_M = gate(tokens)
    assert bool((open_M < 0.5).all())
    assert kept_M.tolist() == [0.0, 0.0, 1.0, 0.0]
    kept_M.sum().backward()
    assert gate.weights.grad is not None
    assert bool(gate.weights.grad.any(-1).all()), "the gradient goes through, also where nothing is kept"


def test_they_learn_few_different_ones_that_tell_the_emotion() -> None:
    """Evidence that says one of two emotions in one of its tokens."""
    tokens, rng = maker(), torch.Generator().manual_seed(1)
    text, emotion = torch.randn(5, DIM, generator=rng), torch.randn(2, DIM, generator=rng)
    optimizer = torch.optim.AdamW(tokens.parameters(), lr=1e-2)
    losses, right = [], []
    for step in range(120):
        x = torch.randn(6, DIM, generator=rng)
        x[step % 6] = 4 * emotion[step % 2]
        made = tokens(x, text)
        loss = token_loss(made, tokens, LABELS[step % 2])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.item())
        right.append(int(tokens.labels(made.sum_I).argmax()) == step % 2)
    assert np.mean(losses[-20:]) < 0.6 * np.mean(losses[:10])
    assert np.mean(right[-20:]) > 0.9


def test_fewer_are_kept_and_they_differ_where_nothing_else_is_asked() -> None:
    tokens, rng = maker(), torch.Generator().manual_seed(1)
    x, text = torch.randn(20, DIM, generator=rng), torch.randn(5, DIM, generator=rng)
    optimizer = torch.optim.AdamW(tokens.parameters(), lr=2e-2)
    told = []
    for _ in range(60):
        made = tokens(x, text)
        unit = torch.nn.functional.normalize(made.tokens_MI.detach(), dim=-1)
        told.append((float((unit @ unit.T).triu(1).abs().max()), float(made.open_M.detach().mean())))
        optimizer.zero_grad()
        token_loss(made, tokens, "").backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    (alike, opened), (alike_then, opened_then) = told[0], told[-1]
    assert alike > 0.8 > 0.4 > alike_then
    assert opened_then < opened - 0.1


@pytest.mark.slow
def test_a_training_step_moves_them_and_tells_how_many_are_kept(nano: LoadedModel, a_recording: Path) -> None:
    model, emotion = with_additions(
        checkpoint.NANO, selector_dim=64, cues=True, ring=None, method="emochat", words=True, dtype=torch.float32
    )
    let_it_read(model, emotion, words=True, measured=False)
    model.emotion.requires_grad_(True)
    sections = dict.fromkeys(("face", "context", "atmosphere", "voice", "coarse", "fine"), "Seen.")
    example = AnnotatedWindow(
        watch(a_recording, nano), sections | {"answer": "happy, slight"}, {"both": "happy"}, draw=0, said="How nice."
    )
    outputs = Trainee(model, nano.thinker.vocabulary, cues_off=0.0)([example])
    outputs["loss"].backward()
    assert 0 <= float(outputs["kept"]) <= 1
    assert float(outputs["emotion_tokens"]) > 0
    for tokens in (model.emotion.face_tokens, model.emotion.voice_tokens):
        assert tokens is not None
        assert tokens.gate is not None
        for weight in (
            tokens.out.weight,
            tokens.queries,
            tokens.text.weight,
            tokens.labels.weight,
            tokens.gate.weights,
        ):
            assert weight.grad is not None
            assert weight.grad.any()
    aggregator = model.emotion.correlation
    assert aggregator is not None
    for summary in (aggregator.agree, aggregator.discord):
        assert summary.weight.grad is not None
        assert summary.weight.grad.any(), "of the judgement and the argument, where words are known"


def test_a_gate_that_decides_nothing_is_told(caplog: pytest.LogCaptureFixture) -> None:
    for kept in (0.01, 0.5, 0.99):
        warn_of_collapse({"loss": 1.0, "kept": kept})
    assert not caplog.records
    for kept in (0.0, 1.0):
        warn_of_collapse({"loss": 1.0, "kept": kept})
    assert [record.getMessage().split(" of them")[0] for record in caplog.records] == [
        "the gate of the emotion tokens has collapsed: it keeps none",
        "the gate of the emotion tokens has collapsed: it keeps all",
    ]


def test_parts_can_be_left_out_and_an_unknown_one_is_refused(tmp_path: Path) -> None:
    model, emotion = with_additions(
        checkpoint.NANO, selector_dim=64, cues=True, ring=None, method="emochat",
        without=["action_units", "keep_gate"], dtype=torch.float32,
    )  # fmt: skip
    assert model.emotion.action_units is None
    assert model.emotion.face_tokens is not None
    assert model.emotion.face_tokens.gate is None
    beside = cue_model(model.config, cue_weights(model))
    assert beside.emotion.state_dict().keys() == model.emotion.state_dict().keys()
    save_additions(model, emotion, tmp_path / "adapter")
    checkpoint.plan(checkpoint.NANO, tmp_path / "adapter")
    with pytest.raises(BadSettings, match="leaves out parts of a new model of emochat"):
        with_additions(
            checkpoint.NANO, selector_dim=64, cues=True, ring=None, without=["keep_gate"], dtype=torch.float32
        )
    write_checkpoint(tmp_path)
    (tmp_path / "emothinker.json").write_text(json.dumps({"selector_dim": 16, "emochat": ["a_soul"]}))
    with pytest.raises(BadModel, match=r"emochat names 'a_soul' in emothinker\.json, expected some of action_units"):
        checkpoint.read_config(tmp_path)


def test_a_checkpoint_with_the_agent_alone_is_still_read(tmp_path: Path) -> None:
    """Those of before there were emotion tokens say nothing of parts."""
    write_checkpoint(tmp_path, method="emochat", face_geometry=8)
    model = checkpoint.load(tmp_path)
    assert model.emotion.face_tokens is None
    assert model.emotion.action_units is not None
