"""The portrait's face, for the tests here."""

from __future__ import annotations

import pytest

from realtime.records import UInt8


@pytest.fixture(scope="session")
def portrait_face(portrait: UInt8) -> UInt8:
    """(200, 160, 3) cut of the portrait around the head."""
    return portrait[20:220, 145:305]
