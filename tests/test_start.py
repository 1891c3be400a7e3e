"""What starting costs and promises: no package without a use is imported, and none may report its use."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import sys
from realtime.ingest.media import MediaSource
from realtime.engine.start import load_model
from realtime.settings import ModelSettings
load_model(ModelSettings()).perceiver(0)
unused = {"scipy", "sympy", "networkx", "torch._dynamo", "transformers", "matplotlib", "cv2", "huggingface_hub", "gguf"}
print(*sorted(unused & set(sys.modules)))
"""


BEGINS = """
import sys
from realtime import cli
from realtime.engine import process
def seen(*_):
    print(*sorted({"aiortc", "cryptography", "torch", "uvicorn"} & set(sys.modules)), "begins")
    sys.exit(0)
process._begin = seen
cli.main(["serve", "--port", "0"])
"""


def test_the_models_process_begins_before_the_server_is_imported() -> None:
    """It is what takes longest, and importing the server took a second in which nothing loaded."""
    ran = subprocess.run([sys.executable, "-c", BEGINS], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout.split()) == (0, ["begins"]), ran.stderr


@pytest.mark.slow
def test_loading_nano_imports_no_package_that_it_does_not_use() -> None:
    """Each costs time and memory: torch's compiler was imported for values of modules on the meta device, SciPy for a
    filter, matplotlib and OpenCV since MediaPipe can draw with them, the hub's client for models that are here."""
    ran = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip() == ""


def test_telemetry_is_off_where_another_package_overwrote_realtime(tmp_path: Path) -> None:
    """The variable was set in `realtime/__init__.py` alone, a file that Supabase's package of that name replaces."""
    other = tmp_path / "realtime" / "__init__.py"
    other.parent.mkdir()
    other.touch()
    program = "import emothinker, os, sys; print(os.environ['ORT_DISABLE_TELEMETRY'], 'realtime' in sys.modules)"
    env = {key: value for key, value in os.environ.items() if key != "ORT_DISABLE_TELEMETRY"}
    env["PYTHONPATH"] = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[1])])
    ran = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split() == ["1", "False"]
