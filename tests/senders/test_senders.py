"""Programs of others that send over WHIP to a real server: both tracks have to arrive, whatever else they offer.

aiortc and a browser have more tests of their own, in `tests/serve` and `tests/browser`.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import wave
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from realtime.records import SAMPLE_RATE_HZ
from realtime.settings import ServerSettings, Settings
from tests.ingest.media_files import room, voice
from tests.serve.live_server import Running, serving, until

HERE = Path(__file__).parent
# `make` puts Node beside Python where the machine has none.
NODE = shutil.which("node", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
SYSTEM_PYTHON = "/usr/bin/python3"
OPERATOR = "the-operators-own-key"
WERIFT = pytest.mark.skipif(
    not (HERE / "node_modules" / "werift").is_dir() or NODE is None,
    reason="werift is not installed; `make test` does it, or: cd tests/senders && npm ci (Node 20.19 or later)",
)


def _has_gstreamer() -> bool:
    """Whether the system's Python has GStreamer with webrtcbin and what it needs."""
    asks = (
        "import gi; gi.require_version('Gst', '1.0'); gi.require_version('GstWebRTC', '1.0');"
        "from gi.repository import Gst, GstWebRTC; Gst.init(None);"
        "assert all(map(Gst.ElementFactory.find, ('webrtcbin', 'nicesrc', 'dtlsenc', 'srtpenc', 'vp8enc', 'opusenc')))"
    )
    try:
        return subprocess.run([SYSTEM_PYTHON, "-I", "-c", asks], capture_output=True, timeout=60).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


@asynccontextmanager
async def program(*command: object) -> AsyncIterator[Process]:
    """A process whose standard output is read, ended with the test."""
    process = await asyncio.create_subprocess_exec(*map(str, command), stdout=PIPE)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def said(process: Process, key: str, within_s: float = 60) -> dict[str, Any]:
    """The next line of the process that has this key."""
    assert process.stdout is not None
    async with asyncio.timeout(within_s):
        while line := await process.stdout.readline():
            if key in (what := json.loads(line)):
                return dict(what)
    raise AssertionError(f"the sender ended without saying {key}")


async def connected(process: Process) -> None:
    while (state := (await said(process, "state"))["state"]) != "connected":
        assert state in ("new", "connecting")


async def arrives(running: Running, path: str, key: str) -> None:
    """Wait until a picture and a finished stretch of speech have come."""
    running.http.headers["Authorization"] = f"Bearer {key}"
    wanted = {"frame", "end"}
    async with running.events(path) as socket:
        while wanted:
            event = (await until(socket, "frame", "speech", within_s=60))[-1]
            wanted -= {event.get("state", event["type"])}


@pytest.fixture(scope="module")
def wav(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A minute of somebody who speaks and pauses."""
    path = tmp_path_factory.mktemp("sound") / "spoken.wav"
    spoken_N = np.concatenate([room(0.6), voice(1.4), room(1.0)] * 20)
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(SAMPLE_RATE_HZ)
        out.writeframes((spoken_N * 32767).astype("<i2").tobytes())
    return path


@WERIFT
@pytest.mark.slow
@pytest.mark.parametrize(
    "extras",
    [(), ("data channel",), ("second camera",), ("receives",), ("data channel", "second camera", "receives")],
    ids=lambda extras: ", ".join(extras) or "two tracks",
)
async def test_werift_connects_and_sends(extras: Sequence[str]) -> None:
    """Field report 10: with a data channel its connection failed, and with a second camera it refused the answer."""
    async with serving() as running:
        url = f"http://127.0.0.1:{running.port}/whip"
        async with program(NODE, HERE / "werift.mjs", url, *extras) as sender:
            ports = await said(sender, "video")
            async with program(sys.executable, "-m", "tests.senders.media", ports["audio"], ports["video"]):
                opened = await said(sender, "location")
                await connected(sender)
                await arrives(running, opened["location"], opened["secret"])
                if "data channel" in extras:
                    # Nothing is read from it, so it does not stay open.
                    assert (await said(sender, "channel"))["channel"] == "closed"


@pytest.mark.slow
@pytest.mark.parametrize("extras", [(), ("data channel",)], ids=lambda extras: ", ".join(extras) or "two tracks")
async def test_gstreamer_connects_and_sends(extras: Sequence[str], wav: Path) -> None:
    if not _has_gstreamer():
        pytest.skip(
            "GStreamer is not installed (on Debian: gstreamer1.0-plugins-good gstreamer1.0-plugins-bad "
            "gstreamer1.0-nice python3-gst-1.0 gir1.2-gst-plugins-bad-1.0)"
        )
    # It shows its secret to nobody, as OBS and FFmpeg do: whoever runs the server reads it by the name it was given.
    async with serving(Settings(server=ServerSettings(operator_token=OPERATOR))) as running:
        url = f"http://127.0.0.1:{running.port}/whip?name=gstreamer"
        async with program(SYSTEM_PYTHON, "-I", HERE / "gstreamer.py", url, wav, *extras) as sender:
            await said(sender, "location")
            await connected(sender)
            await arrives(running, "/sessions/gstreamer", OPERATOR)
