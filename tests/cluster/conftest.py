"""A Ray cluster of two nodes in one machine, killed in parts by the tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "disabled",
    "RAY_SERVE_LOG_TO_STDERR": "0",
    # Ray gives its workers the lowest priority; beside other work on a small machine they would hardly start.
    "RAY_worker_niceness": "0",
    "OMP_NUM_THREADS": "1",
    # What the tests are told to raise for does not concern Ray's processes.
    "PYTHONWARNINGS": "ignore",
}

ATTEMPTS = 3


@pytest.fixture(scope="package")
def cluster() -> Iterator[Any]:
    """Two nodes of two cores, as far as Ray knows."""
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'emothinker[ray]'")
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**ENVIRONMENT, "PYTHONPATH": paths}.items():
            patch.setenv(name, value)
        nodes = started()
        try:
            yield nodes
        finally:
            if ray.is_initialized():
                from ray import serve

                serve.shutdown()
                ray.shutdown()
            nodes.shutdown()


def started() -> Any:
    """The nodes. Ray gives each of its own processes 30 s to begin with, which an overloaded machine may not keep."""
    from ray.cluster_utils import Cluster

    # Nothing starts that nobody asks: each of Ray's own processes costs seconds of a small machine.
    small = {"num_cpus": 2, "object_store_memory": 150_000_000, "include_log_monitor": False, "no_monitor": True}
    attempt = 0
    while True:
        nodes, attempt = Cluster(), attempt + 1
        try:
            nodes.add_node(include_dashboard=False, **small)
            nodes.add_node(**small)
            return nodes
        # Ray raises a bare Exception for this.
        except Exception:
            nodes.shutdown()
            if attempt == ATTEMPTS:
                raise
