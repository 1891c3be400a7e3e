"""What every test shares. Async tests run on asyncio through anyio's plugin; warnings are errors (pyproject.toml)."""

from __future__ import annotations

import pytest


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
