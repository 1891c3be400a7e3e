"""Training under Ray Train: a worker is killed in the middle, and the curve is that of one process nobody killed."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ray", reason="Ray is not installed: pip install 'emothinker[ray]'")

from realtime.errors import BadSettings
from tests.cluster.nodes import ROOT, processes, wait
from train import annotate
from train.tuning import on_ray, tiny

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.long,
    # Ray Data's own, of its own settings.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
]
PATIENCE_S = 240.0
CHANCES = 3
"A run that ends before its worker was killed proves nothing, and is done again."


@pytest.fixture
def _leaves_the_cluster() -> Iterator[None]:
    """The command ends with its process; here it must not stay connected for the tests after it."""
    import ray

    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small random model and two annotated clips that are drawn."""
    path = tmp_path_factory.mktemp("train")
    tiny.write_model(path / "model")
    clips = tiny.write_clips(path / "clips", n=2)
    assert annotate.annotate(annotate.parser().parse_args([str(clips), str(path / "coet")])) == 0
    return path


def flags(work: Path, out: Path, *, accumulate: int) -> list[str]:
    return [
        *(str(work / "coet"), "--model", str(work / "model"), "--out", str(out), "--cache", str(work / "windows")),
        *("--cpu", "--accumulate", str(accumulate), "--steps", "6", "--save-steps", "2", "--keep", "9"),
        *("--log-steps", "1", "--merger-lr", "0"),
    ]


def newest_checkpoint(folder: Path) -> Path | None:
    # Here, for its module imports the Trainer of transformers, and collecting tests would take seconds longer.
    from train.tuning import run

    return run.newest_checkpoint(folder)


def curve(out: Path) -> list[float]:
    state = json.loads((out / "checkpoints" / "checkpoint-6" / "trainer_state.json").read_text())
    return [line["loss"] for line in state["log_history"] if "loss" in line]


def options(address: str, workers: str, *words: str) -> argparse.Namespace:
    # Beside the replicas that other tests left there.
    mine = ["--address", address, "--workers", workers, "--worker-cpus", "0.25"]
    return on_ray.parser().parse_args([*mine, "train.lora", *words])


@pytest.mark.usefixtures("_leaves_the_cluster")
def test_a_killed_worker_costs_a_restart_and_leaves_the_curve_of_one_process_alone(
    cluster: Any, work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two workers do in a step what one does with twice the windows, before and after one of them was killed."""
    alone, out = tmp_path / "alone", tmp_path / "two"
    command = [sys.executable, "-m", "train.lora", *flags(work, alone, accumulate=8)]
    with ThreadPoolExecutor(1) as other:
        for _ in range(CHANCES):
            done = other.submit(on_ray.train, options(cluster.address, "2", *flags(work, out, accumulate=4)))
            wait(lambda: done.done() or newest_checkpoint(out / "checkpoints"), PATIENCE_S)  # noqa: B023
            if not done.done() and (found := processes("RayTrainWorker")):
                found[-1].kill()
            assert done.result(timeout=PATIENCE_S) == 0
            if "A worker was lost" in capsys.readouterr().err:
                break
            shutil.rmtree(out)
    reference = subprocess.run(command, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False)
    assert reference.returncode == 0
    described = json.loads((out / "run.json").read_text())
    assert described["n_processes"] == 2
    assert described["result"]["resumed_from"] in ("checkpoint-2", "checkpoint-4")
    assert curve(out) == pytest.approx(curve(alone), rel=1e-4)
    assert len(curve(out)) == 6


@pytest.mark.usefixtures("_leaves_the_cluster")
def test_a_mistake_is_told_by_name_and_not_tried_again(cluster: Any, work: Path, tmp_path: Path) -> None:
    words = flags(work, tmp_path, accumulate=1)
    with pytest.raises(BadSettings, match="99 workers are the fewest"):
        on_ray.train(options(cluster.address, "99", *words))
    words[0] = str(tmp_path / "nothing")
    with pytest.raises(BadSettings, match="There is no"):
        on_ray.train(options(cluster.address, "1", *words))


def test_a_step_has_the_same_windows_in_whatever_number_of_processes() -> None:
    one_core = argparse.Namespace(gpu=False, worker_cpus=1.0)
    assert [on_ray.size((2, 8), 32, there, one_core) for there in (2, 3, 4, 7, 8, 99)] == [2, 2, 4, 4, 8, 8]
    with pytest.raises(BadSettings, match="room for 1"):
        on_ray.size((2, 8), 32, 1, one_core)


def test_a_checkpoint_that_was_not_written_to_its_end_is_passed_over(tmp_path: Path) -> None:
    assert newest_checkpoint(tmp_path) is None
    for step, text in ((9, '{"global_step": 9}'), (10, '{"global_step": 10}'), (11, '{"glob'), (12, None)):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        if text is not None:
            (folder / "trainer_state.json").write_text(text)
    assert newest_checkpoint(tmp_path) == tmp_path / "checkpoint-10"
