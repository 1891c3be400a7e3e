"""The agent for action units changes nothing at first, learns from our measurements, and is readable."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from realtime.errors import BadModel
from realtime.evidence.tokens import FaceFeatures
from realtime.model import checkpoint
from realtime.model.methods.action_units import UNITS, ActionUnitAgent
from tests.export.shapes import write_checkpoint
from train.tuning.action_units import MEASURED, action_unit_loss
from train.tuning.initial_model import with_additions


def test_its_token_is_the_sum_of_what_each_unit_adds() -> None:
    torch.manual_seed(0)
    agent = ActionUnitAgent(32, 16)
    torch.nn.init.normal_(agent.codes.weight)
    shape = torch.randn(32)
    logits, intensity = agent.units(shape)
    each = [torch.sigmoid(logits[k]) * intensity[k] / 5 * agent.codes.weight[:, k] for k in range(len(UNITS))]
    torch.testing.assert_close(agent(shape), torch.stack(each).sum(0))
    assert bool(((intensity > 0) & (intensity < 5)).all())


def test_what_it_finds_can_be_read_from_the_first_step_on() -> None:
    """A gate of 0 left the answer's gradient nothing to move: after two stages of training it stood at 0.003."""
    torch.manual_seed(0)
    agent = ActionUnitAgent(32, 16)
    shape, answer = torch.randn(32), torch.randn(16)
    assert not agent(shape).any()
    optimizer = torch.optim.AdamW(agent.parameters(), lr=1e-3)
    (agent(shape) @ answer).backward()
    optimizer.step()
    assert float((agent(shape) @ answer).detach()) < -0.01


def test_an_agent_behind_a_gate_is_refused_in_one_sentence(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, method="emochat", face_geometry=8)
    weights = load_file(tmp_path / checkpoint.EMOTION_WEIGHTS)
    save_file(weights | {"action_units.gate": torch.zeros(())}, tmp_path / checkpoint.EMOTION_WEIGHTS)
    with pytest.raises(BadModel, match=r"holds the agent for action units of an earlier version.*train warmup"):
        checkpoint.load(tmp_path)


def test_it_learns_what_is_measured() -> None:
    """Faces whose first mesh component says how far the jaw drops."""
    model, _ = with_additions(
        checkpoint.NANO, selector_dim=64, cues=True, ring=None, method="emochat", dtype=torch.float32
    )
    agent, rng = model.emotion.action_units, torch.Generator().manual_seed(0)
    assert agent is not None
    agent.requires_grad_(True)
    jaw = MEASURED[UNITS.index("jaw_drop")]
    basis = torch.linalg.pinv(model.emotion.geometry_basis)
    faces = []
    for _ in range(64):
        shape, measures = torch.randn(32, generator=rng), torch.zeros(20)
        measures[jaw] = shape[0].clamp(0, 1)
        faces.append(FaceFeatures(measures, model.emotion.geometry_mean + shape @ basis, torch.zeros(7), (0.5, 0.5)))
    optimizer = torch.optim.AdamW(agent.parameters(), lr=1e-2)
    losses = []
    for _ in range(80):
        loss = action_unit_loss(model, faces)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]
    shapes = model.emotion.geometry(torch.stack([face.geometry_936 for face in faces])).clamp(-4, 4)
    present = torch.sigmoid(agent.units(shapes)[0])[:, UNITS.index("jaw_drop")] > 0.5
    wanted = torch.tensor([bool(face.measures_20[jaw] >= 0.2) for face in faces])
    assert float((present == wanted).float().mean()) > 0.9


def test_it_needs_a_mesh(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    (tmp_path / "emothinker.json").write_text(json.dumps({"selector_dim": 16, "method": "emochat"}))
    with pytest.raises(BadModel, match="which needs a mesh"):
        checkpoint.read_config(tmp_path)
