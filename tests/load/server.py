"""A server as a process of its own, what it holds, and what its metrics say."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

ROOT = Path(__file__).parents[2]
START_WITHIN_S = 180.0
END_WITHIN_S = 60.0
LOOP_DELAY = "emothinker_loop_delay_seconds"


@dataclass
class Server:
    url: str
    program: asyncio.subprocess.Process

    @property
    def process(self) -> psutil.Process:
        return psutil.Process(self.program.pid)

    def model_pid(self) -> int | None:
        """Of the process that has the model; None while there is none."""
        with suppress(psutil.Error):
            for child in self.process.children():
                with suppress(psutil.Error):
                    if "spawn_main" in " ".join(child.cmdline()):
                        return int(child.pid)
        return None

    async def until_ready(self) -> None:
        """Raises RuntimeError if it ends instead."""
        # Its certificate may be one of its own.
        async with httpx.AsyncClient(verify=False) as http, asyncio.timeout(START_WITHIN_S):
            while self.program.returncode is None:
                with suppress(httpx.TransportError):
                    # Its own answer can take some seconds while the model is on its way.
                    if (await http.get(f"{self.url}/readyz", timeout=20)).status_code == 200:
                        return
                await asyncio.sleep(0.1)
        raise RuntimeError(f"the server ended with {self.program.returncode}")

    async def terminated(self) -> int:
        """Ask it to end; its exit code."""
        if self.program.returncode is None:
            self.program.send_signal(signal.SIGTERM)
        async with asyncio.timeout(END_WITHIN_S):
            return await self.program.wait()

    def held(self) -> dict[str, float]:
        """What it and its children hold."""
        held = {"rss_mb": 0.0, "fds": 0.0, "threads": 0.0, "sockets": 0.0, "cpu_s": 0.0}
        for one in (self.process, *self.process.children(recursive=True)):
            # One that is killed at this very moment holds nothing.
            with suppress(psutil.Error):
                held["rss_mb"] += one.memory_info().rss / 1e6
                held["fds"] += one.num_fds()
                held["threads"] += one.num_threads()
                held["sockets"] += len(one.net_connections())
                held["cpu_s"] += sum(one.cpu_times()[:2])
        held["server_rss_mb"] = self.process.memory_info().rss / 1e6
        held |= self._loop()
        return {name: round(value, 2) for name, value in held.items()}

    def _loop(self) -> dict[str, float]:
        """Of the thread of the event loop, so far: on a core, and ready to run but waiting for one. Linux tells."""
        told = Path(f"/proc/{self.program.pid}/task/{self.program.pid}/schedstat")
        if not told.is_file():
            return {}
        on_core_ns, waited_ns, _ = map(int, told.read_text().split())
        return {"loop_cpu_s": on_core_ns / 1e9, "loop_waited_s": waited_ns / 1e9}


@asynccontextmanager
async def serving(
    *arguments: str, port: int = 0, environment: Mapping[str, str] | None = None
) -> AsyncIterator[Server]:
    """`realtime serve` once it is ready. Killed when left, if it has not ended by then."""
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "realtime.cli", "serve", "--port", str(port), *arguments),
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
    )
    try:
        assert program.stdout is not None
        async with asyncio.timeout(START_WITHIN_S):
            said = (await program.stdout.readline()).decode()
        address = re.search(r"https?://\S+", said)
        if address is None:
            raise RuntimeError(f"the server did not start (exit code {await program.wait()})")
        server = Server(address[0], program)
        await server.until_ready()
        yield server
    finally:
        if program.returncode is None:
            program.kill()
            await program.wait()


async def metrics(http: httpx.AsyncClient) -> dict[str, float]:
    """Every sample, by its name with labels."""
    lines = (await http.get("/metrics")).text.splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[:1] != "#")}


def loop_delay_ms(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """What share of the samples between two readings was within a bucket, by the bucket's bound in milliseconds."""
    grown = {name: value - before.get(name, 0.0) for name, value in after.items() if name.startswith(LOOP_DELAY)}
    n_samples = max(grown.get(f"{LOOP_DELAY}_count", 0.0), 1.0)
    bounds_s = {float(found[1]): name for name in grown if (found := re.search(r'le="([0-9.e-]+)"', name))}
    return {f"{1000 * bound_s:g}": round(grown[bounds_s[bound_s]] / n_samples, 4) for bound_s in sorted(bounds_s)}
