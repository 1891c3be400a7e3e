"""The measures of tests/load/footprint.py, on what is known."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.load.footprint import disk_bytes, memory_bytes, processes

ALONE = """\
5000-6000 rw-p 00000000 00:00 0 [heap]
Rss:                 100 kB
Pss:                 {heap} kB
Anonymous:           100 kB
7000-8000 r-xp 00001000 fe:00 77 /lib/torch.so
Rss:                 {code} kB
Pss:                   1 kB
Anonymous:             8 kB
"""


def test_a_file_counts_once_and_what_is_shared_after_a_fork_too() -> None:
    one, other = ALONE.format(heap=50, code=40), ALONE.format(heap=50, code=28)
    # 2 × 50 that they share, 2 × 8 that each wrote into, and 32 of the file.
    assert memory_bytes([one, other]) == (100 + 16 + 32) * 1024
    assert memory_bytes([one]) == (50 + 8 + 32) * 1024


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_what_a_process_takes_is_seen() -> None:
    smaps = Path("/proc/self/smaps")
    memory_bytes([smaps.read_text()])
    before = memory_bytes([smaps.read_text()])
    with mmap.mmap(-1, 32 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as taken:
        # A byte of each page. A whole buffer to write from would stay with the process where malloc keeps it.
        for at in range(0, len(taken), mmap.PAGESIZE):
            taken[at] = 1
        assert memory_bytes([smaps.read_text()]) - before == pytest.approx(32 << 20, abs=8 << 20)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_children_belong_to_it() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert {os.getpid(), child.pid} <= set(processes(os.getpid()))
    finally:
        child.communicate(b"\n")


def test_disk_counts_a_linked_file_once(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_bytes(b"x" * 8192)
    (tmp_path / "b.pyc").write_bytes(b"x" * 4096)
    os.link(tmp_path / "a.py", tmp_path / "c.py")
    assert disk_bytes(tmp_path) == (12_288, 4096)
