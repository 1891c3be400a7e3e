"""Computes metrics of saved open-vocabulary answers.

    realtime train metrics wheel --wheels FOLDER --predictions FILE --truth FILE

Prints one JSON line: the emotion-wheel metric (both levels), HIT and the set-level score, with the version of the
wheels. FILE is CSV or JSON lines with `name` and `openset` (words, separated by commas).
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from realtime.commands.program_parser import ProgramParser
from realtime.errors import RealtimeError
from train.metrics import wheel


def main() -> None:
    parser = ProgramParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    wheels = commands.add_parser("wheel", help="emotion-wheel metric, HIT and set-level score")
    wheels.add_argument("--wheels", type=Path, required=True, help="folder in the layout of MERTools")
    wheels.add_argument("--predictions", type=Path, required=True)
    wheels.add_argument("--truth", type=Path, required=True)
    args = parser.parse_args()
    try:
        result = wheel.measure(
            wheel.read(args.wheels), wheel.read_words(args.truth), wheel.read_words(args.predictions)
        )
    except RealtimeError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
    print(json.dumps(result, ensure_ascii=False))


if __name__ == "__main__":
    main()
