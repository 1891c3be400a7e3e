"""The included graphs give what torch gives, with the weights of the model that is loaded."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

import pytest
import torch
from torch import Tensor

from realtime.engine import loading
from realtime.engine.loading import LoadedModel
from realtime.engine.start import load_model
from realtime.engine.warmup import warm_up
from realtime.model import assembly
from realtime.model.face_expert import FACE_CROP_PX, FaceExpert
from realtime.settings import ModelSettings
from realtime.towers import included
from realtime.towers.batch import FrameInput, audio_inputs, drop_noise, vision_inputs
from realtime.towers.choice import Checkpoint, choose
from realtime.towers.included import IncludedTowers, OnnxFaceExpert, judge_of
from realtime.towers.torch_runtime import TorchTowers


def frames(*sizes: tuple[int, int], seed: int = 0) -> dict[str, Tensor]:
    """Inputs of frames of these sizes in px, with a question of seven words; half of each is in the focal area."""
    generator = torch.Generator().manual_seed(seed)
    made = []
    for number, (height, width) in enumerate(sizes):
        focal = torch.zeros((height // 28) * (width // 28), dtype=torch.bool)
        focal[: len(focal) // 2] = True
        picture = torch.rand(3, height, width, generator=generator)
        made.append(FrameInput(picture, focal, drop_noise(focal, seed=number), 0.2))
    return vision_inputs(made, torch.randn(7, 256, generator=generator))


@pytest.mark.parametrize("sizes", [[(224, 224)], [(112, 112)], [(140, 252), (224, 168)]])
def test_pictures_give_the_tokens_of_torch(sizes: list[tuple[int, int]]) -> None:
    model = loading.load("nano", engine="torch").weights
    inputs = frames(*sizes)
    for ours, torchs in zip(IncludedTowers(model).vision(inputs), TorchTowers(model).vision(inputs), strict=True):
        torch.testing.assert_close(ours, torchs, rtol=0.0, atol=1e-5)


@pytest.mark.parametrize("n_frames", [3, 199, 400, 731])
def test_sound_gives_the_tokens_and_moments_of_torch(n_frames: int) -> None:
    model = loading.load("nano", engine="torch").weights
    generator = torch.Generator().manual_seed(n_frames)
    mel_FT = torch.randn(model.config.audio.num_mel_bins, n_frames, generator=generator)
    inputs = audio_inputs(mel_FT, torch.randn(7, 256, generator=generator))
    ours, torchs = IncludedTowers(model, sound=True).audio(inputs), TorchTowers(model).audio(inputs)
    assert len(ours) == len(torchs) == 2
    for mine, other in zip(ours, torchs, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-4)


def test_the_graph_of_faces_has_the_weights_that_it_is_given() -> None:
    torch.manual_seed(1)
    expert = FaceExpert().eval().requires_grad_(False)
    # So sure that a probability is below what float32 holds: its logarithm still must not be infinite.
    expert.network.label_head.bias[:] = torch.tensor([0.0, 300.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    judge = OnnxFaceExpert(expert)
    for n_faces in (1, 2, 5):
        crops = torch.rand(n_faces, 1, FACE_CROP_PX, FACE_CROP_PX)
        with torch.inference_mode():
            torch.testing.assert_close(judge(crops), expert(crops), rtol=0.0, atol=1e-4)


def test_a_graph_keeps_its_weights_when_torch_lets_go_of_them() -> None:
    model = loading.load("nano", engine="torch").weights
    expert = model.emotion.face_expert
    assert expert is not None
    towers, judge = IncludedTowers(model, sound=True), OnnxFaceExpert(expert)
    pictures, crops = frames((112, 112)), torch.rand(2, 1, FACE_CROP_PX, FACE_CROP_PX)
    sound = audio_inputs(torch.randn(model.config.audio.num_mel_bins, 400), torch.randn(7, 256))

    def told() -> list[Tensor]:
        return [*towers.vision(pictures), *towers.audio(sound), judge(crops)]

    before = told()
    for module in (*towers.copied, *judge.copied):
        with torch.no_grad():
            for weight in (*module.parameters(), *module.buffers()):
                weight.zero_()
        included.let_go(module)
    assert all(torch.equal(*pair) for pair in zip(before, told(), strict=True))


@pytest.mark.parametrize("sound", [False, True])
def test_a_program_that_serves_has_the_weights_of_a_graph_once(*, sound: bool) -> None:
    model = load_model(ModelSettings(), sound_on_onnx=sound)
    assert isinstance(model, LoadedModel)
    expert = model.weights.emotion.face_expert
    assert expert is not None
    tower = model.weights.thinker.visual
    assert all(weight.is_meta for module in (tower, expert) for weight in module.parameters())
    assert all(weight.is_meta is sound for weight in model.weights.thinker.audio_tower.parameters())
    warm_up(model)
    asked = load_model(ModelSettings(engine="torch"))
    assert isinstance(asked, LoadedModel)
    assert not any(weight.is_meta for weight in asked.weights.parameters())


def test_auto_takes_the_included_graph_and_torch_when_asked() -> None:
    model = loading.load("nano", engine="auto")
    assert isinstance(model.towers, IncludedTowers)
    assert model.runtime_reason == "onnx (included graph for pictures, torch for sound; cpu, float32)"
    assert isinstance(model.judge_faces, OnnxFaceExpert)
    folder = loading.load("nano", engine="auto", sound_on_onnx=True)
    assert folder.runtime_reason == "onnx (included graphs; cpu, float32)"
    asked = loading.load("nano", engine="torch", sound_on_onnx=True)
    assert isinstance(asked.towers, TorchTowers)
    assert asked.judge_faces is None


def test_a_model_of_other_shapes_runs_in_torch(tmp_path: Path) -> None:
    model = loading.load("nano", engine="torch").weights
    # Other heads have the same shapes of weights, and another graph.
    object.__setattr__(model.config.vision, "num_heads", 6)
    towers, reason = choose("auto", Checkpoint(model, assembly.locate("nano"), engine_dir=tmp_path))
    assert isinstance(towers, TorchTowers)
    assert reason.startswith("torch (cpu, float32; ")


def test_a_graph_that_does_not_run_is_told_and_torch_is_taken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = loading.load("nano", engine="torch").weights
    for name in (included.VISION, included.FACE):
        (tmp_path / name).write_bytes(b"cut off")
    (tmp_path / included.MADE_FOR).write_bytes((included.GRAPHS / included.MADE_FOR).read_bytes())
    monkeypatch.setattr(included, "GRAPHS", tmp_path)
    with caplog.at_level(logging.WARNING):
        towers, _ = choose("auto", Checkpoint(model, assembly.locate("nano"), engine_dir=tmp_path))
        judge = judge_of(model)
    assert isinstance(towers, TorchTowers)
    assert judge is model.emotion.face_expert
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]


def test_without_room_for_a_graph_torch_is_taken_and_the_fix_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    model = load_model(ModelSettings())
    assert isinstance(model, LoadedModel)
    assert isinstance(model.towers, TorchTowers)
    assert model.judge_faces is model.weights.emotion.face_expert
    warm_up(model)
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 2
    assert all("cannot be written with its weights: No such file or directory. Set TMPDIR to" in line for line in told)
