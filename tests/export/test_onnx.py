"""Exports are whole, equal to torch, served when they fit, and refused by name when they do not."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx as onnx_package
import pytest
import torch
from torch import Tensor

from export import folder as export_folder
from export import onnx, parity
from export.load import load_graph
from export.towers import GraphTowers, towers_of
from realtime.errors import EngineMissing
from realtime.model import checkpoint
from realtime.model.config import EMOTION_CONFIG
from realtime.towers import artifact
from realtime.towers import onnx_runtime as in_onnxruntime
from realtime.towers.artifact import EngineMismatch
from realtime.towers.batch import FrameInput, audio_inputs, drop_noise, vision_inputs
from realtime.towers.choice import Checkpoint, choose
from realtime.towers.onnx_runtime import OnnxTowers
from realtime.towers.torch_runtime import TorchTowers
from tests.export.shapes import full_width_config, write_checkpoint


@pytest.mark.parametrize("name", ["onnx-fp32-opset20", "onnx-fp32-opset23", "onnx-fp16-opset23"])
def test_onnxruntime_equals_torch_and_torch_equals_transformers(folder: Path, root: Path, name: str) -> None:
    figures, fine = parity.check(artifact.read(root / name), str(folder))
    assert fine, figures
    for error in figures["torch_against_transformers"].values():
        assert error["relative"] <= 1e-5
    assert artifact.read(root / name).parity == json.loads(json.dumps(figures))


def test_attention_stays_one_node_at_opset_23(root: Path) -> None:
    graph = onnx_package.load(root / "onnx-fp16-opset23" / "vision.onnx").graph
    assert sum(node.op_type == "Attention" for node in graph.node) == 2
    portable = onnx_package.load(root / "onnx-fp32-opset20" / "vision.onnx").graph
    assert not any(node.op_type == "Attention" for node in portable.node)


@pytest.mark.parametrize(("tower", "n_turned"), [("vision", 4), ("audio", 0)])
def test_for_onnxruntime_tokens_go_into_attention_as_products_leave_them(root: Path, tower: str, n_turned: int) -> None:
    nodes = onnx_package.load(root / "onnx-fp32-opset23" / f"{tower}.onnx").graph.node
    attentions = [node for node in nodes if node.op_type == "Attention"]
    assert len(attentions) == 2
    fed = {name for node in attentions for name in node.input[:3]}
    assert not [node for node in nodes if node.op_type == "Transpose" and set(node.output) & fed]
    assert sum(node.op_type == "RotaryEmbedding" for node in nodes) == n_turned


@pytest.mark.slow
def test_a_stock_checkpoint_exports_without_text(tmp_path: Path) -> None:
    stock = tmp_path / "stock"
    write_checkpoint(stock, selectors=False)
    made = onnx.export(stock, tmp_path, name="stock", precision="fp32", opset=20)
    assert not made.has_text
    assert "text" not in made.towers["vision"]["inputs"]
    _, fine = parity.check(made, str(stock))
    assert fine


@pytest.mark.slow
def test_towers_of_a_3b_at_full_width_equal_torch(tmp_path: Path) -> None:
    """In the published widths and numbers of heads, two of 32 layers deep, a frame of 448 px and four seconds."""
    folder = tmp_path / "wide"
    write_checkpoint(folder, config=full_width_config(), scale=1.0, selector_dim=256)
    made = onnx.export(folder, tmp_path, name="wide", precision="fp32", opset=23)
    ours, reference = OnnxTowers(made), GraphTowers(folder, torch.float32, None)
    generator = torch.Generator().manual_seed(0)
    text_QD = torch.randn(7, 2048, generator=generator)
    focal = torch.rand(16 * 12, generator=generator) < 0.3
    frame = FrameInput(torch.rand(3, 336, 448, generator=generator), focal, drop_noise(focal, seed=0), 0.2)
    seen, wanted = (towers.vision(vision_inputs([frame], text_QD)) for towers in (ours, reference))
    for mine, theirs in zip(seen[1:], wanted[1:], strict=True):
        assert torch.equal(mine, theirs)
    sound = audio_inputs(torch.randn(128, 400, generator=generator), text_QD)
    for mine, theirs in ((seen[0], wanted[0]), (ours.audio(sound)[0], reference.audio(sound)[0])):
        assert theirs.shape[-1] == 2048
        assert float((mine - theirs).norm() / theirs.norm()) <= 1e-5


@pytest.mark.usefixtures("traced")
@pytest.mark.slow
def test_selectors_that_only_an_adapter_brings_are_exported_with_it(folder: Path, tmp_path: Path) -> None:
    """The adapter's own shapes count. Stock checkpoint and adapter together are the checkpoint that was traced."""
    stock, adapter = tmp_path / "stock", tmp_path / "adapter"
    write_checkpoint(stock, selectors=False)
    for name in (checkpoint.WEIGHTS, "config.json"):
        shutil.copy(folder / name, stock)
    adapter.mkdir()
    for name in (EMOTION_CONFIG, checkpoint.EMOTION_WEIGHTS):
        shutil.copy(folder / name, adapter)
    told = onnx.export(stock, tmp_path, name="stock", precision="fp32", opset=20, adapter=adapter)
    assert told.has_text
    assert told.source_sha256 != artifact.source_sha256(stock)
    figures, fine = parity.check(told, str(stock), adapter=adapter)
    assert fine, figures


@pytest.mark.usefixtures("traced")
@pytest.mark.slow
def test_8_bit_weights_stay_close(folder: Path, tmp_path: Path) -> None:
    """Signed 8-bit weights saturate on processors without VNNI and were wrong by half: unsigned ones do not."""
    made = onnx.export(folder, tmp_path, name="small", precision="int8", opset=23)
    figures, fine = parity.check(made, str(folder))
    assert fine, figures
    assert figures["labels"] == "not compared: --validation DATA"
    told = {"same_label": 0.99}
    assert not parity.check(made, str(folder), labels=told)[1]
    assert parity.check(made, str(folder), labels={"same_label": 0.996})[1]


def test_parity_fails_where_weights_or_selections_differ(root: Path, folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "changed"
    shutil.copytree(root / "onnx-fp32-opset20", path)
    manifest = artifact.read(path)
    graph = onnx_package.load(path / "audio.onnx")
    weights = max(graph.graph.initializer, key=lambda one: len(one.raw_data))
    changed = onnx_package.numpy_helper.to_array(weights) * np.float32(1.001)
    weights.CopyFrom(onnx_package.numpy_helper.from_array(changed, weights.name))
    onnx_package.save(graph, path / "audio.onnx")
    made = export_folder.write_manifest(replace(manifest, folder=path), "")
    figures, fine = parity.check(made, str(folder))
    assert not fine
    assert figures["vision"]["relative"] <= 1e-5 < figures["audio"]["relative"]

    class Drops(GraphTowers):
        """Leaves out one token too many."""

        def vision(self, inputs: Mapping[str, Tensor]) -> Sequence[Tensor]:
            tokens, order, n_focal, n_kept = super().vision(inputs)
            return tokens, order, n_focal, n_kept - 1

    reference = GraphTowers(folder, torch.float32, None)
    other = parity.compare(Drops(folder, torch.float32, None), reference, torch.randn(7, 64), has_text=True, n_bins=128)
    assert other["selections_different"] == other["vision"]["cases"]


def test_bf16_is_compared_through_torch(folder: Path, root: Path) -> None:
    """Onnxruntime has no bf16 for the CPU; figures and labels are those of the same graph in torch's."""
    towers, through = towers_of(replace(artifact.read(root / "onnx-fp32-opset23"), precision="bf16"), str(folder), None)
    assert through == "torch, bf16"
    reference = GraphTowers(folder, torch.float32, None)
    figures = parity.compare(towers, reference, torch.randn(7, 64), has_text=True, n_bins=128)
    assert 1e-4 < figures["vision"]["relative"] <= parity.LIMITS["bf16"]


@pytest.mark.usefixtures("traced")
@pytest.mark.slow
def test_large_weights_lie_beside_the_graph(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx, "EXTERNAL_BYTES", 1000)
    made = onnx.export(folder, tmp_path, name="small", precision="fp32", opset=20)
    assert set(made.files) == {"vision.onnx", "vision.onnx.data", "audio.onnx", "audio.onnx.data"}
    OnnxTowers(made)


def test_weights_are_read_tower_by_tower(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A 7B's language model is never touched, and the audio tower not while the vision tower is held."""
    seen: list[str] = []
    get = artifact.tower_tensors

    def noted(*given: object) -> object:
        for name, tensor in get(*given):  # type: ignore[arg-type]
            seen.append(name)
            yield name, tensor

    monkeypatch.setattr("export.load.tower_tensors", noted)
    load_graph(folder, "vision", torch.float32)
    assert seen
    assert all(name.startswith(("thinker.visual.", "emotion.visual_selector.")) for name in seen)


def given(folder: Path, engine_dir: Path | None) -> Checkpoint:
    return Checkpoint(checkpoint.load(folder), folder, engine_dir=engine_dir)


def test_auto_takes_a_matching_export_and_says_so(folder: Path, root: Path) -> None:
    towers, reason = choose("auto", given(folder, root))
    assert isinstance(towers, OnnxTowers)
    assert reason == "onnx (fp32, opset 23; exported from these weights)"


def test_auto_never_fails_and_an_explicit_engine_says_what_builds_it(
    folder: Path, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    towers, reason = choose("auto", given(folder, None))
    assert isinstance(towers, TorchTowers)
    assert "onnx towers of this checkpoint have not been exported" in reason
    with pytest.raises(EngineMissing, match=r"realtime export onnx --model"):
        choose("onnx", given(folder, None))
    other = tmp_path / "other"
    write_checkpoint(other, seed=1)
    with pytest.raises(EngineMissing, match="other weights"):
        choose("onnx", given(other, root))
    with pytest.raises(EngineMissing, match=r"realtime export trt"):
        choose("trt", given(folder, root))


def test_exports_in_the_users_cache_are_found(
    folder: Path, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    shutil.copytree(root, artifact.default_root(artifact.source_sha256(folder)))
    _, reason = choose("onnx", given(folder, None))
    assert reason.startswith("onnx")


@pytest.mark.parametrize(
    "broken", ["manifest missing", "manifest cut off", "file missing", "file cut off", "another release"]
)
def test_a_folder_that_is_not_whole_is_never_served(folder: Path, root: Path, tmp_path: Path, broken: str) -> None:
    path = tmp_path / "engines"
    shutil.copytree(root / "onnx-fp32-opset20", path)
    manifest = path / artifact.MANIFEST
    match broken:
        case "manifest missing":
            manifest.unlink()
        case "manifest cut off":
            manifest.write_text(manifest.read_text()[:-50])
        case "file missing":
            (path / "audio.onnx").unlink()
        case "file cut off":
            (path / "audio.onnx").write_bytes((path / "audio.onnx").read_bytes()[:-1])
        case _:
            manifest.write_text(manifest.read_text().replace('"format": 1', '"format": 0'))
    with pytest.raises(EngineMismatch):
        artifact.read(path)
    _, reason = choose("auto", given(folder, tmp_path))
    assert reason.startswith("torch")


def test_changed_bytes_are_noticed(root: Path, tmp_path: Path) -> None:
    path = tmp_path / "changed"
    shutil.copytree(root / "onnx-fp32-opset20", path)
    content = bytearray((path / "audio.onnx").read_bytes())
    content[-1] ^= 1
    (path / "audio.onnx").write_bytes(content)
    with pytest.raises(EngineMismatch, match="not the file its manifest describes"):
        artifact.read(path).check_hashes()


@pytest.mark.usefixtures("traced")
def test_an_export_that_fails_leaves_nothing(
    folder: Path, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what was there before stays."""
    before = tmp_path / "onnx-fp32-opset20"
    shutil.copytree(root / before.name, before)
    manifest = artifact.read(before)

    def refuse(path: Path) -> None:
        raise onnx_package.checker.ValidationError(f"{path.name} is refused")

    monkeypatch.setattr(onnx, "check", refuse)
    with pytest.raises(export_folder.ExportFailed, match="refused"):
        onnx.export(folder, tmp_path, name="small", precision="fp32", opset=20)
    assert [path.name for path in tmp_path.iterdir()] == ["onnx-fp32-opset20"]
    assert artifact.read(before) == manifest


def test_bf16_needs_a_later_opset(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(onnx.BadOpset, match="bf16"):
        onnx.export(folder, tmp_path, name="small", precision="bf16", opset=20)


@pytest.mark.usefixtures("traced")
def test_a_disk_that_fills_up_leaves_nothing(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(onnx, "check", full)
    with pytest.raises(export_folder.NoSpace, match=r"No space left for .*Free some"):
        onnx.export(folder, tmp_path, name="small", precision="fp32", opset=20)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_export_leaves_is_never_served(folder: Path, root: Path, tmp_path: Path) -> None:
    """It is still under its working name, even when all of its files happen to be there."""
    shutil.copytree(root / "onnx-fp32-opset20", tmp_path / ".partial-onnx-fp32-opset20-abc")
    assert list(artifact.candidates([tmp_path])) == []
    towers, reason = choose("auto", given(folder, tmp_path))
    assert isinstance(towers, TorchTowers)
    assert "onnx towers of this checkpoint have not been exported" in reason


@pytest.mark.parametrize("wrong", ["fails when it runs", "a manifest without towers", "only what a CPU cannot compute"])
def test_auto_runs_wherever_torch_does(
    folder: Path, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    path = tmp_path / "engines" / "onnx"
    shutil.copytree(root / "onnx-fp32-opset20", path)
    manifest = json.loads((path / artifact.MANIFEST).read_text())
    if wrong == "fails when it runs":

        def refuse(*_: object) -> None:
            raise ZeroDivisionError("a driver's own kind of error")

        monkeypatch.setattr(in_onnxruntime.OnnxGraph, "__call__", refuse)
    elif wrong == "a manifest without towers":
        manifest["towers"] = {}
    else:
        manifest["precision"] = "bf16"
    (path / artifact.MANIFEST).write_text(json.dumps(manifest))
    towers, reason = choose("auto", given(folder, path.parent))
    assert isinstance(towers, TorchTowers)
    assert reason.startswith("torch (cpu, float32; ")
