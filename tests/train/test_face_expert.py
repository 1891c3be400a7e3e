"""The face expert's training: crops cut as serving cuts them, steps that go on where they were, weights as served."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from realtime.errors import BadModel, BadSettings
from realtime.model import checkpoint
from realtime.model.face_expert import FACE_CROP_PX, FaceExpert, FaceNetwork, both_ways
from realtime.records import Float32, UInt8
from realtime.towers import preprocess
from train.nano import face_expert
from train.nano.face_expert import Material, Training, Vary
from train.nano.face_pictures import Pictures, placed

SIDE = 112


def smooth_pictures(n: int) -> UInt8:
    """(n, 112, 112) blobs without detail, so that ways of resampling agree."""
    small = torch.rand(n, 1, 7, 7, generator=torch.Generator().manual_seed(n))
    large = torch.nn.functional.interpolate(small, size=(SIDE, SIDE), mode="bicubic").clamp(0, 1)
    blobs: UInt8 = (large[:, 0] * 255).byte().numpy()
    return blobs


def mesh_of_turned_face() -> Float32:
    """A mesh whose anchors lie in the picture turned, shifted and a little larger than in the crop."""
    mesh = np.full((478, 3), 0.5, np.float32)
    turn = 1.02 * np.array([[np.cos(0.2), -np.sin(0.2)], [np.sin(0.2), np.cos(0.2)]])
    mesh[list(preprocess.ANCHORS), :2] = ((preprocess.ANCHOR_PX - 48) @ turn.T + [55, 58] + 0.5) / SIDE
    return mesh


def test_a_training_crop_is_the_one_that_serving_cuts() -> None:
    image, mesh = smooth_pictures(1), mesh_of_turned_face()
    served = preprocess.crop_face(image[0].astype(np.float32) / 255.0, mesh)
    found = np.array([True])
    crops, inside = Pictures(image, placed(mesh[None], found, margin=0.0)).cut(np.array([0]))
    np.testing.assert_allclose(crops[0, 0].numpy(), served, atol=0.01)
    assert inside.min() == 0, "a turned crop reaches beyond its picture"
    assert inside[0, 0, 48, 48] == 1
    # The same mesh told in a picture with a margin lies in the same place of the picture.
    wide = mesh.copy()
    wide[:, :2] = (mesh[:, :2] + 0.5) / 2
    np.testing.assert_allclose(placed(wide[None], found, margin=0.5), placed(mesh[None], found, margin=0.0), atol=1e-4)


def test_without_a_mesh_the_picture_itself_is_the_crop() -> None:
    image = smooth_pictures(1)
    mesh = np.zeros((1, 478, 3), np.float32)
    crops, inside = Pictures(image, placed(mesh, np.array([False]), margin=0.5)).cut(np.array([0]), side=SIDE)
    np.testing.assert_allclose(crops[0, 0].numpy() * 255, image[0], atol=1e-3)
    assert inside.min() == 1


def test_a_mirrored_move_mirrors_the_crop() -> None:
    pictures = Pictures(smooth_pictures(1), placed(mesh_of_turned_face()[None], np.array([True]), margin=0.0))
    mirror = torch.tensor([[[-1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])
    plain, mirrored = pictures.cut(np.array([0]))[0], pictures.cut(np.array([0]), mirror)[0]
    torch.testing.assert_close(mirrored, plain.flip(-1), atol=1e-4, rtol=0)


@pytest.mark.parametrize("side", [64, FACE_CROP_PX])
def test_variations_are_drawn_again_for_every_step_and_stay_finite(side: int) -> None:
    pictures = Pictures(smooth_pictures(24), placed(np.zeros((24, 478, 3), np.float32), np.zeros(24, bool), margin=0))
    vary, rows = Vary(0, side), np.arange(24)
    first, second = vary.strongly(pictures, rows), vary.strongly(pictures, rows)
    assert first.shape == (24, 1, side, side)
    assert bool(first.isfinite().all())
    assert float((first - second).abs().mean()) > 0.05
    assert torch.equal(Vary(0, side).strongly(pictures, rows), first), "a round is repeated by its number"
    mild = vary.mildly(pictures, rows)
    assert 0 <= float(mild.min()) <= float(mild.max()) <= 1


def training() -> Training:
    """A training of a few random faces from random weights."""
    torch.manual_seed(0)
    model = FaceNetwork(folded=False)
    face_expert.freeze(model)
    pictures = Pictures(smooth_pictures(12), placed(np.zeros((12, 478, 3), np.float32), np.zeros(12, bool), margin=0))
    targets = torch.eye(7)[torch.arange(12) % 7]
    material = Material(pictures, np.arange(10), targets, [pictures])
    return Training(model, material, batch=4, n_unlabelled=2, seconds=1e6)


@pytest.mark.slow
def test_a_training_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(face_expert, "ROUND_STEPS", 2)
    monkeypatch.setattr(face_expert, "UNLABELLED_FROM", -1.0)
    whole, first = training(), training()
    first.round()
    first.save(tmp_path / "state.pt")
    again = training()
    again.resume(tmp_path / "state.pt", cycle=0)
    assert again.progress == first.progress
    assert (again.progress.n_steps, again.progress.n_rounds) == (2, 1)
    whole.round()
    for part in (whole, again):
        part.round()
    assert whole.progress.n_steps == again.progress.n_steps == 4
    resumed, untrained = again.model.state_dict(), training().model.state_dict()
    for name, tensor in whole.model.state_dict().items():
        torch.testing.assert_close(resumed[name], tensor, atol=2e-3, rtol=1e-2)
    # Statistics of batches change without a step of the optimizer, too.
    learns = [name for name, weight in whole.model.named_parameters() if weight.requires_grad]
    same = [name for name in learns if torch.equal(whole.model.state_dict()[name], untrained[name])]
    assert (len(learns) > 50, same) == (True, [])
    next_cycle = training()
    next_cycle.resume(tmp_path / "state.pt", cycle=1)
    assert (next_cycle.progress.cycle, next_cycle.progress.n_steps, next_cycle.side) == (1, 0, FACE_CROP_PX)
    with pytest.raises(BadSettings, match="is of cycle 0"):
        training().resume(tmp_path / "state.pt", cycle=2)
    assert all(not parameter.requires_grad for parameter in whole.model.trunk.stem.parameters())


@torch.inference_mode()
def test_the_stored_form_says_what_the_trained_one_said() -> None:
    model = training().model.eval()
    generator = torch.Generator().manual_seed(1)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.05, 0.2, generator=generator)
    served = FaceNetwork().eval()
    served.load_state_dict(face_expert.served_state(model))
    crops = torch.rand(3, 1, FACE_CROP_PX, FACE_CROP_PX, generator=generator)
    torch.testing.assert_close(served(crops), model(crops), atol=1e-4, rtol=1e-3)


@torch.inference_mode()
def test_the_expert_is_the_mean_of_both_networks_and_knows_no_left_and_right() -> None:
    torch.manual_seed(0)
    expert = FaceExpert().eval()
    crops = torch.rand(3, 1, FACE_CROP_PX, FACE_CROP_PX)
    told = expert(crops)
    torch.testing.assert_close(told, expert(crops.flip(-1)), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(told.exp().sum(1), torch.ones(3))
    small = F.avg_pool2d(crops, 2)
    mean = (both_ways(expert.network, crops) + both_ways(expert.small, small)) / 2
    torch.testing.assert_close(told, torch.log_softmax(mean, -1))
    assert not torch.allclose(told, both_ways(expert.network, crops), atol=1e-3)


def test_a_checkpoint_with_the_former_face_expert_is_refused_in_a_sentence(tmp_path: Path) -> None:
    wanted = {"emotion.face_expert.trunk.stem.conv.weight": torch.zeros(1)}
    found = {"emotion.face_expert.stem.0.weight": torch.zeros(1)}
    with pytest.raises(BadModel, match="the face expert of an earlier version"):
        checkpoint.check_fit(wanted, found, tmp_path)
