"""What an installation costs: disk, start, a short recording, memory when idle. A line for each; Linux only.

    python -m tests.load.footprint                             # of the environment that runs this
    python -m tests.load.footprint --wheel dist/emothinker-0.1.0-py3-none-any.whl

With `--wheel`, a new environment gets that wheel and what it depends on, with constraints.txt and pip's settings. It is
removed afterwards. A port that is free is taken. Starts are repeated, and the median is told. The files that are read
come from memory wherever the system has kept them: of a machine that was just switched on, the first start is slower.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import venv
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import av

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "realtime/sample/sample.webm"
CLIP_S = 2.0
IDLE_S = 5.0
"After which a server that nobody talks to has done what it does at its start."
STARTED_S = 120.0
MB = 1_000_000
REGION = re.compile(r"^[0-9a-f]+-[0-9a-f]+ \S+ (?P<offset>[0-9a-f]+) (?P<device>\S+) (?P<inode>\d+)")


def memory_bytes(maps: Iterable[str]) -> int:
    """Memory that the processes with these `/proc/PID/smaps` hold, each page counted once.

    Pages of no file are each process's own, or after a fork shared: `Pss` splits those among them. Pages of a file are
    shared by all that map the same part of it, others' processes too, so the most that one of ours holds is counted.
    """
    own = 0
    files: dict[tuple[str, str, str], int] = {}
    for text in maps:
        in_process: dict[tuple[str, str, str], int] = {}
        for region, held in _regions(text):
            if region[1] == "0":
                own += held["Pss"]
            else:
                own += held["Anonymous"]
                in_process[region] = in_process.get(region, 0) + held["Rss"] - held["Anonymous"]
        for region, size in in_process.items():
            files[region] = max(files.get(region, 0), size)
    return (own + sum(files.values())) * 1024


def _regions(smaps: str) -> Iterator[tuple[tuple[str, str, str], dict[str, int]]]:
    """Each mapping: its file, as device, inode and offset, and its figures in KiB."""
    region: tuple[str, str, str] | None = None
    held: dict[str, int] = {}
    for line in smaps.splitlines():
        if begun := REGION.match(line):
            if region is not None:
                yield region, held
            region, held = (begun["device"], begun["inode"], begun["offset"]), {}
        elif line.endswith(" kB"):
            name, value, _ = line.split()
            held[name.rstrip(":")] = int(value)
    if region is not None:
        yield region, held


def processes(first: int) -> list[int]:
    """`first` and all that descend from it."""
    found = [first]
    for pid in found:
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            found += [int(child) for child in children.read_text().split()]
    return found


def disk_bytes(folder: Path) -> tuple[int, int]:
    """Bytes on the disk under `folder`, and those of compiled bytecode in them. A file with two names counts once."""
    seen: set[int] = set()
    total = compiled = 0
    for path in folder.rglob("*"):
        entry = path.lstat()
        if entry.st_ino in seen:
            continue
        seen.add(entry.st_ino)
        total += entry.st_blocks * 512
        compiled += entry.st_blocks * 512 if path.suffix == ".pyc" else 0
    return total, compiled


def clip(to: Path) -> Path:
    """The first two seconds of the sample, as they are in it."""
    with av.open(str(SAMPLE)) as sample, av.open(str(to), "w") as out:
        streams = {stream.index: out.add_stream_from_template(stream) for stream in sample.streams}
        for packet in sample.demux():
            if packet.dts is not None and packet.pts is not None and packet.pts * packet.time_base < CLIP_S:
                packet.stream = streams[packet.stream.index]
                out.mux(packet)
    return to


@contextmanager
def serving(realtime: Path, log: Path) -> Iterator[tuple[int, float]]:
    """A server of its own: its process, and the seconds until it was ready."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    began = time.monotonic()
    with log.open("w") as said:
        server = subprocess.Popen([realtime, "serve", "--port", str(port)], stdout=said, stderr=said)
    try:
        while not _ready(port):
            if server.poll() is not None or time.monotonic() - began > STARTED_S:
                raise SystemExit(f"footprint: the server did not get ready:\n{log.read_text()[-2000:]}")
            time.sleep(0.02)
        yield server.pid, time.monotonic() - began
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(30)


def _ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except urllib.error.HTTPError:
        return False
    except OSError:
        return False


@contextmanager
def environment(wheel: Path | None) -> Iterator[Path]:
    """The environment to look at: one with `wheel` alone, or that of this process."""
    if wheel is None:
        yield Path(sys.prefix)
        return
    with tempfile.TemporaryDirectory(prefix="footprint-") as folder:
        there = Path(folder) / "venv"
        venv.create(there, with_pip=True)
        pip: list[str | Path] = [
            there / "bin/python",
            "-m",
            "pip",
            "install",
            "--quiet",
            "--constraint",
            ROOT / "constraints.txt",
        ]
        subprocess.run([*pip, wheel.resolve()], check=True, cwd=folder)
        yield there


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.load.footprint", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--wheel", type=Path, help="install this one into a new environment and look at that")
    parser.add_argument("--repeats", type=int, default=3, metavar="N", help="starts of each kind (default: 3)")
    chosen = parser.parse_args(words)
    # The clone is no part of what is measured.
    os.environ.pop("PYTHONPATH", None)
    with environment(chosen.wheel) as there, tempfile.TemporaryDirectory() as folder:
        realtime = there / "bin/realtime"
        short = clip(Path(folder) / "clip.webm")
        # The first run compiles what no installer has compiled.
        analyze(realtime, short)
        total, compiled = disk_bytes(there)
        print(f"installed: {total / MB:.0f} MB, {compiled / MB:.0f} MB of it compiled bytecode ({there})", flush=True)
        starts, held = [], []
        for _ in range(chosen.repeats):
            with serving(realtime, Path(folder) / "log") as (pid, ready_s):
                starts.append(ready_s)
                time.sleep(IDLE_S)
                held.append(memory_bytes(Path(f"/proc/{one}/smaps").read_text() for one in processes(pid)))
        print(f"start of serve to /readyz: {told(starts)} s", flush=True)
        print(f"idle memory, each page counted once: {told([size / MB for size in held], 0)} MB", flush=True)
        took = [analyze(realtime, short) for _ in range(chosen.repeats)]
        print(f"analyze of {CLIP_S:g} s: {told(took)} s", flush=True)


def analyze(realtime: Path, recording: Path) -> float:
    """Seconds that the command takes, from its start to its end."""
    began = time.monotonic()
    subprocess.run([realtime, "analyze", recording], check=True, capture_output=True, cwd=recording.parent)
    return time.monotonic() - began


def told(figures: list[float], digits: int = 1) -> str:
    return f"{statistics.median(figures):.{digits}f} ({', '.join(f'{figure:.{digits}f}' for figure in figures)})"


if __name__ == "__main__":
    main()
