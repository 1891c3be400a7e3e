"""Gives free memory back to the system where the C library would keep it.

glibc gives each thread that allocates an arena of its own, up to eight for each core, and keeps memory that was freed
in the middle of an arena. A server that opens and ends sessions in many threads therefore grows by memory that nobody
uses. With fewer arenas, trimmed after each session, it stays level (`python -m tests.load --minutes 0 --drops 200`).
Without glibc nothing is done.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

ARENAS = 2
M_ARENA_MAX = -8
"The parameter of mallopt(3)."


@cache
def _glibc() -> Any:
    """The C library, if it is glibc."""
    try:
        library = ctypes.CDLL(None)
        return library if hasattr(library, "malloc_trim") and hasattr(library, "mallopt") else None
    # It cannot be opened like that on Windows.
    except (OSError, TypeError):
        return None


def few_arenas() -> None:
    """Limit the number of arenas. To be called before threads begin, because existing arenas stay."""
    if _glibc() is not None:
        _glibc().mallopt(M_ARENA_MAX, ARENAS)


def trim() -> None:
    """Give free memory back. It takes some milliseconds, during which other threads go on."""
    if _glibc() is not None:
        _glibc().malloc_trim(0)
