"""Analyse a recording and use its events as dictionaries while they come.

python examples/analyze_file.py talk.mp4
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any


def events(file: str) -> Iterator[dict[str, Any]]:
    """The events of `realtime analyze`, one for each line that it prints."""
    command = [sys.executable, "-m", "realtime.cli", "analyze", file]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        yield from map(json.loads, program.stdout)
    if program.returncode:
        sys.exit(program.returncode)


for event in events(sys.argv[1]):
    match event["type"]:
        case "label":
            percent = 100 * event["probabilities"].get(event["label"], 0)
            print(f"{event['t']:7.2f} s  {event['source']:5}  {event['label']}  {percent:.0f} %")
        case "reason.done":
            print(event["sections"]["fine"])
