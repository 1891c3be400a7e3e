"""Memory that is free goes back to the system, also where the C library would keep it.

glibc gives each thread that allocates an arena of its own, up to eight for each core, and keeps what was freed in the
middle of one. A server that opens and ends sessions in many threads so grows by what nobody uses. Fewer arenas, trimmed
when a session has ended, hold it level (`python -m tests.load --minutes 0 --drops 200`). Elsewhere than on glibc
nothing is done.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

ARENAS = 2
M_ARENA_MAX = -8
"Of mallopt(3)."


@cache
def _glibc() -> Any:
    """The C library, where it is glibc."""
    try:
        library = ctypes.CDLL(None)
        return library if hasattr(library, "malloc_trim") and hasattr(library, "mallopt") else None
    # There is none to open by that name, as on Windows.
    except (OSError, TypeError):
        return None


def few_arenas() -> None:
    """Before threads begin: arenas there are stay."""
    if _glibc() is not None:
        _glibc().mallopt(M_ARENA_MAX, ARENAS)


def trim() -> None:
    """Some milliseconds, during which other threads can go on."""
    if _glibc() is not None:
        _glibc().malloc_trim(0)
