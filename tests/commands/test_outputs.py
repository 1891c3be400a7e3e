"""Field report 1: `realtime analyze x.mp4 --out x.mp4` ended with exit code 0, and the recording was gone."""

from __future__ import annotations

import ast
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

ROOT = Path(__file__).parents[2]
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
        "train.dpo {other} --model {folder} --out {other}",
        "train.rl {other} --model {folder} --out {other}",
        "train.annotate {folder} {folder}",
        "train.evaluate --benchmark ferplus --data {folder} --out {folder}",
        "train.evaluate --predictions {folder}/answers.jsonl --out {folder}",
        "train.evaluation.swap --data {folder} --json {folder}/answers.jsonl",
        "train.evaluation.fidelity --data {folder} --json {folder}/answers.jsonl",
        "train.nano.package --data {other} --work {folder} --out {folder}",
        "export.bench --model {folder} --json {folder}/answers.jsonl",
        "export.onnx --model nano --adapter {folder} --out {folder}",
        "export.trt --model nano --adapter {folder} --out {folder}",
        "train.compose --backbone {folder} --out {folder}",
        "train.compose --model {other} --adapter {folder} --out {folder}",
        "train.lora {folder} --model {other} --out new --cache {folder}",
        "train.asking.fit --data {folder} --out {folder}/answers.jsonl",
        "train.words.fit --data {folder} --out {folder}/answers.jsonl",
        "train.nano.affect --data {other} --work {folder} --out {folder}/answers.jsonl",
        "train.nano.voice_layers --work {folder} --encoder {folder}",
        "train.nano.audio_tower --data {folder} --work {folder} --encoder {other}",
        "train.nano.masked_tower audio --data {folder} --work {folder}",
        "train.evaluation.selfsupervised --data {folder} --work {folder} --out {other}",
        "train.evaluation.selfsupervised --data {other} --work {folder} --out {folder}",
        *(
            f"train.nano.{stage} --data {{folder}} --work {{folder}}"
            for stage in (
                "calibrate",
                "face_expert",
                "prepare",
                "thinker",
                "tokenizer",
                "vision_tower",
                "voice_expert",
                "voice_sounds",
            )
        ),
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


def test_analyze_and_bench_do_not_write_over_their_settings(a_recording: Path, tmp_path: Path) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text("[buffer]\nspan_s = 20\n", encoding="utf-8")
    for words in (["analyze", str(a_recording), "--out"], ["bench", str(a_recording), "--json"]):
        assert cli.main([*words, str(settings), "--config", str(settings)]) == 2
    assert settings.read_text(encoding="utf-8") == "[buffer]\nspan_s = 20\n"


OUTPUTS = {"--out", "--json", "--work", "--cache", "--output", "output", "out"}
WITHOUT_INPUTS = {
    "export/faces.py": "reads an installed package",
    "export/included.py": "reads the package's own nano, and writes graphs without weights",
    "export/limits.py": "reads nothing",
    "export/random_weights.py": "reads nothing, and replaces only what it made itself",
    "export/sample.py": "reads nothing, and writes whole files",
    "train/nano/pretrained.py": "writes a file of a known hash alone, under the name of that hash",
    "train/tuning/bench.py": "reads nothing",
    "train/tuning/run.py": "the flags that stages share; each stage checks them",
    "train/tuning/tiny.py": "reads nothing",
    "realtime/cluster/__main__.py": "`--json` is a form, not a file",
    "realtime/cluster/sizing/plan.py": "`--json` is a form, not a file",
    "realtime/commands/arguments.py": "the flags of `realtime`, which realtime/cli.py checks",
}
"""Programs with such a flag that do not compare it with their inputs, and why."""


def test_every_program_with_an_output_compares_it_with_its_inputs() -> None:
    """So that a new program is thought of, too."""
    unchecked = set()
    for package in ("realtime", "train", "export"):
        for path in (ROOT / package).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            if "add_argument" not in text:
                continue
            flags = {
                call.args[0].value
                for call in ast.walk(ast.parse(text))
                if isinstance(call, ast.Call) and getattr(call.func, "attr", "") == "add_argument" and call.args
                and isinstance(call.args[0], ast.Constant)
            }  # fmt: skip
            if flags & OUTPUTS and "refuse_input(" not in text:
                unchecked.add(path.relative_to(ROOT).as_posix())
    assert unchecked == set(WITHOUT_INPUTS)


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
