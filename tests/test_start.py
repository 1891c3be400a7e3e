"""What starting costs: packages that loading a model has no use for are not imported."""

from __future__ import annotations

import subprocess
import sys

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


@pytest.mark.slow
def test_loading_nano_imports_no_package_that_it_does_not_use() -> None:
    """Each costs time and memory: torch's compiler was imported for values of modules on the meta device, SciPy for a
    filter, matplotlib and OpenCV since MediaPipe can draw with them, the hub's client for models that are here."""
    ran = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip() == ""
