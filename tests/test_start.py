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
load_model(ModelSettings())
print(*sorted({"scipy", "sympy", "networkx", "torch._dynamo", "transformers"} & set(sys.modules)))
"""


@pytest.mark.slow
def test_loading_nano_imports_no_compiler_and_no_scipy() -> None:
    """Both were a third of what `analyze` imported: torch's compiler for values of modules on the meta device."""
    ran = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip() == ""
