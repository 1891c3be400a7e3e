"""Memory that a session freed goes back to the system. Each program runs by itself: a heap has a history."""

from __future__ import annotations

import subprocess
import sys

import pytest

from realtime.observe import heap

pytestmark = pytest.mark.skipif(heap._glibc() is None, reason="the C library here is not glibc")

TRIMMED = """
import os
from realtime.observe.heap import trim

def rss_bytes():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

held = [bytearray(4000) for _ in range(20_000)]
last = bytearray(4000)  # above what is freed, so glibc keeps that by itself
del held
before = rss_bytes()
trim()
print(before - rss_bytes())
"""
ARENAS = """
import ctypes, sys, threading
from realtime.observe.heap import limit

limit()
at_once = threading.Barrier(8)

def allocate():
    at_once.wait()
    held = [bytearray(4000) for _ in range(100)]
    at_once.wait()

threads = [threading.Thread(target=allocate) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
library = ctypes.CDLL(None)
library.fdopen.restype = ctypes.c_void_p
out = ctypes.c_void_p(library.fdopen(1, b"w"))
library.malloc_info(0, out)
library.fflush(out)
"""


MAPPED = """
import ctypes
from realtime.observe.heap import MAPPED_FROM, limit

LIMIT
library = ctypes.CDLL(None)
library.malloc.restype, library.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
library.free.argtypes = [ctypes.c_void_p]
NAMES = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"

class Usage(ctypes.Structure):  # struct mallinfo2
    _fields_ = [(name, ctypes.c_size_t) for name in NAMES.split()]

library.mallinfo2.restype = Usage
# Freeing one of twice the size makes glibc keep such blocks in its arenas from then on.
library.free(library.malloc(2 * MAPPED_FROM))
before = library.mallinfo2().hblks
block = library.malloc(MAPPED_FROM)
print(library.mallinfo2().hblks - before)
"""


def output(program: str) -> str:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout


def test_freed_memory_goes_back_to_the_system() -> None:
    assert int(output(TRIMMED)) > 50e6


@pytest.mark.skipif(not hasattr(heap._glibc(), "mallinfo2"), reason="glibc tells this from 2.33 on")
def test_large_blocks_are_mapped_by_themselves_whatever_was_freed_before() -> None:
    assert int(output(MAPPED.replace("LIMIT", "limit()"))) == 1
    assert int(output(MAPPED.replace("LIMIT", ""))) == 0


def test_many_threads_share_few_arenas() -> None:
    assert output(ARENAS).count("<heap nr=") <= heap.ARENAS
