"""Builds TensorRT plans from ONNX towers.

    realtime export trt --model nano --out DIR [--precision fp16|bf16|fp32] [--flavor trt|rtx] [--target SM86]

Writes DIR/onnx-…/ and from it DIR/FLAVOR-PRECISION-smNN-opsetN/: the plans vision.engine and audio.engine, card.json
(the manifest), README.md. There is one optimisation profile per batch size (--batch 1 4 16), with fixed sizes. TensorRT
builds for the GPU of this machine; TensorRT-RTX also compiles ahead of time for another one, on a machine with no GPU
(--target). The precision is that of the ONNX file: networks are strongly typed, the only kind TensorRT 11 has, so 10.x
and 11.x share this code.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from export import command
from export import onnx as onnx_export
from export.folder import ExportFailed, check_space, whole_folder, write_manifest
from export.load import TOWERS
from realtime.commands.program_parser import ProgramParser
from realtime.errors import EngineMissing
from realtime.model import assembly, checkpoint
from realtime.model.config import ModelConfig
from realtime.outputs import refuse_input
from realtime.records import MAX_QUERY_TOKENS
from realtime.towers import artifact
from realtime.towers.artifact import Artifact, EngineMismatch
from realtime.towers.tensorrt_runtime import MODULES, load_runtime

BATCHES = (1, 4, 16)
WORDS = 128
"Tokens of the usual text query. Longer ones, up to `MAX_QUERY_TOKENS`, have a profile of their own."
WORKSPACE_BYTES = 4 << 30
Profile = Mapping[str, Sequence[int]]


def profiles(config: ModelConfig, tower: str, batches: Sequence[int], *, windows: int, words: int) -> list[Profile]:
    """Input shapes for each batch size. Smallest, usual and largest are equal, which suits kernels and CUDA graphs.

    The last profile takes the longest question that a person may ask, one frame or chunk at a time: in every profile,
    its 1,976 tokens would be copied with each call.
    """
    made: list[Profile] = []
    usual = [(batch, words) for batch in batches]
    has_text = config.emotion.selector_dim and words < MAX_QUERY_TOKENS
    for batch, n_words in [*usual, (1, MAX_QUERY_TOKENS)] if has_text else usual:
        sizes = {"patches": windows * 64, "positions": windows * 64, "valid": windows * 64, "place": windows * 16}
        sizes |= {"focal": windows * 16, "noise": windows * 16, "text": n_words, "text_valid": n_words}
        inputs = onnx_export.example(config, tower, torch.float32)
        made.append(
            {
                name: [batch, *([sizes[name], *value.shape[2:]] if name in sizes else value.shape[1:])]
                for name, value in inputs.items()
            }
        )
    return made


def default_windows(config: ModelConfig) -> int:
    """The windows of the largest frame that this checkpoint takes."""
    return math.ceil(config.emotion.frame_px / config.vision.window_size) ** 2


def target_of(flavor: str, trt: Any, target: str | None) -> str:
    """The compute capability to build for: `8.6` for `--target SM86`, else that of this machine's GPU.

    Raises EngineMissing when there is no GPU, or the runtime cannot build for the target.
    """
    if target is None:
        if not torch.cuda.is_available():
            help_ = "Name a GPU with --target (SM75, SM80, SM86, SM89, SM120, SM121)."
            raise EngineMissing(
                f"There is no NVIDIA GPU here to build {MODULES[flavor]} plans for.",
                hint=help_ if flavor == "rtx" else f"Build where the plan will run, or take --flavor rtx. {help_}",
            )
        return "{}.{}".format(*torch.cuda.get_device_capability())
    known = targets_of(trt) if flavor == "rtx" else []
    if target.upper() not in known:
        targets = ", ".join(known) or "only the GPU of this machine"
        raise EngineMissing(
            f"{MODULES[flavor]} {trt.__version__} cannot build for {target}.", hint=f"It builds for: {targets}."
        )
    digits = target.upper().removeprefix("SM")
    return f"{digits[:-1]}.{digits[-1]}"


def targets_of(trt: Any) -> list[str]:
    """The GPUs that a runtime builds for without one. Its list has NONE and CURRENT, too, which are none."""
    kinds = getattr(trt, "ComputeCapability", None)
    return sorted(name for name in kinds.__members__ if name.startswith("SM")) if kinds is not None else []


def build_plan(trt: Any, graph: Path, buckets: Sequence[Profile], *, target: str | None, cache: Path | None) -> bytes:
    """Build one plan. Raises ExportFailed with the parser's or builder's words."""
    logger = LastError(trt)
    builder = trt.Builder(logger.logger)
    # TensorRT 10 makes weakly typed networks unless this flag is set; 11 and RTX have only strongly typed ones.
    strongly: Any = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    weak_by_default = trt.__name__ == "tensorrt" and trt.__version__.startswith("10.")
    network = builder.create_network(1 << int(strongly) if weak_by_default else 0)
    parser = trt.OnnxParser(network, logger.logger)
    if not parser.parse_from_file(str(graph)):
        raise ExportFailed(
            f"{trt.__name__} {trt.__version__} does not read {graph}: {parser.get_error(0)}",
            hint="Try --opset 20, the portable one.",
        )
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE_BYTES)
    for shapes in buckets:
        profile = builder.create_optimization_profile()
        for name, shape in shapes.items():
            profile.set_shape(name, tuple(shape), tuple(shape), tuple(shape))
        config.add_optimization_profile(profile)
    if target is not None:
        config.num_compute_capabilities = 1
        config.set_compute_capability(getattr(trt.ComputeCapability, target.upper()), 0)
    timings = None
    if cache is not None and hasattr(config, "create_timing_cache"):
        timings = config.create_timing_cache(cache.read_bytes() if cache.exists() else b"")
        config.set_timing_cache(timings, False)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise ExportFailed(f"{trt.__name__} {trt.__version__} did not build {graph.name}: {logger.last}")
    if timings is not None and cache is not None:
        cache.write_bytes(bytes(config.get_timing_cache().serialize()))
    return bytes(plan)


class LastError:
    """A logger for TensorRT that keeps the last error, for the message of ExportFailed."""

    def __init__(self, trt: Any) -> None:
        self.last = "it gave no reason"
        outer = self

        class Keeper(trt.ILogger):  # type: ignore[misc]
            def __init__(self) -> None:
                trt.ILogger.__init__(self)

            def log(self, severity: Any, message: str) -> None:
                if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
                    outer.last = message

        self.logger = Keeper()


def graphs(folder: Path, root: Path, *, name: str, precision: str, opset: int, adapter: Path | None) -> Artifact:
    """The ONNX export to build from. One that exists is used again only when all of its key is the same."""
    path = root / f"onnx-{precision}-opset{opset}"
    try:
        kept = artifact.read(path)
        kept.check_hashes()
    except EngineMismatch:
        kept = None
    source = artifact.source_sha256(folder, adapter)
    if kept is not None and (kept.source_sha256, kept.versions) == (source, onnx_export.versions()):
        return kept
    return onnx_export.export(folder, root, name=name, precision=precision, opset=opset, adapter=adapter)


def export(
    folder: Path,
    root: Path,
    *,
    name: str,
    precision: str,
    flavor: str,
    target: str | None = None,
    batches: Sequence[int] = BATCHES,
    windows: int | None = None,
    words: int = WORDS,
    opset: int | None = None,
    adapter: Path | None = None,
) -> tuple[Artifact, bool]:
    """The artifact with the plans, and whether it was built now (False: one with the same key existed).

    Raises EngineMissing, ExportFailed or NoSpace, and what `export.onnx.export` raises.
    """
    trt = load_runtime(flavor)
    capability = target_of(flavor, trt, target)
    config = checkpoint.read_config(folder, adapter)
    # TensorRT-RTX has no fp32 kernel behind the fused attention of opset 23; 10.x reads it only in its latest releases.
    late = flavor == "rtx" or not trt.__version__.startswith("10.")
    opset = opset or (23 if precision == "bf16" or (precision == "fp16" and late) else 20)
    graph = graphs(folder, root, name=name, precision=precision, opset=opset, adapter=adapter)
    buckets = {
        tower: profiles(config, tower, batches, windows=windows or default_windows(config), words=words)
        for tower in TOWERS
    }
    final = root / f"{flavor}-{precision}-sm{capability.replace('.', '')}-opset{opset}"
    wanted = replace(
        graph, folder=final, kind=flavor, compute_capability=capability, files={}, parity={},
        versions={**graph.versions, MODULES[flavor]: trt.__version__},
        towers={
            tower: {
                "file": f"{tower}.engine", "profiles": buckets[tower],
                "graph_sha256": {n: f["sha256"] for n, f in graph.files.items() if n.startswith(f"{tower}.")},
            }
            for tower in TOWERS
        },
    )  # fmt: skip
    try:
        kept = artifact.read(final)
        kept.check_hashes()
        if kept.key() == wanted.key():
            return kept, False
    except EngineMismatch:
        pass  # there is no complete artifact: build it
    check_space(root, sum(facts["bytes"] for facts in graph.files.values()))
    cache = root / f"timing-{MODULES[flavor]}-{trt.__version__}-sm{capability}.cache" if flavor == "trt" else None
    with whole_folder(final) as partial:
        for tower in TOWERS:
            source = graph.folder / graph.towers[tower]["file"]
            plan = build_plan(trt, source, buckets[tower], target=target, cache=cache)
            (partial / f"{tower}.engine").write_bytes(plan)
        how = f"Serve on a GPU with SM {capability} and {MODULES[flavor]} {trt.__version__}: "
        write_manifest(replace(wanted, folder=partial), how + f"`realtime serve --model {name} --engine trt`.")
    return artifact.read(final), True


def main() -> int:
    parser = ProgramParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="nano", help="nano, a Hugging Face id, or a folder")
    parser.add_argument("--adapter", type=Path, metavar="FOLDER")
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: the user's cache, where serve looks")
    parser.add_argument("--precision", choices=("fp16", "bf16", "fp32"), default="fp16")
    parser.add_argument("--flavor", choices=tuple(MODULES), default="trt")
    parser.add_argument(
        "--target", metavar="SM", help="another GPU than this machine's, such as SM86 (TensorRT-RTX only)"
    )
    parser.add_argument("--batch", nargs="+", type=command.positive, default=list(BATCHES))
    parser.add_argument(
        "--windows", type=command.positive, help="112-px windows of the largest frame (default: the model's)"
    )
    parser.add_argument(
        "--words",
        type=command.positive,
        default=WORDS,
        help="tokens of the usual text query; longer ones have a profile of their own",
    )
    parser.add_argument("--opset", type=int, choices=onnx_export.OPSETS)
    options = parser.parse_args()
    return command.run("export.trt", lambda: make(options))


def make(options: argparse.Namespace) -> int:
    """Build or find the plans and print their folder. Returns the exit code."""
    folder = assembly.locate(options.model)
    refuse_input(options.out, folder, options.adapter)
    root = options.out or artifact.default_root(artifact.source_sha256(folder, options.adapter))
    made, new = export(
        folder, root, name=options.model, precision=options.precision, flavor=options.flavor,
        target=options.target, batches=options.batch, windows=options.windows, words=options.words,
        opset=options.opset, adapter=options.adapter,
    )  # fmt: skip
    n_bytes = sum(facts["bytes"] for facts in made.files.values())
    print(f"{made.folder}  {n_bytes / 1e6:.1f} MB, {'built' if new else 'kept: all of its key matches'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
