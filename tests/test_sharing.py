"""Files that share what is dear to make are run by one process, and what takes longest begins first."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.sharing import FOLDERS, LONGEST, pytest_xdist_make_scheduler, unit_of_work

ROOT = Path(__file__).parents[1]


class Worker:
    """Stands for a process of xdist; `given` are the tests that it was told to run."""

    def __init__(self, collected: list[str]) -> None:
        self.gateway, self.config, self.shutting_down = SimpleNamespace(id="w"), SimpleNamespace(rootpath=ROOT), False
        self._collected = collected
        self.given: list[str] = []

    def send_runtest_some(self, indices: list[int]) -> None:
        self.given += [self._collected[index] for index in indices]

    def shutdown(self) -> None:
        self.shutting_down = True


def test_the_named_files_are_there() -> None:
    assert all((ROOT / name).exists() for name in (*FOLDERS, *LONGEST))


def test_a_file_is_a_unit_and_so_is_a_folder_that_shares() -> None:
    assert unit_of_work("tests/serve/test_app.py::test_a[b::c]") == "tests/serve/test_app.py"
    assert unit_of_work("tests/export/test_onnx.py::test_a") == unit_of_work("tests/export/test_trt.py::test_b")


def test_exports_go_to_one_process_and_the_longest_begin() -> None:
    pytest.importorskip("xdist")
    counts = {
        "serve/test_hume.py": 5, "export/test_nano.py": 1, "load/test_faults.py": 1, "export/test_onnx.py": 2,
        "test_docs.py": 3,
    }  # fmt: skip
    collected = [f"tests/{file}::test_{number}" for file, n in counts.items() for number in range(n)]
    options = {"dist": "loadfile", "tx": ["popen", "popen"]}
    config = SimpleNamespace(getvalue=options.__getitem__, option=SimpleNamespace(loadscopereorder=True))
    scheduler: Any = pytest_xdist_make_scheduler(config, None)  # type: ignore[arg-type]
    workers = [Worker(collected), Worker(collected)]
    for worker in workers:
        scheduler.add_node(worker)
    for worker in workers:
        scheduler.add_node_collection(worker, collected)
    scheduler.schedule()
    first, second = ([unit_of_work(nodeid) for nodeid in worker.given] for worker in workers)
    assert first == ["tests/export/"] * 3
    # It has one test, and what has the most tests comes after it.
    assert second == ["tests/load/test_faults.py", *["tests/serve/test_hume.py"] * 5]
