"""Field report: installed without extras, a command ended in a traceback. It ends in a sentence or does its work."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ingest.media_files import voice, write_clip

ABSENT = (
    "ray", "grpc", "opentelemetry", "onnx", "onnxscript", "peft", "transformers", "accelerate", "jsonschema",
    "tenacity", "pyarrow", "sklearn", "tensorrt", "tensorrt_rtx",
)  # fmt: skip
"Modules that extras alone bring. MediaPipe and huggingface_hub bring others, such as Pillow, matplotlib and tqdm."


@pytest.fixture
def absent(tmp_path: Path) -> dict[str, str]:
    """An environment in which no package of an extra can be imported."""
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    for name in ABSENT:
        (hidden / f"{name}.py").write_text(f"raise ModuleNotFoundError('No module named {name}', name='{name}')\n")
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(hidden), str(Path.cwd())])}


REALTIME = "from realtime.cli import main; raise SystemExit(main())"
SERVE = ["serve", "--port", "0"]
COLLECTOR = "http://127.0.0.1:9"
CLUSTER = "from realtime.cluster.__main__ import main; raise SystemExit(main())"


@pytest.mark.parametrize(
    ("program", "words", "code", "told"),
    [
        pytest.param(REALTIME, [*SERVE, "--trace", COLLECTOR], 5, "emothinker[otel]", marks=pytest.mark.slow),
        pytest.param(REALTIME, [*SERVE, "--cluster", "auto"], 8, "emothinker[ray]", marks=pytest.mark.slow),
        pytest.param(REALTIME, ["analyze", "{clip}", "--out", "{out}"], 0, "", marks=pytest.mark.slow),
        pytest.param(
            REALTIME,
            ["analyze", "{clip}", "--engine", "trt"],
            5,
            "trt towers of this checkpoint have not been exported",
            marks=pytest.mark.slow,
        ),
        (CLUSTER, ["deploy"], 8, "emothinker[ray]"),
        (CLUSTER, ["status"], 8, "emothinker[ray]"),
        (CLUSTER, ["remove"], 8, "emothinker[ray]"),
        (CLUSTER, ["measure", "--address", "auto"], 8, "emothinker[ray]"),
        (CLUSTER, ["check", "--address", "auto"], 8, "emothinker[ray]"),
    ],
    ids=lambda value: " ".join(value[:1]) if isinstance(value, list) else "",
)
def test_commands_without_extras_work_or_end_in_a_sentence(
    absent: dict[str, str], tmp_path: Path, program: str, words: list[str], code: int, told: str
) -> None:
    clip = write_clip(tmp_path / "clip.wav", sound_N=voice(1.0), audio_codec="pcm_s16le")
    given = [word.format(clip=clip, out=tmp_path / "events.jsonl") for word in words]
    done = subprocess.run(
        [sys.executable, "-c", program, *given], env=absent, capture_output=True, text=True, check=False, timeout=120
    )
    assert "Traceback" not in done.stderr
    assert done.returncode == code, done.stderr
    assert told in done.stderr
