"""Fixtures of the ingest tests."""

from __future__ import annotations

import pytest

from tests.ingest.media_files import RememberingSink


@pytest.fixture
def sink() -> RememberingSink:
    return RememberingSink()
