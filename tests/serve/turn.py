"""A real relay for tests: coturn, where Debian's package `coturn` is installed."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from aioice.ice import get_host_addresses

from realtime.ingest.settings import IceSettings
from realtime.serve.certificate import own_certificate
from tests.waiting import wait_until

SECRET = "shared with the relay"
STARTS_WITHIN_S = 30.0


@dataclass(frozen=True)
class Relay:
    address: str
    port: int
    tls_port: int
    certificate: Path
    "Its own, which nobody knows who is not told to trust it."
    log: Path

    def ice(self, transport: str = "udp", secret: str = SECRET) -> IceSettings:
        """`transport`: udp, tcp, or tls."""
        if transport == "tls":
            return IceSettings(turn_url=f"turns:{self.address}:{self.tls_port}?transport=tcp", turn_secret=secret)
        return IceSettings(turn_url=f"turn:{self.address}:{self.port}?transport={transport}", turn_secret=secret)


@contextmanager
def coturn(folder: Path) -> Iterator[Relay]:
    """Relays to this machine alone, as `compose.yaml` has it. Skips where there is none, or no network."""
    program = shutil.which("turnserver")
    if program is None:
        pytest.skip("coturn is not installed (Debian: apt-get install coturn)")
    addresses = get_host_addresses(use_ipv4=True, use_ipv6=False)
    if not addresses:
        pytest.skip("this machine has no address but loopback, which WebRTC does not use")
    certificate, key, _ = own_certificate(folder / "tls", frozenset({addresses[0]}))
    with socket.create_server((addresses[0], 0)) as free, socket.create_server((addresses[0], 0)) as free_tls:
        ports = free.getsockname()[1], free_tls.getsockname()[1]
    relay = Relay(addresses[0], *ports, certificate, folder / "relay.log")
    words = (
        *(program, "-n", "--no-cli", "--no-dtls", "--simple-log", "--fingerprint", "--realm=relay.test"),
        *(f"--tls-listening-port={relay.tls_port}", f"--cert={certificate}", f"--pkey={key}"),
        *("--use-auth-secret", f"--static-auth-secret={SECRET}", "--no-multicast-peers"),
        *(f"--listening-ip={relay.address}", f"--relay-ip={relay.address}", f"--listening-port={relay.port}"),
        *("--denied-peer-ip=0.0.0.0-255.255.255.255", f"--allowed-peer-ip={relay.address}"),
        *(f"--log-file={relay.log}", f"--pidfile={folder / 'relay.pid'}", f"--db={folder / 'relay.db'}"),
    )
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _wait_for(relay, process)
            yield relay
        finally:
            process.kill()


def _wait_for(relay: Relay, process: subprocess.Popen[bytes]) -> None:
    def listens() -> bool:
        assert process.poll() is None, relay.log.read_text()
        with suppress(OSError):
            socket.create_connection((relay.address, relay.port), timeout=5).close()
            return True
        return False

    wait_until(listens, "coturn's port", within_s=STARTS_WITHIN_S)
