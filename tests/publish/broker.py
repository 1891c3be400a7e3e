"""A real MQTT broker for tests: mosquitto, where it is installed."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.waiting import WITHIN_S


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


@contextmanager
def mosquitto(port: int) -> Iterator[None]:
    """A broker that listens on this port of the loopback. Leaving kills it, as when its machine dies."""
    program = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    if program is None:
        pytest.skip("no mosquitto here; on Debian: apt-get install mosquitto")
    # Without a file of settings it listens on the loopback alone, and takes everybody.
    with subprocess.Popen([program, "-p", str(port)], stderr=subprocess.DEVNULL) as running:
        try:
            deadline_s = time.monotonic() + WITHIN_S
            while time.monotonic() < deadline_s:
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.02)
            yield
        finally:
            running.kill()
