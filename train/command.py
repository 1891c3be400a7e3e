"""What the commands here share: an error ends in a sentence on stderr and an exit code, not in a traceback."""

from __future__ import annotations

import sys
from collections.abc import Callable

from realtime.errors import RealtimeError


def run_command(main: Callable[[], int | None], name: str) -> None:
    """Call `main`, and exit with its code, or with that of the error it raised."""
    try:
        code = main()
    except RealtimeError as error:
        print(f"{name}: {error.message}\n{' ' * len(name)}  {error.hint}".rstrip(), file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print(f"{name}: interrupted; the same command goes on where it was.", file=sys.stderr)
        sys.exit(130)
    if code:
        sys.exit(code)
