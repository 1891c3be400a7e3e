"""What the commands here share: how they end.

An error is a sentence on stderr and an exit code, not a traceback. Figures are a table on stderr for people and one
line of JSON on stdout for programs.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from realtime.errors import RealtimeError
from realtime.outputs import refuse_empty, write_whole
from train.readers.clip import DataMissing


def run_command(main: Callable[[], int | None], name: str) -> None:
    """Call `main`, and exit with its code, or with that of the error it raised."""
    try:
        refuse_empty(sys.argv[1:])
        code = main()
    except RealtimeError as error:
        print(f"{name}: {error.message}\n{' ' * len(name)}  {error.hint}".rstrip(), file=sys.stderr)
        sys.exit(error.exit_code)
    except FileNotFoundError as error:
        if error.filename is None:
            raise
        print(f"{name}: {error.filename} is missing.", file=sys.stderr)
        sys.exit(DataMissing.exit_code)
    except KeyboardInterrupt:
        print(f"{name}: interrupted; the same command goes on where it was.", file=sys.stderr)
        sys.exit(130)
    if code:
        sys.exit(code)


def tell_result(result: Mapping[str, Any], json_to: Path | None, table: Sequence[str] = ()) -> None:
    """Print the table's lines on stderr and the result as one line of JSON; `json_to` gets that line, too.

    Raises DiskFull or BadSettings where it cannot be written.
    """
    for row in table:
        print(row, file=sys.stderr)
    line = json.dumps(result, ensure_ascii=False)
    print(line, flush=True)
    if json_to is not None:
        with write_whole(json_to) as part:
            part.write_text(line + "\n", encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write the value as JSON for people, whole or not at all. A folder that is not there is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    temporary.replace(path)
