"""Run a training program under Ray Train, with the same flags and the same loss curve as under torchrun.

    torchrun --nproc-per-node 4 -m train.lora FLAGS
    realtime train tuning.on_ray --workers 4 [--address A] [--gpu] train.lora FLAGS
    realtime train tuning.on_ray --workers 2:4 [--address A] [--gpu] train.lora FLAGS      as many as fit

Ray Train starts the workers, sets RANK, WORLD_SIZE and the other variables that torchrun sets, and opens the process
group. Each worker calls the program's `main`. When a worker or its node dies, all workers are started again, at most
`--failures` times, and continue from the newest complete checkpoint in OUT. Every node has to see OUT and the records.

With a range of workers the run does not wait for a lost node; the others do its share. A step takes the same windows
whatever the number of processes, so its loss stays the same (`--accumulate` holds for the largest number). A number
that does not divide the windows of a step is not used.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from realtime.cluster import connect
from realtime.commands.program_parser import ProgramParser
from realtime.errors import BadSettings, RealtimeError
from train.command import run_command

PROGRAMS = ("train.lora", "train.warmup")
ANSWER_S = 90.0
"How long a node may take to start a process and answer."


class TrainingLost(RealtimeError):
    """Workers died more often than `--failures` allows. The same command continues from the newest checkpoint."""


def worker(run: Mapping[str, Any]) -> None:
    """One process of the group. It does what `python -m PROGRAM FLAGS` does under torchrun."""
    from ray.train import get_context

    # Ray Train starts in a folder of its own, but paths in the flags are relative to the caller's.
    if Path(run["folder"]).is_dir():
        os.chdir(run["folder"])
    share = run["windows_per_step"] // get_context().get_world_size()
    importlib.import_module(run["program"]).main([*run["flags"], "--accumulate", str(share)])


def train(options: argparse.Namespace) -> int:
    """Run the program to its end. Raises BadSettings, TrainingLost, and what the program raises for wrong input."""
    # The program's flags are parsed here first, so that a wrong one is reported before anything is started.
    flags = importlib.import_module(options.program).parse(options.flags)
    connect.join(options.address)
    run = {
        "program": options.program,
        "flags": list(options.flags),
        "folder": str(Path.cwd()),
        "windows_per_step": options.workers[1] * flags.accumulate,
    }
    for left in reversed(range(max(0, options.failures) + 1)):
        if attempt(options, run, flags.out.resolve(), left):
            break
    described = json.loads((flags.out / "run.json").read_text(encoding="utf-8"))
    print(
        f"{flags.out}: {json.dumps(described['result'])}, {described['n_processes']} processes at the end", flush=True
    )
    return 0


def attempt(options: argparse.Namespace, run: Mapping[str, Any], out: Path, left: int) -> bool:
    """Whether one attempt ended well. Ray Train could retry by itself, but would also retry after wrong input."""
    from ray.train import FailureConfig, RunConfig, ScalingConfig, TrainingFailedError
    from ray.train.torch import TorchTrainer

    n_workers = size(options.workers, run["windows_per_step"], room(options), options)
    trainer = TorchTrainer(
        worker,
        train_loop_config=dict(run),
        scaling_config=ScalingConfig(
            num_workers=n_workers,
            use_gpu=options.gpu,
            resources_per_worker=None if options.gpu else {"CPU": options.worker_cpus},
        ),
        # Ray Train keeps its state beside the checkpoints, and checks there that every node sees the folder. A group
        # that does not start counts as lost too, because there may be less room by now.
        run_config=RunConfig(
            name="ray", storage_path=str(out), failure_config=FailureConfig(controller_failure_limit=0)
        ),
    )
    try:
        trainer.fit()
        return True
    except TrainingFailedError as error:
        causes = [getattr(cause, "_base_exc", cause) for cause in getattr(error, "worker_failures", {}).values()]
        for cause in causes:
            if isinstance(cause, RealtimeError):
                raise cause from None
        said = connect.last_line(str(causes[0] if causes else error))
        if left == 0:
            raise TrainingLost(
                f"Workers were lost more often than --failures {options.failures}; the last time: {said}",
                "The same command goes on from the newest checkpoint; Ray's logs are in /tmp/ray/session_latest/logs.",
            ) from error
        print(f"A worker was lost ({said}); on from the newest checkpoint, {left} times more.", file=sys.stderr)
        return False


def size(workers: tuple[int, int], windows: int, there: int, options: argparse.Namespace) -> int:
    """The largest number of workers that the cluster has room for and that divides a step's windows.

    Raises BadSettings when there is room for too few: Ray would wait for ever.
    """
    least, most = workers
    fitting = [n for n in range(least, min(most, there) + 1) if windows % n == 0]
    if not fitting:
        shared = next(n for n in range(least, most + 1) if windows % n == 0)
        kind = "GPU" if options.gpu else f"times {options.worker_cpus:g} cores"
        raise BadSettings(
            f"{shared} workers are the fewest that share {windows} windows a step; the cluster has room for {there} "
            f"({kind} each).",
            "Ask for fewer --workers, or add nodes.",
        )
    return fitting[-1]


def room(options: argparse.Namespace) -> int:
    """How many workers fit on the nodes that answer.

    Ray lists a lost node as alive for another half minute, and would wait for workers on it.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    kind, each = ("GPU", 1.0) if options.gpu else ("CPU", options.worker_cpus)
    answer = ray.remote(num_cpus=0, max_retries=0)(_answer)
    asked = {}
    for node in ray.nodes():
        if node["Alive"]:
            there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            asked[answer.options(scheduling_strategy=there).remote()] = int(node["Resources"].get(kind, 0.0) / each)
    # The task on a lost node fails as soon as Ray knows of the loss, so the timeout is seldom reached.
    ready, _ = ray.wait(list(asked), num_returns=len(asked), timeout=ANSWER_S)
    return sum(asked[one] for one in ready if _answered(one))


def _answer() -> None:
    pass


def _answered(asked: Any) -> bool:
    import ray

    try:
        ray.get(asked)
    except ray.exceptions.RayError:
        return False
    return True


def _range(text: str) -> tuple[int, int]:
    least, _, most = text.partition(":")
    n_least, n_most = int(least), int(most or least)
    if not 1 <= n_least <= n_most:
        raise ValueError(text)
    return n_least, n_most


_range.__name__ = "number of workers (N or LEAST:MOST)"


def parser() -> argparse.ArgumentParser:
    args = ProgramParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--address", default="auto", help="of the cluster: HOST:PORT, auto (default), or local")
    args.add_argument("--workers", type=_range, default=(2, 2), metavar="N|LEAST:MOST", help="processes (default: 2)")
    args.add_argument("--worker-cpus", type=float, default=1.0, help="cores of each, without --gpu (default: 1)")
    args.add_argument("--gpu", action="store_true", help="one GPU each")
    args.add_argument("--failures", type=int, default=3, help="restarts from the newest checkpoint (default: 3)")
    args.add_argument("program", choices=PROGRAMS)
    args.add_argument("flags", nargs=argparse.REMAINDER, metavar="FLAGS", help="of that program, as they are")
    return args


def main() -> int:
    return train(parser().parse_args())


if __name__ == "__main__":
    run_command(main, "train.tuning.on_ray")
