"""Fixtures of the ingest tests."""

from __future__ import annotations

import pytest

from tests.ingest.media_files import Received


@pytest.fixture
def received() -> Received:
    return Received()
