"""The proxies of `examples/proxy`, as they are written there but for their ports, in front of a real server."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from realtime.settings import ServerSettings, Settings
from tests.serve.certificates import self_signed
from tests.serve.live_server import SDP, sender, serving, until

EXAMPLES = Path(__file__).parents[2] / "examples" / "proxy"
# Debian keeps servers where a plain user's PATH does not look.
PLACES = f"{os.environ.get('PATH', os.defpath)}{os.pathsep}/usr/local/sbin{os.pathsep}/usr/sbin"
pytestmark = pytest.mark.slow


def nginx(folder: Path, port: int, server_port: int) -> list[str]:
    """Its arguments."""
    certificate, key = self_signed(folder)
    site = (
        (EXAMPLES / "nginx.conf")
        .read_text()
        .replace("listen 443", f"listen 127.0.0.1:{port}")
        .replace("lab.example;", "localhost;", 1)
        .replace("/etc/ssl/lab.example.pem", str(certificate))
        .replace("/etc/ssl/lab.example.key", str(key))
        .replace(":8080;", f":{server_port};")
    )
    temporary = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in ("proxy", "fastcgi", "uwsgi", "scgi"))
    (folder / "main.conf").write_text(
        f"daemon off; user root; pid {folder}/pid; error_log stderr; events {{}} "
        f"http {{ access_log off; client_body_temp_path {folder}/body; {temporary} {site} }}"
    )
    return ["-e", "stderr", "-p", str(folder), "-c", str(folder / "main.conf")]


def caddy(folder: Path, port: int, server_port: int) -> list[str]:
    """Its arguments."""
    certificate, key = self_signed(folder)
    site = (
        (EXAMPLES / "Caddyfile")
        .read_text()
        .replace("\nlab.example {", f"\nhttps://localhost:{port} {{\n\ttls {certificate} {key}")
        .replace(":8080\n", f":{server_port}\n", 1 + 1)
    )
    head, _, rest = site.partition("\nhttps://")
    (folder / "Caddyfile").write_text(f"{{\n\tadmin off\n\tauto_https disable_redirects\n}}\n{head}\nhttps://{rest}")
    return ["run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


@asynccontextmanager
async def running(command: list[str], port: int) -> AsyncIterator[None]:
    program = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    try:
        async with asyncio.timeout(60):
            while True:
                assert program.returncode is None, (await program.stderr.read()).decode() if program.stderr else ""
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    await asyncio.sleep(0.05)
                else:
                    writer.close()
                    break
        yield
    finally:
        if program.returncode is None:
            program.terminate()
        await program.communicate()


@pytest.mark.example("nginx.conf", "Caddyfile")
@pytest.mark.parametrize("make", [nginx, caddy])
async def test_the_page_whip_and_events_pass_through(
    make: Callable[[Path, int, int], list[str]], tmp_path: Path
) -> None:
    program = shutil.which(make.__name__, path=PLACES)
    if program is None:
        pytest.skip(f"There is no {make.__name__} here. On Debian: apt-get install {make.__name__}")
    port = free_port()
    address = f"https://localhost:{port}"
    settings = Settings(server=ServerSettings(public_url=f"{address}/emo"))
    async with serving(settings) as server, sender(audio=False) as peer:
        command = [program, *make(tmp_path, port, server.port)]
        trusted = ssl.create_default_context(cafile=tmp_path / "cert.pem")
        async with running(command, port), httpx.AsyncClient(base_url=address, verify=trusted, timeout=30) as http:
            assert (await http.get("/emo", follow_redirects=True)).url.path == "/emo/"
            assert (await http.get("/emo/healthz")).json() == {"status": "alive"}
            server.http.headers["Origin"] = http.headers["Origin"] = address
            server.http = http
            path = await server.whip(peer, at="/emo/whip")
            assert path.startswith("/emo/sessions/")
            ticket = (await http.post(f"{path}/tickets")).json()["ticket"]
            events = f"wss://localhost:{port}{path}/events?ticket="
            async with connect(events + ticket, ssl=trusted, origin=address) as reading:  # type: ignore[arg-type]
                await until(reading, "frame")
            foreign = await http.post("/emo/whip", headers={**SDP, "Origin": "https://elsewhere.example"})
            assert foreign.status_code == 403
            with pytest.raises(InvalidStatus) as refused:
                async with connect(events, ssl=trusted, origin="https://elsewhere.example"):  # type: ignore[arg-type]
                    pass
            assert refused.value.response.status_code == 403
            assert (await http.delete(path)).status_code == 200
