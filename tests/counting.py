"""Work as a count: a cost that neither a slow machine nor other programs on it change."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any


def lines_run(work: Callable[..., object], *args: object, package: str) -> int:
    """The lines of a package's Python that a call runs. What it does in C counts as the line that asks for it."""
    n = 0

    def count(frame: FrameType, event: str, arg: object) -> Callable[..., Any] | None:
        nonlocal n
        n += event == "line"
        return count if f"/{package}/" in frame.f_code.co_filename else None

    before = sys.gettrace()
    sys.settrace(count)
    try:
        work(*args)
    finally:
        sys.settrace(before)
    return n
