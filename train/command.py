"""What the commands here share: a person's mistake is a sentence, not a traceback."""

from __future__ import annotations

import sys
from collections.abc import Callable

from realtime.errors import RealtimeError


def run_command(main: Callable[[], int | None], name: str) -> None:
    """Exits with `main`'s code where it has one, or with that of the error it raised."""
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
