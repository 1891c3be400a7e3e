"""A node is lost in the middle of training: what is left goes on, and the loss curve stays what it was.

    python -m tests.cluster.elastic [--steps 12] [--program train.lora]        minutes; prints one line of JSON

The small random model of `train.tuning.tiny` is trained by two processes of torchrun, and by
`train.tuning.on_ray --workers 1:2` on two nodes of one core, one of which is
killed after the first checkpoint. Exits 1 when a step's loss differs by more
than a ten-thousandth.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.cluster.nodes import ROOT, environment, two_nodes, wait
from train import annotate
from train.tuning import tiny
from train.tuning.run import newest_checkpoint

PATIENCE_S = 1200.0
NEAR = 1e-4
SAVE_STEPS = 3


def flags(work: Path, out: Path, steps: int) -> list[str]:
    return [
        *(str(work / "coet"), "--model", str(work / "model"), "--out", str(out), "--cache", str(work / "windows")),
        *("--cpu", "--accumulate", "8", "--steps", str(steps), "--save-steps", str(SAVE_STEPS), "--keep", "99"),
        *("--log-steps", "1"),
    ]


def curve(out: Path, steps: int) -> list[float]:
    state = json.loads((out / "checkpoints" / f"checkpoint-{steps}" / "trainer_state.json").read_text("utf-8"))
    return [line["loss"] for line in state["log_history"] if "loss" in line]


def torchrun(program: str, words: list[str]) -> None:
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", program]
    subprocess.run([sys.executable, *launch, *words], cwd=ROOT, check=True, stdout=sys.stderr)


def on_ray(nodes: Any, program: str, words: list[str], out: Path) -> dict[str, Any]:
    """What the run says of itself; the second node is gone from the first checkpoint on."""
    launch = ["-m", "train.tuning.on_ray", "--address", nodes.address, "--workers", "1:2", program]
    running = subprocess.Popen([sys.executable, *launch, *words], cwd=ROOT, stdout=sys.stderr)
    wait(lambda: running.poll() is not None or newest_checkpoint(out / "checkpoints"), PATIENCE_S)
    last = newest_checkpoint(out / "checkpoints")
    if running.poll() is not None or last is None:
        raise SystemExit(f"it ended before anything was killed (exit code {running.poll()})")
    lost_s = time.monotonic()
    nodes.remove_node(nodes.worker_nodes.copy().pop(), allow_graceful=False)
    code = running.wait(PATIENCE_S)
    described = json.loads((out / "run.json").read_text("utf-8"))
    return {
        "exit_code": code,
        "lost_after": last.name,
        "resumed_from": described["result"]["resumed_from"],
        "processes_at_the_end": described["n_processes"],
        "seconds_after_the_loss": round(time.monotonic() - lost_s, 1),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--program", choices=("train.lora", "train.warmup"), default="train.lora")
    options = parser.parse_args()
    os.environ.update(environment())
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        tiny.write_model(work / "model")
        clips = tiny.write_clips(work / "clips")
        annotate.annotate(annotate.parser().parse_args([str(clips), str(work / "coet")]))
        torchrun(options.program, flags(work, work / "torchrun", options.steps))
        with two_nodes(num_cpus=1) as nodes:
            figures = on_ray(nodes, options.program, flags(work, work / "ray", options.steps), work / "ray")
        curves = [curve(work / "torchrun", options.steps), curve(work / "ray", options.steps)]
    differ = max(abs(a - b) / abs(a) for a, b in zip(*curves, strict=True))
    figures |= {"program": options.program, "steps": options.steps, "largest_difference": float(f"{differ:.2g}")}
    print(json.dumps({**figures, "losses": [round(loss, 5) for loss in curves[1]]}))
    return 0 if figures["exit_code"] == 0 and differ <= NEAR else 1


if __name__ == "__main__":
    sys.exit(main())
