"""Work that a session's perception can do beside its own thread.

Perception starts it, goes on, and asks for the result where it needs it. Where nothing runs beside, the work is done
in the same thread when its result is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

T = TypeVar("T")


class Submit(Protocol):
    """Starts some work and returns a function that waits for its result, and raises what the work raised."""

    def __call__(self, work: Callable[[], T], /) -> Callable[[], T]: ...


def run_when_asked(work: Callable[[], T], /) -> Callable[[], T]:
    """A `Submit` that does the work in this thread, when its result is asked for."""
    return work


class Beside:
    """A `Submit` with threads of its own, which end with the process."""

    def __init__(self, name: str, n_threads: int = 1) -> None:
        self._threads = ThreadPoolExecutor(n_threads, name)

    def __call__(self, work: Callable[[], T], /) -> Callable[[], T]:
        return self._threads.submit(work).result
