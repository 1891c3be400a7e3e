"""`realtime models`: what is computed of a model's memory is what its weights and caches take."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from realtime import cli
from realtime.commands import models
from realtime.engine.loading import LoadedModel
from realtime.errors import BadModel
from realtime.model import checkpoint, layout
from realtime.model.config import ModelConfig, published_config
from realtime.model.packing import Packing
from realtime.records import Question


def rows(name: str, config: ModelConfig) -> dict[str, models.Needs]:
    return {row.kept: row for row in models.needs(name, config)}


@pytest.mark.parametrize("shapes", ["3B", "7B"])
def test_the_published_shapes_take_what_is_known_of_them(shapes: str) -> None:
    of = rows(shapes, ModelConfig.parse(published_config(shapes)))
    # The Thinker of the published shards: 4.70 and 8.93 thousand million parameters.
    assert of["bf16"].weights / 2e9 == pytest.approx({"3B": 4.70, "7B": 8.93}[shapes], abs=0.01)
    assert of["int4"].weights < of["int8"].weights < of["bf16"].weights
    assert all(row.weights < row.on_cpu < row.unified for row in of.values())


def test_int4_keeps_the_groups_of_a_packed_folder() -> None:
    """A scale and a zero in bf16 for 32 inputs are an eighth of 4 bits more than for 128."""
    config = ModelConfig.parse(published_config("3B"))
    of = {
        size: {row.kept: row.weights for row in models.needs("3B", config, Packing("gptq", size))} for size in (32, 128)
    }
    plain = {kept: row.weights for kept, row in rows("3B", config).items()}
    assert of[128] == plain
    assert {kept for kept in plain if of[32][kept] != plain[kept]} == {"int4"}
    n_weights = sum(sum(one.n_outputs) * one.n_inputs for one in layout.groups(config.text) if one.name != layout.HEAD)
    assert of[32]["int4"] - plain["int4"] == n_weights * 4 * 3 // 128


def test_a_session_takes_its_ring_and_a_window(nano: LoadedModel) -> None:
    """Computed in bf16; nano's caches are float32, twice as large."""
    ring = nano.thinker.open_ring(Question(labels=nano.labels))
    assert ring is not None
    text = nano.weights.config.text
    window = 2 * text.num_hidden_layers * text.num_key_value_heads * text.head_dim * models.WINDOW_TOKENS * 2
    computed = models.session_bytes(nano.weights.config) - window
    # The ring is rounded up to pages.
    assert computed == pytest.approx(ring.ring.n_bytes / 2, rel=0.1)


def test_what_fits_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(models, "free_bytes", lambda device: 8_000_000_000)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert cli.main(["models", str(checkpoint.NANO)]) == 0
    out = capsys.readouterr().out
    fits = {tuple(line.split()[:2]): line.split()[-1] for line in out.splitlines() if line.startswith(("Qwen", "nano"))}
    assert fits["Qwen2.5-Omni-3B", "bf16"] == fits["Qwen2.5-Omni-7B", "int8"] == "no"
    assert fits["Qwen2.5-Omni-3B", "int8"] == "CPU"
    assert fits["nano", "float32"] == "CPU"
    assert f"{checkpoint.NANO}" in out


def test_a_model_that_cannot_be_read_ends_with_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The newcomer's review of 28 November: exit code 0, and the name of a class of Python in the table."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for name, said in ((str(tmp_path), "config.json is missing"), ("no such/name", "it is no name of a model")):
        assert cli.main(["models", name]) == BadModel.exit_code
        out, err = capsys.readouterr()
        assert out == ""
        assert said in err
    assert cli.main(["models", "nosuch/thing"]) == BadModel.exit_code
    err = capsys.readouterr().err
    assert "neither a folder here nor a model that could be fetched: HF_HUB_OFFLINE is set" in err
    assert "Error" not in err


def test_nano_takes_what_was_measured(nano: LoadedModel) -> None:
    (row,) = models.needs("nano", nano.weights.config)
    measured = sum(parameter.numel() * parameter.element_size() for parameter in nano.weights.parameters())
    assert row.weights == pytest.approx(measured, rel=0.01)
