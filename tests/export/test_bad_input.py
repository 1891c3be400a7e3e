"""Whatever is wrong with a checkpoint, an opset, a disk or an engine is a named error with the fact and the fix."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from export import bench, onnx, parity, random_weights, trt
from export.load import load_graph
from realtime.engine.loading import load
from realtime.errors import BadModel
from realtime.model import checkpoint
from realtime.reason.prompt import SECTIONS
from realtime.records import Question, ReasonDone, UInt8, VideoFrame, Window
from tests.export.shapes import SMALL, SMALL_AUDIO


def told(main: object, argv: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """What a command that must fail says; it may not raise, nor print a traceback."""
    monkeypatch.setattr("sys.argv", ["export", *argv])
    assert main() != 0  # type: ignore[operator]
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    return said


def test_commands_name_what_is_wrong(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    (broken / checkpoint.WEIGHTS).unlink()
    out = ["--out", str(tmp_path / "out")]
    small, cut = ["--model", str(folder), *out], ["--model", str(broken), *out]
    assert "Opset 17 is too old for these graphs. Take one of (20, 23)." in told(
        onnx.main, [*small, "--opset", "17"], monkeypatch, capsys
    )
    assert "Fetch the missing shard" in told(onnx.main, cut, monkeypatch, capsys)
    (broken / "config.json").write_text(json.dumps({"model_type": "llama"}))
    assert "holds a 'llama' model; expected qwen2_5_omni" in told(onnx.main, cut, monkeypatch, capsys)
    assert "Opset 99 was never tried with these graphs" in told(
        onnx.main, [*small, "--opset", "99"], monkeypatch, capsys
    )
    nothing = str(tmp_path / "nothing")
    for main in (onnx.main, trt.main):
        flavor = ["--flavor", "rtx", "--target", "SM86"] if main is trt.main else []
        said = told(main, [*small, *flavor, "--adapter", nothing], monkeypatch, capsys)
        assert f"{nothing} is no adapter" in said or "tensorrt_rtx is not installed" in said
    assert "is no folder" in told(bench.main, ["--model", str(folder), "--engines", nothing], monkeypatch, capsys)
    assert "neither a folder here" in told(onnx.main, ["--model", "no/such/model/at/all"], monkeypatch, capsys)
    assert "realtime export onnx" in told(parity.main, [str(tmp_path / "out")], monkeypatch, capsys)
    monkeypatch.setitem(__import__("sys").modules, "tensorrt", None)
    assert "pip install tensorrt" in told(trt.main, [*small, "--flavor", "trt"], monkeypatch, capsys)
    monkeypatch.setattr("shutil.disk_usage", lambda _: shutil._ntuple_diskusage(10, 10, 0))
    assert "0.0 GB free" in told(onnx.main, small, monkeypatch, capsys)
    assert not any(path.name.startswith("onnx") for path in (tmp_path / "out").iterdir())
    monkeypatch.undo()
    (tmp_path / "file").touch()
    assert "File exists. Name another place." in told(
        onnx.main, ["--model", str(folder), "--out", str(tmp_path / "file")], monkeypatch, capsys
    )


def test_the_published_layout_is_written_and_a_missing_shard_named(tmp_path: Path) -> None:
    smaller = {"vision_config": SMALL, "audio_config": SMALL_AUDIO}
    random_weights.write(tmp_path / "7B", "7B", smaller=smaller)
    assert sorted(path.name for path in (tmp_path / "7B").glob("model*")) == [
        "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json",
    ]  # fmt: skip
    graph = load_graph(tmp_path / "7B", "audio", onnx.PRECISIONS["fp32"])
    assert graph.tower.proj.out_features == 3584  # type: ignore[union-attr]
    (tmp_path / "7B" / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(BadModel, match=r"model-00002-of-00002\.safetensors is missing"):
        load_graph(tmp_path / "7B", "audio", onnx.PRECISIONS["fp32"])


@pytest.mark.slow
def test_random_weights_are_served_when_all_of_them_are_there(tmp_path: Path, portrait: UInt8) -> None:
    """So that a GPU can be timed on the published shapes without the published weights (`export/gpu.sh`)."""
    smaller = {
        "vision_config": SMALL | {"out_hidden_size": 256},
        "audio_config": SMALL_AUDIO | {"output_dim": 256},
        "text_config": {"hidden_size": 256, "intermediate_size": 64, "num_hidden_layers": 9, "num_attention_heads": 2,
                        "num_key_value_heads": 1, "vocab_size": 2000},
    }  # fmt: skip
    random_weights.write(tmp_path / "3B", "3B", whole=True, smaller=smaller)
    assert len(list((tmp_path / "3B").glob("model-*"))) == 5
    model = load(str(tmp_path / "3B"), engine="torch")
    ask, perceiver = Question(labels=model.labels), model.perceiver(0)
    perceiver.set_question(ask)
    frame = perceiver.see(VideoFrame(0.5, portrait))
    window = Window(0, 0.0, 1.0, (frame,), ())
    assert frame.ring
    assert sum(model.thinker.fast_label(window, ask).probabilities.values()) == pytest.approx(1)
    done = list(model.thinker.reason(window, ask))[-1]
    assert isinstance(done, ReasonDone)
    assert done.timings_ms["chain_tokens"] > len(SECTIONS)
    perceiver.close()
