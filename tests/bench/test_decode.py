"""Steps of one chain, and the bytes that they read."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

from realtime.bench import decode, floors
from realtime.engine import loading

pytestmark = pytest.mark.slow


def test_each_format_is_told_with_what_it_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "decode.json"
    arguments = ["--weights", "full", "int4", "--narrow", "none", "int8", "--tokens", "3", "--json", str(out)]
    monkeypatch.setattr(sys, "argv", ["decode", *arguments])
    assert decode.main() == 0
    assert capsys.readouterr().out == out.read_text()
    full, narrow, few = (json.loads(line) for line in out.read_text().splitlines())
    assert [(each["weights"], each["narrow"]) for each in (full, narrow, few)] == [
        ("full", "none"), ("full", "int8"), ("int4", "none"),
    ]  # fmt: skip
    assert full["gbyte_a_step"] > 2 * narrow["gbyte_a_step"] > 2 * few["gbyte_a_step"] > 0
    for each in (full, narrow, few):
        assert each["gbyte_per_s"] == pytest.approx(each["gbyte_a_step"] / each["step_ms"] * 1000, rel=0.02)
        for share, rate in (("of_memory", "memory_gbyte_per_s"), ("of_same_size", "same_size_gbyte_per_s")):
            assert each[share] == pytest.approx(each["gbyte_per_s"] / each[rate], rel=0.02)


def test_the_bytes_of_a_step_are_those_of_its_products() -> None:
    model = loading.load("nano", engine="torch", weights="int8", narrow=None)
    quantised = model.weights.thinker.model.quantised
    assert model.thinker.language.step_bytes == sum(product.nbytes for product in quantised.values())
    bound = floors.floors(model, {})
    assert bound["tokens_per_s"] > 0
    assert torch.get_num_threads() == bound["threads"]
