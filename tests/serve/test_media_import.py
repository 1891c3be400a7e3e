"""A server that waits has not imported what receives media. Whoever opens the page has it imported."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

from realtime.serve import media_import
from tests.serve.live_server import serving
from tests.waiting import eventually

PROGRAM = """
import asyncio, sys
import realtime.commands.serve
from realtime.serve.media_import import media_imported
heavy = ("aiortc", "av", "cryptography")
print(*(name for name in heavy if name in sys.modules), "waiting")
asyncio.run(media_imported())
print(*(name for name in heavy if name in sys.modules))
"""


def test_a_server_that_waits_has_no_codecs_and_no_webrtc() -> None:
    ran = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout.split("\n")) == (0, ["waiting", "aiortc av cryptography", ""]), ran.stderr


def test_what_is_imported_is_there() -> None:
    assert all(importlib.util.find_spec(name) for name in media_import.MODULES)


async def test_whoever_opens_the_page_has_it_imported_once(monkeypatch: pytest.MonkeyPatch) -> None:
    imported: list[str] = []
    monkeypatch.setattr(media_import, "_import", lambda: imported.append("media"))
    async with serving() as running:
        assert (await running.http.get("/readyz")).status_code == 200
        assert not imported
        for _ in range(2):
            assert (await running.http.get("/api/config")).status_code == 200
        await eventually(lambda: imported, "the import")
    assert imported == ["media"]
