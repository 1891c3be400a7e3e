"""Where a session's events go beside the reader that has them: Lab Streaming Layer, MQTT, Open Sound Control.

A sink takes events in order and passes them on. What it sends to may be slow or gone: it drops then, counts what it
dropped, and never makes the caller wait.
"""

from __future__ import annotations

from typing import Protocol

from realtime.errors import ExtraMissing
from realtime.publish.events import Event


class Sink(Protocol):
    """Passes the events of one session on to programs that speak another protocol."""

    n_dropped: int
    "Events that could not be sent. What waits may still be; after `close` this is final."

    def send(self, event: Event) -> None: ...

    def close(self) -> None:
        """Send what waits, for two seconds at most, and free everything."""


def missing(package: str, extra: str) -> ExtraMissing:
    """The error where a sink's package is not installed."""
    return ExtraMissing(f"--{extra} needs {package}, which is not installed.", f"pip install 'emothinker[{extra}]'")
