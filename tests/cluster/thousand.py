"""1,000 short clips annotated on a Ray of two nodes while two of its workers are killed: exactly 1,000 records.

    python -m tests.cluster.thousand [--clips 1000]        minutes on two cores; prints one line of JSON

A worker that measures is killed after a tenth of the records, the one that annotates after a third. Exits 1 when a
record is missing, was written twice, or failed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from tests.cluster.nodes import environment, processes, two_nodes, wait
from tests.ingest.media_files import room, voice, write_clip
from train import annotate

PATIENCE_S = 3600.0
DISTINCT = 8
"Clips that are drawn; the others are copies, which costs nothing and is measured like any other."


def draw(folder: Path, n: int) -> list[str]:
    """Their names: 0.8 s each, three pictures and a word's worth of sound."""
    folder.mkdir(parents=True)
    names = [f"{index:05}.mp4" for index in range(n)]
    for index, name in enumerate(names):
        if index < DISTINCT:
            sound_N = np.concatenate([room(0.2, index), voice(0.4), room(0.2, index)])
            write_clip(folder / name, pictures_s=[0.0, 0.3, 0.6], sound_N=sound_N)
        else:
            shutil.copyfile(folder / names[index % DISTINCT], folder / name)
    (folder / "labels.csv").write_text("file,label\n" + "".join(f"{name},neutral\n" for name in names))
    return names


def run(address: str, clips: Path, out: Path, n: int) -> dict[str, Any]:
    """Figures; two workers are killed on the way."""
    path = out / "records.jsonl"

    def written() -> int:
        return path.read_bytes().count(b"\n") if path.exists() else 0

    words = [str(clips), str(out), "--ray", address, "--workers", "2"]
    killed = []
    began_s = time.monotonic()
    with ThreadPoolExecutor(1) as other:
        done = other.submit(annotate.annotate, annotate.parser().parse_args(words))
        for after, kind in ((n // 10, "(Measure)"), (n // 3, "(Annotate)")):
            wait(lambda after=after: done.done() or written() >= after, PATIENCE_S, 0.2)  # type: ignore[misc]
            wait(lambda kind=kind: done.done() or processes(kind), PATIENCE_S, 0.2)  # type: ignore[misc]
            if not done.done():
                processes(kind)[0].kill()
                killed.append({"kind": kind.strip("()"), "at_record": written()})
        code = done.result(timeout=PATIENCE_S)
    seconds = time.monotonic() - began_s
    records = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    keys = Counter(record["key"] for record in records)
    return {
        "clips": n,
        "killed": killed,
        "records": len(records),
        "twice": sum(count > 1 for count in keys.values()),
        "missing": n - len(keys),
        "failed": sum(record["status"] == "failed" for record in records),
        "seconds": round(seconds, 1),
        "clips_per_s": round(n / seconds, 2),
        "exit_code": code,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=1000)
    n = parser.parse_args().clips
    os.environ.update(environment())
    with tempfile.TemporaryDirectory() as name, two_nodes() as nodes:
        work = Path(name)
        draw(work / "clips", n)
        figures = run(nodes.address, work / "clips", work / "out", n)
    print(json.dumps(figures))
    well = figures["records"] == n and not (figures["twice"] or figures["missing"] or figures["failed"])
    return 0 if well and len(figures["killed"]) == 2 and figures["exit_code"] == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
