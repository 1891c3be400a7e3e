"""The mark of tests that compile with TensorRT-RTX."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

needs_rtx = pytest.mark.skipif(
    find_spec("tensorrt_rtx") is None,
    reason="tensorrt-rtx-cu13 is not installed (Linux x86-64 only): pip install tensorrt-rtx-cu13",
)
