"""Milliseconds per frame and per 2-s chunk of audio for each runtime, beside the physical floor of this machine.

    realtime export bench [--model nano] [--engines DIR] [--batch 1 4 16] [--threads 1] [--json FILE]

The floor is the larger of two times: reading the tower's weights at the memory's rate, and its multiply-adds at the
processor's rate. Both rates are measured once, with a large copy and a large matrix product in the precision of the
weights. On a CPU the times are processor time, which other programs on the machine change least; --json has wall times
too. `transformers eager` is the tower of transformers alone, without token selection.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from export import command
from export.load import TOWERS, Graph, load_graph
from export.parity import given
from export.timing import Run, floor_ms, interleaved, rates
from export.towers import stock
from realtime.commands.program_parser import ProgramParser
from realtime.errors import EngineMissing, RealtimeError
from realtime.model import assembly, checkpoint
from realtime.outputs import refuse_input
from realtime.towers import artifact
from realtime.towers.batch import FrameInput, drop_noise, text_inputs, vision_inputs
from realtime.towers.onnx_runtime import OnnxGraph
from realtime.towers.torch_runtime import Captured

WORDS = 16
"Words of the text query."


def inputs_of(tower: str, batch: int, frame_px: int, dim: int, n_bins: int) -> dict[str, Tensor]:
    """A batch of square frames with a quarter of focal tokens, or of 2-s chunks of audio."""
    text = torch.randn(WORDS, dim)
    if tower == "audio":
        lengths = torch.full((batch,), 200, dtype=torch.int32)
        return {"mel": torch.randn(batch, n_bins, 200), "n_frames": lengths, **text_inputs(text, batch)}
    n_tokens = (frame_px // 28) ** 2
    focal = torch.arange(n_tokens) < n_tokens // 4
    frame = FrameInput(torch.rand(3, frame_px, frame_px), focal, drop_noise(focal, seed=0), 0.2)
    return vision_inputs([frame] * batch, text)


def torch_runs(graph: nn.Module, device: torch.device) -> dict[str, Run]:
    """Torch's ways to run a graph, by name; the first is the one that others are compared with."""

    def eager(inputs: Mapping[str, Tensor]) -> object:
        with torch.inference_mode():
            return graph(*(value.to(device) for value in inputs.values()))

    compiled = torch.compile(graph, dynamic=False, mode="reduce-overhead" if device.type == "cuda" else "default")

    def faster(inputs: Mapping[str, Tensor]) -> object:
        with torch.inference_mode():
            return compiled(*(value.to(device) for value in inputs.values()))

    runs: dict[str, Run] = {"torch eager": eager, "torch compiled": faster}
    if device.type == "cuda":
        captured: dict[tuple[int, ...], Captured] = {}

        def replayed(inputs: Mapping[str, Tensor]) -> object:
            """As `--engine torch` serves: one CUDA graph per input size."""
            values = list(inputs.values())
            with torch.inference_mode():
                size = tuple(values[0].shape)
                if size not in captured:
                    captured[size] = Captured(graph, [value.to(device) for value in values])
                return captured[size].replay(values)

        runs["torch, CUDA graph"] = replayed
    return runs


def transformers_run(folder: Path, tower: str, graph: Graph, device: torch.device) -> dict[str, Run]:
    """The eager tower of transformers without a selector, on the same patches or mel. Empty where not installed."""
    try:
        theirs = stock(folder, tower, graph.tower.state_dict()).to(device)
    except ImportError:
        print("not measured: transformers, which is not installed", file=sys.stderr)
        return {}

    def vision(inputs: Mapping[str, Tensor]) -> object:
        batch, n_patches, values = inputs["patches"].shape
        side = math.isqrt(n_patches)
        grid = torch.tensor([[1, side, side]] * batch, device=device)
        with torch.inference_mode():
            return theirs(inputs["patches"].to(device).reshape(batch * n_patches, values), grid_thw=grid)

    def audio(inputs: Mapping[str, Tensor]) -> object:
        mel = inputs["mel"].to(device)
        lengths = torch.full((mel.shape[0],), mel.shape[2], device=device)
        with torch.inference_mode():
            return theirs(mel.transpose(0, 1).reshape(mel.shape[1], -1), feature_lens=lengths)

    return {"transformers eager": vision if tower == "vision" else audio}


def that_start(runs: Mapping[str, Run], inputs: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Run]:
    """The runs that complete once. The others are named on stderr.

    torch.compile needs a C++ compiler, for example, and a TensorRT plan takes only the sizes it was built for.
    """
    able = {}
    for name, run in runs.items():
        try:
            run(inputs[name])
            able[name] = run
        # Compilers and drivers fail in kinds of their own, and a bench of the others is still wanted.
        except Exception as error:
            print(f"not measured: {name}: {(str(error).splitlines() or [type(error).__name__])[0]}", file=sys.stderr)
    return able


def exported_runs(root: Path | None, source: str, tower: str) -> dict[str, Run]:
    """Every ONNX export and every TensorRT plan of these weights that loads on this machine."""
    runs: dict[str, Run] = {}
    for path in artifact.candidates([root] if root is not None else [artifact.default_root(source)]):
        made = artifact.read(path)
        if made.source_sha256 != source:
            continue
        entry = made.towers[tower]
        try:
            if made.kind == "onnx":
                runs[f"onnxruntime {made.described}"] = OnnxGraph(made.folder / entry["file"])
            else:
                from realtime.towers.tensorrt_runtime import PlanRunner, fits_here

                fits_here([made], build="realtime export trt")
                runs[f"{made.kind} {made.described}"] = PlanRunner(
                    made.folder / entry["file"], made.kind, entry["profiles"]
                )
        except RealtimeError as error:
            print(f"not measured: {error.message}", file=sys.stderr)
    return runs


def measure(folder: Path, root: Path | None, batches: list[int], *, compiled: bool) -> dict[str, Any]:
    """Times of every runtime for every tower and batch size. `root` holds the exports; None: the user's cache."""
    config = checkpoint.read_config(folder)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    bytes_per_s, flop_per_s = rates(device, dtype)
    rows = []
    for tower in TOWERS:
        graph = load_graph(folder, tower, dtype).to(device)
        runs = torch_runs(graph, device)
        if not compiled:
            runs.pop("torch compiled")
        runs |= transformers_run(folder, tower, graph, device)
        runs |= exported_runs(root, artifact.source_sha256(folder), tower)
        for batch in batches:
            inputs = inputs_of(
                tower, batch, config.emotion.frame_px, config.text.hidden_size, config.audio.num_mel_bins
            )
            inputs = given(inputs, config.emotion.selector_dim > 0)
            cast = {
                name: value.to(dtype) if name in ("patches", "mel", "text") else value for name, value in inputs.items()
            }
            moved = {name: value.to(device) for name, value in cast.items()}
            floor = floor_ms(graph, moved, bytes_per_s, flop_per_s)
            fed = {name: cast if name.startswith(("torch", "transformers")) else inputs for name in runs}
            able = that_start(runs, fed)
            for name, timing in zip(able, interleaved(able, fed, device), strict=True):
                rows.append(
                    {
                        "tower": tower, "engine": name, "batch": batch, "ms_each": timing.spent_ms / batch,
                        "wall_ms_each": timing.wall_ms / batch,
                        "times_torch": timing.times_first, "quartiles": timing.quartiles, "floor_ms": floor / batch,
                    }
                )  # fmt: skip
    machine = torch.cuda.get_device_name() if device.type == "cuda" else platform.processor() or platform.machine()
    return {
        "machine": machine, "threads": torch.get_num_threads(), "frame_px": config.emotion.frame_px,
        "gbyte_per_s": bytes_per_s / 1e9, "gflop_per_s": flop_per_s / 1e9, "rows": rows,
    }  # fmt: skip


def main() -> int:
    parser = ProgramParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="nano")
    parser.add_argument("--engines", type=Path, metavar="DIR", help="exports to measure (default: the user's cache)")
    parser.add_argument("--batch", nargs="+", type=command.positive, default=[1, 4, 16])
    parser.add_argument("--threads", type=command.positive, help="CPU threads of every runtime (default: torch's own)")
    parser.add_argument(
        "--no-compile", action="store_true", help="do not measure torch.compile, which needs a C++ compiler"
    )
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    return command.run("export.bench", lambda: report(options))


def report(options: argparse.Namespace) -> int:
    """Print the table and one JSON line. Returns the exit code."""
    folder = assembly.locate(options.model)
    refuse_input(options.json, folder, options.engines)
    if options.engines is not None and not options.engines.is_dir():
        raise EngineMissing(f"{options.engines} is no folder.", hint="Name one that `realtime export onnx` wrote.")
    result = measure(folder, options.engines, options.batch, compiled=not options.no_compile)
    print("| tower | batch | engine | ms each | of the floor's speed | times torch eager (quartiles) |")
    print("| --- | ---: | --- | ---: | ---: | ---: |")
    for row in result["rows"]:
        share = row["floor_ms"] / row["ms_each"]
        times = "{:.2f} ({:.2f} to {:.2f})".format(row["times_torch"], *row["quartiles"])
        print(f"| {row['tower']} | {row['batch']} | {row['engine']} | {row['ms_each']:.2f} | {share:.0%} | {times} |")
    print(json.dumps(result))
    if options.json is not None:
        options.json.write_text(json.dumps(result) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
