"""A hybrid is at first the model that it was made from, then the sum of two mergers, in every runtime and file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from realtime.engine.loading import LoadedModel, load
from realtime.errors import BadModel, BadSettings
from realtime.evidence.cue_model import cue_model, cue_weights
from realtime.model import checkpoint
from realtime.model.methods.compressor import FIRST_SHARE
from realtime.model.thinker import EmoThinker
from realtime.records import Question, UInt8, VideoFrame, Window
from realtime.towers.batch import FrameInput, drop_noise, selected, vision_inputs
from realtime.towers.torch_runtime import TorchTowers
from tests.model.taught import taught_hybrid
from train.lora import net_of
from train.lora import parse as lora_arguments
from train.merge import write_model
from train.readers.perceived import watch
from train.tuning.data import AnnotatedWindow
from train.tuning.initial_model import save_additions, with_additions
from train.tuning.model import Trainee
from train.tuning.run import warn_of_collapse

SECTIONS = {
    "face": "A smile.", "context": "One person.", "atmosphere": "Even light.", "voice": "Lively.",
    "coarse": "Positive.", "fine": "It points to happy.", "answer": "happy, slight",
}  # fmt: skip


def hybrid_nano(**more: Any) -> tuple[EmoThinker, dict[str, Any]]:
    return with_additions(
        checkpoint.NANO, selector_dim=64, cues=True, ring=None, method="hybrid", dtype=torch.float32, **more
    )


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hybrid")
    model, emotion = hybrid_nano()
    save_additions(taught_hybrid(model), emotion, folder)
    return folder


def frames(*sizes: tuple[int, int]) -> list[FrameInput]:
    made = []
    for seed, (rows, columns) in enumerate(sizes):
        generator = torch.Generator().manual_seed(seed)
        focal = torch.rand(rows * columns, generator=generator) < 0.3
        image = torch.rand(3, rows * 28, columns * 28, generator=generator)
        made.append(FrameInput(image, focal, drop_noise(focal, seed=seed), 0.2))
    return made


def test_an_untrained_hybrid_is_nano_bit_for_bit(nano: LoadedModel) -> None:
    model, _ = hybrid_nano()
    inputs = vision_inputs(frames((8, 8), (5, 7), (1, 1)), torch.randn(5, model.config.text.hidden_size))
    for ours, base in zip(TorchTowers(model).vision(inputs), nano.towers.vision(inputs), strict=True):
        assert torch.equal(ours, base)
    own = {name: tensor for name, tensor in model.state_dict().items() if not name.startswith("emotion.hybrid.")}
    base_state = checkpoint.load(checkpoint.NANO).state_dict()
    assert own.keys() == base_state.keys()
    assert all(torch.equal(tensor, base_state[name]) for name, tensor in own.items())


def test_tokens_are_the_sum_of_both_mergers_and_padding_does_not_move_the_gate() -> None:
    model = taught_hybrid(hybrid_nano()[0])
    hybrid, tower = model.emotion.hybrid, model.thinker.visual
    assert hybrid is not None
    given = vision_inputs(frames((4, 4)), torch.zeros(1, 1))
    x_BND = tower.before_merger(given["patches"], given["positions"], given["valid"])
    share = hybrid.gate(x_BND, given["valid"])
    assert 0 < float(share) < 1
    assert abs(float(share) - FIRST_SHARE) > 1e-3
    wanted = (1 - share) * tower.merger(x_BND) + share * hybrid.merger(x_BND)
    torch.testing.assert_close(hybrid(tower.merger(x_BND), x_BND, given["valid"]), wanted)
    text = torch.randn(5, model.config.text.hidden_size)
    towers = TorchTowers(model)
    together = selected(towers.vision(vision_inputs(frames((8, 8), (5, 3)), text)))[1]
    alone = selected(towers.vision(vision_inputs(frames((8, 8), (5, 3))[1:], text)))[0]
    torch.testing.assert_close(together.tokens_ND, alone.tokens_ND, atol=1e-4, rtol=1e-4)


@pytest.mark.slow
def test_an_adapter_and_the_merged_folder_serve_alike(
    nano: LoadedModel, adapter: Path, portrait: UInt8, tmp_path: Path
) -> None:
    model = checkpoint.load(checkpoint.NANO, adapter=adapter)
    write_model(model, checkpoint.NANO, json.loads((adapter / "emothinker.json").read_text()), tmp_path / "merged")
    tokens = []
    for served in (load("nano", adapter=adapter, engine="torch"), load(str(tmp_path / "merged"), engine="torch"), nano):
        perception = served.perceiver(seed=1)
        seen = perception.see(VideoFrame(0.0, portrait))
        perception.close()
        tokens.append(seen.tokens_ND)
        shares = served.thinker.fast_label(Window(0, 0.0, 1.0, (seen,), ()), Question(labels=served.labels))
        assert sum(shares.probabilities.values()) == pytest.approx(1)
    np.testing.assert_array_equal(tokens[0], tokens[1])
    assert not np.allclose(tokens[0], tokens[2], atol=1e-3)


def test_a_session_beside_a_gpu_or_a_cluster_has_the_instruments_without_the_second_merger(adapter: Path) -> None:
    model = checkpoint.load(checkpoint.NANO, adapter=adapter)
    state = cue_weights(model)
    assert not any(key.startswith("hybrid.") for key in state)
    assert any(key.startswith("hybrid.") for key in model.emotion.state_dict())
    beside = cue_model(model.config, state).emotion.state_dict()
    assert beside.keys() == state.keys()


@pytest.mark.slow
def test_training_moves_the_emotion_merger_and_the_gate_and_never_the_general(a_recording: Path) -> None:
    args = lora_arguments(["records", "--model", "nano", "--out", "x"])
    model = taught_hybrid(hybrid_nano()[0])
    net = net_of(args, model)
    served = load("nano", engine="torch")
    trainee = Trainee(net, served.thinker.vocabulary, cues_off=0.0)
    example = AnnotatedWindow(watch(a_recording, served), SECTIONS, {"both": "happy"}, draw=0)
    outputs = trainee([example])
    outputs["loss"].backward()
    assert 0 < float(outputs["gate"]) < 1
    hybrid = model.emotion.hybrid
    assert hybrid is not None
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in hybrid.merger.parameters())
    assert hybrid.gate.layers[-1].weight.grad is not None
    assert not any(parameter.requires_grad for parameter in model.thinker.visual.parameters())
    with pytest.raises(BadSettings, match="a hybrid keeps"):
        net_of(lora_arguments(["records", "--model", "nano", "--out", "x", "--projectors"]), model)


@pytest.mark.slow
def test_another_method_is_refused_in_one_sentence(adapter: Path, tmp_path: Path) -> None:
    model = checkpoint.load(checkpoint.NANO, adapter=adapter)
    merged = tmp_path / "merged"
    write_model(model, checkpoint.NANO, json.loads((adapter / "emothinker.json").read_text()), merged)
    plain = tmp_path / "plain"
    save_additions(*with_additions(checkpoint.NANO, selector_dim=64, cues=True, ring=None, dtype=torch.float32), plain)
    with pytest.raises(BadModel, match=r"is of the method 'hybrid', and the adapter .* of 'emothinker'\."):
        load(str(merged), adapter=plain, engine="torch")
    with pytest.raises(BadSettings, match="is of the method 'hybrid', not 'emothinker'"):
        with_additions(merged, selector_dim=64, cues=True, ring=None, method="emothinker", dtype=torch.float32)
    again, _ = with_additions(merged, selector_dim=64, cues=True, ring=None, method="hybrid", dtype=torch.float32)
    weights = load_file(adapter / "emothinker.safetensors")
    assert again.emotion.hybrid is not None
    first = again.emotion.hybrid.merger.mlp[0]
    assert isinstance(first, torch.nn.Linear)
    assert torch.equal(first.weight, weights["hybrid.merger.mlp.0.weight"])
    other = tmp_path / "other"
    shutil.copytree(plain, other)
    described = json.loads((other / "emothinker.json").read_text())
    for method, message in (
        ("emoqwen", "expected one of emothinker, hybrid, emochat"),
        ("hybrid", r"lacks .* first emotion\.hybrid"),
    ):
        (other / "emothinker.json").write_text(json.dumps(described | {"method": method}))
        with pytest.raises(BadModel, match=message):
            load("nano", adapter=other, engine="torch")


def test_a_gate_that_collapses_is_told(caplog: pytest.LogCaptureFixture) -> None:
    for share in (0.1, 0.5, 0.9):
        warn_of_collapse({"loss": 1.0, "gate": share})
    warn_of_collapse({"loss": 1.0})
    assert not caplog.records
    for share in (0.004, 0.996):
        warn_of_collapse({"loss": 1.0, "gate": share})
    assert [record.getMessage().split(";")[0] for record in caplog.records] == [
        "the gate has collapsed: the emotion merger's mean weight is 0.004",
        "the gate has collapsed: the emotion merger's mean weight is 0.996",
    ]
