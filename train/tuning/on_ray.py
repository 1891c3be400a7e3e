"""A training program under Ray Train: the same program, the same flags, the same loss curve as under torchrun.

    torchrun --nproc-per-node 4 -m train.lora FLAGS
    python -m train.tuning.on_ray --workers 4 [--address A] [--gpu] train.lora FLAGS
    python -m train.tuning.on_ray --workers 2:4 [--address A] [--gpu] train.lora FLAGS      as many as fit

Ray Train starts the workers, sets RANK, WORLD_SIZE and the rest as torchrun does, and opens the process group; each
calls the program's `main`. When a worker or its node dies all of them are started again, at most `--failures` times,
and go on from the newest whole checkpoint in OUT, as the program does when it is called again. OUT and the records have
to be where every node sees them.

With a range of workers a lost node is not waited for: those that are left do its share. A step takes the same windows
in whatever number of processes (`--accumulate` is counted for the most of them), so its loss stays the same; a number
that cannot share them equally is not taken.
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
from realtime.errors import BadSettings, RealtimeError
from train.command import run_command

PROGRAMS = ("train.lora", "train.warmup")
ANSWER_S = 90.0
"For a node to begin a process and answer."


class TrainingLost(RealtimeError):
    """Workers died more often than was allowed for. The same command goes on from the newest checkpoint."""


def worker(run: Mapping[str, Any]) -> None:
    """One process of the group: what `python -m PROGRAM FLAGS` does under torchrun."""
    from ray.train import get_context

    # Ray Train begins in a folder of its own; the flags' paths are the caller's.
    if Path(run["folder"]).is_dir():
        os.chdir(run["folder"])
    share = run["windows_per_step"] // get_context().get_world_size()
    importlib.import_module(run["program"]).main([*run["flags"], "--accumulate", str(share)])


def train(options: argparse.Namespace) -> int:
    """Raises BadSettings, TrainingLost, and what the program raises for a person's mistake."""
    # Its flags are read here first, so that a wrong one is told before anything is started.
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
    """Whether it came to its end. Ray Train could try again by itself, but would repeat a person's mistakes, too."""
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
        # Its own notes lie beside the checkpoints; Ray Train finds out there whether every node sees them. A group that
        # does not come up is a lost one, too: the room may be less by now.
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
    """The most workers that there is room for and that a step's windows can be shared by.

    Raises BadSettings when there are too few: Ray would wait for them for ever.
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
    """For how many workers the nodes that answer were made.

    A node that was lost is told as alive for half a minute yet, and workers asked of it would be waited for.
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
    # One that is lost fails its task as soon as that is known, so that this is seldom waited for.
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
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
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
