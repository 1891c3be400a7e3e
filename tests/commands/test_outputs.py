"""Field report 1: `realtime analyze x.mp4 --out x.mp4` ended with exit code 0, and the recording was gone."""

from __future__ import annotations

import os
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from export import random_weights
from realtime import cli
from realtime.errors import BadSettings
from realtime.outputs import refuse_input

Link = Callable[[Path, Path], object]


def same_name(source: Path, link: Path) -> None:
    """The output is named exactly as the input."""


LINKS: list[Link] = [
    same_name,
    lambda source, link: link.symlink_to(source),
    lambda source, link: os.link(source, link),
]


@pytest.mark.parametrize("link", LINKS, ids=["the same name", "a symbolic link", "a hard link"])
def test_analyze_does_not_write_over_its_recording(
    a_recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], link: Link
) -> None:
    recording = tmp_path / "talk.mp4"
    recording.write_bytes(a_recording.read_bytes())
    link(recording, tmp_path / "out.mp4")
    out = tmp_path / "out.mp4" if (tmp_path / "out.mp4").exists() else recording
    assert cli.main(["analyze", str(recording), "--out", str(out)]) == 2
    assert "Name another output." in capsys.readouterr().err
    assert recording.read_bytes() == a_recording.read_bytes()


def test_bench_does_not_write_its_figures_over_a_recording(a_recording: Path, tmp_path: Path) -> None:
    recording = tmp_path / "talk.mp4"
    recording.write_bytes(a_recording.read_bytes())
    assert cli.main(["bench", str(recording), "--json", str(tmp_path / "." / "talk.mp4")]) == 2
    assert recording.read_bytes() == a_recording.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        "train.merge --model {folder} --adapter {other} --out {folder}",
        "train.merge --model {folder} --adapter {other} --out {other}",
        "train.warmup {other} --model {folder} --out {folder}",
        "train.lora {other} --model {folder} --out {other}",
        "train.annotate {folder} {folder}",
        "train.evaluate --benchmark ferplus --data {folder} --out {folder}",
        "train.evaluate --predictions {folder}/answers.jsonl --out {folder}",
        "train.evaluation.swap --data {folder} --json {folder}/answers.jsonl",
        "train.evaluation.fidelity --data {folder} --json {folder}/answers.jsonl",
        "train.nano.package --data {other} --work {folder} --out {folder}",
        "export.bench --model {folder} --json {folder}/answers.jsonl",
    ],
)
def test_a_training_or_export_command_does_not_write_over_its_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: str
) -> None:
    folder, other = tmp_path / "in", tmp_path / "other"
    folder.mkdir()
    other.mkdir()
    (folder / "answers.jsonl").write_text("kept\n")
    program, *words = arguments.format(folder=folder, other=other).split()
    monkeypatch.setattr(sys, "argv", [program, *words])
    # As `python -m` does; runpy warns of a module that was imported before.
    monkeypatch.delitem(sys.modules, program, raising=False)
    with pytest.raises(SystemExit) as ended:
        runpy.run_module(program, run_name="__main__", alter_sys=True)
    assert ended.value.code == 2
    assert "Name another output." in capsys.readouterr().err
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["answers.jsonl"]
    assert (folder / "answers.jsonl").read_text() == "kept\n"


def test_random_weights_replace_no_checkpoint_that_somebody_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.json").write_text("{}")
    monkeypatch.setattr(sys, "argv", ["random_weights", "--shapes", "3B", "--out", str(tmp_path)])
    with pytest.raises(SystemExit, match="2"):
        random_weights.main()
    assert "was not made by this command" in capsys.readouterr().err
    assert (tmp_path / "config.json").read_text() == "{}"


def test_other_outputs_pass(tmp_path: Path) -> None:
    source = tmp_path / "in.mp4"
    source.write_bytes(b"media")
    (tmp_path / "old.jsonl").write_text("{}\n")
    refuse_input(tmp_path / "old.jsonl", source)
    refuse_input(tmp_path / "new.jsonl", source, None, "rtsp://camera/1", "x" * 5000, "a\0b")
    refuse_input(None, source)
    with pytest.raises(BadSettings, match="a file of the input"):
        refuse_input(source, tmp_path)
