"""Generated input at every door: what is refused is refused by name, and nothing else comes out.

    python -m tests.fuzz                                  100,000 inputs over all doors; most of an hour on two cores
    python -m tests.fuzz --inputs 5000 --door offer       one door
    python -m tests.fuzz --atheris 600 --door offer       ten minutes guided by coverage (pip install -e '.[fuzz]')

Prints a table; the smallest input that breaks a door, with its traceback; and one JSON line. Exits 1 when a door broke.
The HTTP interface as `/openapi.json` describes it: `bash tests/fuzz/schemathesis.sh`.
"""

from __future__ import annotations

import argparse
import json
import logging
import resource
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import SearchStrategy

from tests.fuzz.application import REQUESTS, behind
from tests.fuzz.doors import DOORS, Door


def attack(door: Door, n_inputs: int) -> tuple[int, str]:
    """How many inputs were tried, and what came out of the smallest one that broke it, if any."""
    n_tried = 0

    @settings(
        max_examples=n_inputs,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(door.values)
    def enter(value: Any) -> None:
        nonlocal n_tried
        n_tried += 1
        door.try_(value)

    try:
        enter()
    # Whatever comes out is what we look for; hypothesis has shrunk it by now.
    except Exception:
        return n_tried, traceback.format_exc()
    return n_tried, ""


def guided(values: SearchStrategy[Any], enter: Callable[[Any], None], seconds: int) -> None:
    """Inputs that atheris mutates towards code not reached yet. Ends the process; a crash is in `crash-…`."""
    import atheris

    @settings(deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(values)
    def try_(value: Any) -> None:
        enter(value)

    atheris.instrument_all()
    atheris.Setup([sys.argv[0], f"-max_total_time={seconds}"], try_.hypothesis.fuzz_one_input)
    atheris.Fuzz()


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Generated input at every door.")
    parser.add_argument("--inputs", type=int, default=100_000, metavar="N", help="over all doors, or for the one named")
    parser.add_argument("--door", choices=(*DOORS, "http"))
    parser.add_argument("--atheris", type=int, metavar="SECONDS", help="let coverage guide, at one door")
    options = parser.parse_args(words)
    # Refusals are logged; a hundred thousand of them are not worth reading.
    logging.disable(logging.ERROR)
    with ExitStack() as stack:
        doors = dict(DOORS)
        if options.door in (None, "http"):
            doors["http"] = Door(REQUESTS, stack.enter_context(behind()).enter, 5)
        if options.atheris:
            door = doors[options.door or "offer"]
            guided(door.values, door.try_, options.atheris)
        chosen = {name: door for name, door in doors.items() if options.door in (None, name)}
        return _report(chosen, options.inputs)


def _report(doors: dict[str, Door], n_inputs: int) -> int:
    n_tried_all, broken = 0, []
    of = sum(door.share for door in doors.values())
    for name, door in doors.items():
        began_s = time.monotonic()
        n_tried, trouble = attack(door, max(1, n_inputs * door.share // of))
        n_tried_all += n_tried
        if trouble:
            broken.append(name)
        print(f"{name:<12} {n_tried:>7} inputs {time.monotonic() - began_s:>8.1f} s  {'BROKEN' if trouble else 'held'}")
        print(trouble, end="", flush=True)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"inputs": n_tried_all, "doors": list(doors), "broken": broken, "peak_rss_mb": round(peak_mb)}))
    return int(bool(broken))


if __name__ == "__main__":
    sys.exit(main())
