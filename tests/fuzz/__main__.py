"""Generated input at every door: what is refused is refused by name, and nothing else comes out.

    python -m tests.fuzz                                  100,000 inputs over all doors; most of an hour on two cores
    python -m tests.fuzz --done FILE                      the same; called again, it goes on where it was interrupted
    python -m tests.fuzz --inputs 5000 --door offer       one door
    python -m tests.fuzz --atheris 600 --door offer       ten minutes guided by coverage (pip install -e '.[fuzz]')

The inputs come in parts of 250, each with a seed of its own. Prints a table; the smallest input that breaks a door,
with its traceback; and one JSON line. Exits 1 when a door broke. The HTTP interface as `/openapi.json` describes it:
`bash tests/fuzz/schemathesis.sh`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import logging
import random
import resource
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FunctionType
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.fuzz.application import REQUESTS, behind
from tests.fuzz.doors import DOORS, Door

MAX_GUIDED_BYTES = 8_192
PART = 250
"Inputs of one part: what hypothesis remembers to try nothing twice makes long runs slower with each input."


@dataclass(frozen=True)
class Part:
    """So many inputs for one door, the same ones for the same seed."""

    door: str
    seed: int
    inputs: int


@dataclass(frozen=True)
class Outcome:
    tried: int
    seconds: float
    trouble: str
    "What came out of the smallest input that broke the door, if any did."


def parts(doors: Mapping[str, Door], n_inputs: int) -> Iterator[Part]:
    """All of them, the doors in turn: whenever it is interrupted, each door has had about its share."""
    of = sum(door.share for door in doors.values())
    left = {name: max(1, n_inputs * door.share // of) for name, door in doors.items()}
    for number in itertools.count():
        for name, n_left in left.items():
            if n_left > number * PART:
                yield Part(name, number, min(PART, n_left - number * PART))
        if all(n_left <= (number + 1) * PART for n_left in left.values()):
            return


def attack(door: Door, part: Part) -> Outcome:
    n_tried, began_s = 0, time.monotonic()

    @seed(part.seed)
    @settings(
        max_examples=part.inputs,
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

    trouble = ""
    try:
        enter()
    # Whatever comes out is what we look for; hypothesis has shrunk it by now.
    except Exception:
        trouble = traceback.format_exc()
    return Outcome(n_tried, round(time.monotonic() - began_s, 1), trouble)


def guided(door: Door, seconds: int) -> None:
    """Inputs that atheris mutates towards code not reached yet. Ends the process; a crash is in `crash-…`."""
    import atheris

    @settings(deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(door.values)
    def generated(value: Any) -> None:
        door.try_(value)

    # hypothesis sets it on what it wraps, which its annotations do not say.
    whole = generated.hypothesis.fuzz_one_input  # type: ignore[attr-defined]

    def plain(data: bytes) -> None:
        assert door.raw is not None
        door.try_(door.raw.read(data))

    # What hypothesis makes of fewer bytes is given up before it is whole.
    begin = random.Random(0).randbytes(MAX_GUIDED_BYTES) if door.raw is None else door.raw.seed
    corpus = Path(tempfile.mkdtemp(prefix="fuzz-"))
    (corpus / "seed").write_bytes(begin)
    for function in _functions():
        atheris.instrument_func(function)
    limits = [f"-max_total_time={seconds}", f"-max_len={MAX_GUIDED_BYTES}", "-len_control=0", str(corpus)]
    atheris.Setup([sys.argv[0], *limits], whole if door.raw is None else plain)
    atheris.Fuzz()


def _functions() -> Iterator[FunctionType]:
    """Ours, and those that read an offer for us. All there are would be 50,000, most of them torch's."""
    for name, module in list(sys.modules.items()):
        if not name.startswith(("realtime.", "aiortc.sdp", "tomllib")):
            continue
        holders = [module, *(each for each in vars(module).values() if isinstance(each, type))]
        for holder in holders:
            for each in vars(holder).values():
                if isinstance(each, FunctionType) and each.__module__ == name:
                    yield each


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Generated input at every door.")
    parser.add_argument("--inputs", type=int, default=100_000, metavar="N", help="over all doors, or for the one named")
    parser.add_argument("--door", choices=(*DOORS, "http"))
    parser.add_argument("--done", type=Path, metavar="FILE", help="keep there which parts are done, and leave them out")
    parser.add_argument("--atheris", type=int, metavar="SECONDS", help="let coverage guide, at one door")
    options = parser.parse_args(words)
    # Refusals are logged; a hundred thousand of them are not worth reading.
    logging.disable(logging.ERROR)
    with ExitStack() as stack:
        doors = dict(DOORS)
        if options.door in (None, "http"):
            doors["http"] = Door(REQUESTS, stack.enter_context(behind()).enter, 5)
        if options.atheris:
            guided(doors[options.door or "offer"], options.atheris)
        chosen = {name: door for name, door in doors.items() if options.door in (None, name)}
        return _report(chosen, _tried(chosen, options.inputs, options.done))


def _tried(doors: Mapping[str, Door], n_inputs: int, file: Path | None) -> Iterator[tuple[Part, Outcome]]:
    """Every part with its outcome, those that `file` knows to have held first."""
    known: dict[Part, Outcome] = {}
    if file is not None and file.is_file():
        for line in file.read_text(encoding="utf-8").splitlines():
            kept = json.loads(line)
            known[Part(**kept["part"])] = Outcome(**kept["outcome"])
    wanted = list(parts(doors, n_inputs))
    yield from ((part, known[part]) for part in wanted if part in known)
    for part in wanted:
        if part in known:
            continue
        outcome = attack(doors[part.door], part)
        if file is not None and not outcome.trouble:
            with file.open("a", encoding="utf-8") as out:
                out.write(json.dumps({"part": asdict(part), "outcome": asdict(outcome)}) + "\n")
        yield part, outcome


def _report(doors: Mapping[str, Door], outcomes: Iterable[tuple[Part, Outcome]]) -> int:
    n_tried: Counter[str] = Counter()
    seconds: dict[str, float] = dict.fromkeys(doors, 0.0)
    broken: set[str] = set()
    for part, outcome in outcomes:
        n_tried[part.door] += outcome.tried
        seconds[part.door] += outcome.seconds
        print(f"\r{n_tried.total()} inputs", end="", file=sys.stderr, flush=True)
        if outcome.trouble:
            broken.add(part.door)
            print(f"{part}\n{outcome.trouble}", flush=True)
    print(file=sys.stderr)
    for name in doors:
        print(f"{name:<12} {n_tried[name]:>7} inputs {seconds[name]:>8.1f} s  {'BROKEN' if name in broken else 'held'}")
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    told = {"inputs": n_tried.total(), "doors": list(doors), "broken": sorted(broken), "peak_rss_mb": round(peak_mb)}
    print(json.dumps(told))
    return int(bool(broken))


if __name__ == "__main__":
    sys.exit(main())
