"""What leaves the program besides its answers: nothing into the network, no word and no face into the logs.

The real command with the real model, as verbose as it gets; every process of it tells of each address it speaks to.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import ifaddr
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.contrib.media import MediaPlayer
from websockets.asyncio.client import connect

from realtime.ingest.peers import close_peer
from realtime.records import LABELS

pytestmark = pytest.mark.slow

PATIENCE_S = 240.0
ROOT = Path(__file__).parents[2]
QUESTION = "does the pelican mean it?"
LISTENER = """
import os, sys
def tell(event, words):
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = words[1]
    elif event == "socket.getaddrinfo":
        address = words[0]
    else:
        return
    if address is not None:
        file = os.open(os.environ["TOLD"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(file, f"{event} {address!r}\\n".encode())
        os.close(file)
sys.addaudithook(tell)
"""


@asynccontextmanager
async def real_server(folder: Path) -> AsyncIterator[str]:
    """`realtime serve --verbose`; its log goes to `log`, the addresses it speaks to into `told`."""
    # Python imports this module by itself as it starts, in the model's process too.
    (folder / "sitecustomize.py").write_text(LISTENER)
    path = os.pathsep.join([str(folder), str(ROOT), os.environ.get("PYTHONPATH", "")])
    environ = {**os.environ, "PYTHONPATH": path, "TOLD": str(folder / "told")}
    with (folder / "log").open("wb") as log:
        server = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "realtime.cli", "--verbose", "serve", "--port", "0"),
            env=environ,
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
        )
        try:
            assert server.stdout is not None
            async with asyncio.timeout(PATIENCE_S):
                line = (await server.stdout.readline()).decode()
            assert line.startswith("Open "), (folder / "log").read_text()
            yield line.removeprefix("Open ").strip()
        finally:
            server.terminate()
            await server.wait()


async def live_session(url: str, clip: Path) -> tuple[list[dict[str, Any]], str, str]:
    """Events up to the first label, the session's path, and its secret."""
    player, peer = MediaPlayer(str(clip), loop=True), RTCPeerConnection(RTCConfiguration(iceServers=[]))
    assert player.audio is not None
    assert player.video is not None
    peer.addTrack(player.audio)
    peer.addTrack(player.video)
    events: list[dict[str, Any]] = []
    try:
        async with httpx.AsyncClient(base_url=url, timeout=60) as http, asyncio.timeout(PATIENCE_S):
            await peer.setLocalDescription(await peer.createOffer())
            sdp = {"Content-Type": "application/sdp"}
            reply = await http.post("/whip", content=peer.localDescription.sdp, headers=sdp)
            path, secret = reply.headers["location"], reply.headers["session-secret"]
            http.headers["Authorization"] = f"Bearer {secret}"
            await peer.setRemoteDescription(RTCSessionDescription(reply.text, "answer"))
            assert (await http.put(f"{path}/ask", json={"query": QUESTION})).status_code == 200
            ticket = (await http.post(f"{path}/tickets")).json()["ticket"]
            async with connect(f"{url.replace('http', 'ws', 1)}{path}/events?ticket={ticket}") as socket:
                async for line in socket:
                    events.append(json.loads(line))
                    if events[-1]["type"] == "reason.done":
                        await http.delete(path)
    finally:
        await close_peer(peer)
        player.audio.stop()
        player.video.stop()
    return events, path, secret


async def test_a_session_speaks_to_nobody_else_and_is_not_in_the_log(a_recording: Path, tmp_path: Path) -> None:
    async with real_server(tmp_path) as url:
        events, path, secret = await live_session(url, a_recording)
    assert {"frame", "label", "reason.done", "session.closed"} <= {event["type"] for event in events}

    told = (tmp_path / "told").read_text().splitlines()
    assert told, "the listener was not there"
    strangers = {line for line in told if not _is_own(line)}
    assert strangers == set()

    log = (tmp_path / "log").read_text()
    assert "ended after" in log
    for word in (*LABELS, "unsure", "pelican"):
        assert not re.search(rf"\b{word}\b", log), word
    for key in (path.rpartition("/")[2], secret):
        assert key not in log
    for address in _own_addresses() - {"0.0.0.0", "127.0.0.1", "::1"}:
        assert address not in log
    for text in (text for event in events if event["type"] == "reason.done" for text in event["sections"].values()):
        words = text.split()
        for phrase in (" ".join(words[at : at + 3]) for at in range(len(words) - 2)):
            assert phrase not in log, phrase


def _own_addresses() -> set[str]:
    found = {"127.0.0.1", "::1", "0.0.0.0"}
    for adapter in ifaddr.get_adapters():
        found |= {ip.ip if isinstance(ip.ip, str) else ip.ip[0] for ip in adapter.ips}
    return found


def _is_own(line: str) -> bool:
    """Whether what the listener said names a file of this machine or one of its own addresses."""
    found = re.search(r"\('([^']+)', \d+", line) or re.search(r"getaddrinfo '([^']+)'", line)
    if found is None:
        # A path (multiprocessing's own sockets) or nothing.
        return "(" not in line
    host = found[1].partition("%")[0]
    if host in ("localhost", *_own_addresses()):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
