"""An evaluation that was killed goes on where it was."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import wait_until
from train.evaluation.run_folder import read_answers


def test_a_line_cut_in_half_is_answered_again_and_nothing_else_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    assert read_answers(path) == []
    path.write_text('{"key": "1"}\n{"key": "2"}\n{"ke', encoding="utf-8")
    assert [row["key"] for row in read_answers(path)] == ["1", "2"]
    assert path.read_text("utf-8") == '{"key": "1"}\n{"key": "2"}\n'
    assert len(read_answers(path)) == 2


PARENT = """
import multiprocessing, os, signal
from tests.waiting import wait_until
from train.evaluation.run_folder import end_with_parent

def work(pids):
    end_with_parent()
    pids.put(os.getpid())
    signal.pause()

if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    pids = context.Queue()
    context.Process(target=work, args=(pids,)).start()
    print(pids.get(), flush=True)
    signal.pause()
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc, which is Linux's own")
def test_workers_of_a_killed_run_end(tmp_path: Path) -> None:
    """They kept a core's memory each, for ever: their queue never closes, as they hold both of its ends."""
    script = tmp_path / "parent.py"
    script.write_text(PARENT, encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    parent = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True, env=environment)
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    wait_until(lambda: not alive(worker), "the end of the worker, which outlived its parent", within_s=120)


def alive(pid: int) -> bool:
    """A zombie that nobody waits for has ended too."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text("utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return False
