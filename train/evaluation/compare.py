"""Is B better than A? Paired bootstrap over the samples both answered.

python -m train.evaluate --compare A B      two folders with answers.jsonl; prints one JSON line
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from realtime.errors import RealtimeError
from train.readers.clip import DataMissing


def read_hits(folder: Path) -> dict[str, bool]:
    """Sample key to "answered right". Raises ValueError naming the line that cannot be read."""
    path, hits = folder / "answers.jsonl", {}
    for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
        try:
            row = json.loads(line)
            hits[str(row["key"])] = row["answer"] == row["truth"]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}, line {number}, is no answer; remove it and run that benchmark again.") from error
    return hits


def paired(a_N: np.ndarray, b_N: np.ndarray, *, n_draws: int = 2000, seed: int = 0) -> dict[str, float]:
    """Mean difference B − A with its 95 % interval, and the share of draws in which B is not better."""
    rng, difference_N = np.random.default_rng(seed), b_N.astype(float) - a_N.astype(float)
    n = len(difference_N)
    means = np.array([difference_N[rng.integers(0, n, n)].mean() for _ in range(n_draws)])
    low, high = np.percentile(means, [2.5, 97.5])
    return {
        "n": n,
        "a": float(a_N.mean()),
        "b": float(b_N.mean()),
        "difference": float(difference_N.mean()),
        "low": float(low),
        "high": float(high),
        "not_better": float((means <= 0).mean()),
    }


def compare(a: Path, b: Path) -> dict[str, float]:
    """Raises DataMissing for a folder that is no run, or runs that share no sample."""
    try:
        hits_a, hits_b = read_hits(a), read_hits(b)
    except FileNotFoundError as error:
        raise DataMissing(f"{error.filename} is missing.", "Give two folders that train.evaluate wrote.") from error
    except ValueError as error:
        raise DataMissing(str(error)) from error
    shared = sorted(hits_a.keys() & hits_b.keys())
    if not shared:
        raise DataMissing("The two runs share no sample.", "Compare runs of one benchmark and split.")
    result = paired(np.array([hits_a[key] for key in shared]), np.array([hits_b[key] for key in shared]))
    return result | {"only_in_a": len(hits_a) - len(shared), "only_in_b": len(hits_b) - len(shared)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("a", type=Path)
    parser.add_argument("b", type=Path)
    args = parser.parse_args()
    try:
        print(json.dumps(compare(args.a, args.b)))
    except RealtimeError as error:
        parser.exit(error.exit_code, f"{error}\n")


if __name__ == "__main__":
    main()
