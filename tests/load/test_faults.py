"""A real server on nano, its processes killed: sessions outlive the model's, and of a server's own nothing is left."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from functools import partial
from pathlib import Path

import httpx
import psutil
import pytest

from tests.load.media import portrait
from tests.load.peers import Behaviour, Outcome, play
from tests.load.server import serving
from tests.waiting import eventually

WITHIN_S = 120
"A model loads within five seconds on a machine that does nothing else."
until = partial(eventually, within_s=WITHIN_S)


def files(folder: Path) -> list[Path]:
    """But what matplotlib, which MediaPipe brings along, keeps of the machine's fonts."""
    return [path for path in folder.rglob("*") if path.is_file() and "matplotlib" not in path.parts]


def gone(pid: int) -> bool:
    with suppress(psutil.NoSuchProcess):
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    return True


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_server_and_model_are_killed_and_the_next_server_and_its_session_go_on(tmp_path: Path) -> None:
    environment = {
        "TMPDIR": str(tmp_path),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        # Sender, server and model share a machine that may be busy; none of them is lost for being slow.
        "EMOTHINKER_INGEST__CONNECT_S": "60",
        "EMOTHINKER_INGEST__PEER_SILENT_S": "60",
    }
    async with serving(environment=environment) as server:
        everybody = server.process.children(recursive=True)
        assert everybody
        server.program.kill()
        await until(lambda: all(gone(one.pid) for one in everybody))
        assert files(tmp_path) == []
        port = int(server.url.rpartition(":")[2])

    async with (
        serving(port=port, environment=environment) as server,
        httpx.AsyncClient(base_url=server.url, timeout=60) as http,
    ):
        outcome = Outcome()
        behaviour = Behaviour(WITHIN_S * 4, come_back_s=3.0, slow_readers=1)
        playing = asyncio.create_task(play(http, portrait(), behaviour, outcome))
        await until(lambda: outcome.types["frame"] and outcome.types["label"])
        first = server.model_pid()
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await until(lambda: server.model_pid() not in (None, first))
        before = outcome.types.copy()
        await until(lambda: outcome.types["frame"] > before["frame"] and outcome.types["label"] > before["label"])
        second = server.model_pid()
        assert second is not None

        assert await server.terminated() == 0
        async with asyncio.timeout(WITHIN_S):
            await playing
        assert outcome.closed == "The server was stopped."
        assert outcome.n_wrong == 0
        assert gone(second)
