"""What the commands here share: a mistake ends in one line on stderr and an exit code, not in a traceback."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from export.folder import no_space
from realtime.errors import RealtimeError


def run(name: str, work: Callable[[], int]) -> int:
    """Call `work`. Returns its exit code, or that of the error it raised."""
    try:
        return work()
    except RealtimeError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        # A path that cannot be read or written: a file in place of a folder, no permission, a full disk.
        full = no_space(error)
        told = str(full) if full else f"{error.filename or 'a file'}: {error.strerror or error}. Name another place."
        print(f"{name}: {told}", file=sys.stderr)
        return full.exit_code if full else 1


def positive(text: str) -> int:
    """An argparse type: an integer from 1 on."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 on")
    return value
