"""A Ray cluster of two nodes in one machine, and its processes, for tests and commands that kill some of them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "disabled",
    "RAY_SERVE_LOG_TO_STDERR": "0",
    # Ray gives its workers the lowest priority; beside other work on a small machine they would hardly start.
    "RAY_worker_niceness": "0",
    # A minute, its default, is not enough to import torch on a machine that is busy otherwise.
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "180",
    "OMP_NUM_THREADS": "1",
    # What the tests are told to raise for does not concern Ray's processes.
    "PYTHONWARNINGS": "ignore",
}
ATTEMPTS = 3
SMALL = {
    "object_store_memory": 150_000_000,
    # Nothing starts that nobody asks: each of Ray's own processes costs seconds of a small machine.
    "include_log_monitor": False,
    "no_monitor": True,
}


def environment() -> dict[str, str]:
    """For this process and Ray's, which inherit it."""
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    return {**ENVIRONMENT, "PYTHONPATH": paths}


def started(num_cpus: int) -> Any:
    """The nodes. Ray gives each of its own processes 30 s to begin with, which an overloaded machine may not keep."""
    from ray.cluster_utils import Cluster

    attempt = 0
    while True:
        nodes, attempt = Cluster(), attempt + 1
        try:
            nodes.add_node(num_cpus=num_cpus, include_dashboard=False, **SMALL)
            nodes.add_node(num_cpus=num_cpus, **SMALL)
            return nodes
        # Ray raises a bare Exception for this.
        except Exception:
            nodes.shutdown()
            if attempt == ATTEMPTS:
                raise


@contextmanager
def two_nodes(num_cpus: int = 2) -> Iterator[Any]:
    """Two nodes of so many cores, as far as Ray knows; whatever this process made of them ends with them."""
    import ray

    nodes = started(num_cpus)
    try:
        yield nodes
    finally:
        if ray.is_initialized():
            from ray import serve

            serve.shutdown()
            ray.shutdown()
        nodes.shutdown()


def processes(kind: str) -> list[psutil.Process]:
    """Ray's processes below this one with `kind` in their title: they are named by what they run."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if kind in " ".join(process.cmdline()):
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


def wait(reached: Callable[[], object], within_s: float, every_s: float = 0.02) -> bool:
    """Whether it was reached in time."""
    give_up_s = time.monotonic() + within_s
    while not reached():
        if time.monotonic() > give_up_s:
            return False
        time.sleep(every_s)
    return True
