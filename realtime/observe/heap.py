"""Gives free memory back to the system where the C library would keep it.

glibc gives each thread that allocates an arena of its own, up to eight for each core, and keeps memory that was freed
in the middle of an arena. A server that opens and ends sessions in many threads therefore grows by memory that nobody
uses. With fewer arenas, trimmed after each session, it stays level (`python -m tests.load --minutes 0 --drops 200`).

A freed block of up to 32 MB also raises the size from which blocks are mapped by themselves. Later ones of that size
lie in arenas, between others that stay, and leave gaps. So the model's process grew by up to 11 MB a second of a
session. With a fixed size it stays level.
Without glibc nothing is done.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

ARENAS = 2
MAPPED_FROM = 4 << 20
"Bytes from which a block is mapped by itself, and given back when it is freed. Smaller ones would cost time."
M_MMAP_THRESHOLD, M_ARENA_MAX = -3, -8
"Parameters of mallopt(3)."


@cache
def _glibc() -> Any:
    """The C library, if it is glibc."""
    try:
        library = ctypes.CDLL(None)
        return library if hasattr(library, "malloc_trim") and hasattr(library, "mallopt") else None
    # It cannot be opened like that on Windows.
    except (OSError, TypeError):
        return None


def limit() -> None:
    """Limit what the C library keeps. To be called before threads begin, because existing arenas stay."""
    if _glibc() is not None:
        _glibc().mallopt(M_ARENA_MAX, ARENAS)
        _glibc().mallopt(M_MMAP_THRESHOLD, MAPPED_FROM)


def trim() -> None:
    """Give free memory back. It takes some milliseconds, during which other threads go on."""
    if _glibc() is not None:
        _glibc().malloc_trim(0)
