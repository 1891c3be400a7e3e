"""Silences native libraries that write to the terminal while they load."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator


@contextlib.contextmanager
def quiet_native_logs() -> Iterator[None]:
    """Discard what is written to file descriptor 2 inside the block.

    MediaPipe 0.10.21 logs through absl before absl reads any setting, so `GLOG_minloglevel` comes too late; its ten
    lines of start-up chatter would hide our own messages. Python's exceptions pass as usual.
    """
    os.environ.setdefault("GLOG_minloglevel", "2")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(nowhere)
        os.close(kept)
