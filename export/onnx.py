"""Exports towers and selectors to ONNX.

    realtime export onnx --model nano --out DIR [--precision fp32 fp16 bf16 int8] [--opset 20 23]

Writes DIR/onnx-PRECISION-opsetN/ for every pair: vision.onnx, audio.onnx, card.json (the manifest), README.md. Without
--out it writes into the user's cache, where `realtime serve --engine onnx` looks. Opset 20 is the portable file; 23
keeps attention and norms as one node each, for TensorRT and a faster CPU. int8 has 8-bit weights for the CPU.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import sys
import tempfile
import warnings
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from export import command, fused_attention
from export.folder import ExportFailed, check_space, whole_folder, write_manifest
from export.load import TOWERS, Graph, load_graph
from realtime.commands.program_parser import ProgramParser
from realtime.errors import BadModel, RealtimeError
from realtime.model import assembly, checkpoint
from realtime.model.config import ModelConfig
from realtime.outputs import refuse_input
from realtime.towers import artifact
from realtime.towers.graph import AUDIO_INPUTS, TEXT_INPUTS, VISION_INPUTS
from realtime.towers.torch_runtime import HALVED

PRECISIONS = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16, "int8": torch.float32}
OPSETS = (20, 23)
BF16_OPSET = 23
"ONNX defines bf16 convolutions from opset 22 on."
OPSET_UNLESS_ASKED = {"fp32": 23, "fp16": 20, "bf16": BF16_OPSET, "int8": 23}
"fp32 and int8 are for ONNX Runtime, which has the fused nodes; the others are for any reader."
FOR_ONNXRUNTIME = ("fp32", "int8")
EXTERNAL_BYTES = 256 << 20
"Larger weights go into a file beside the graph: protobuf ends at 2 GB, and graph editors long before."
MAX_BATCH, MAX_WINDOWS, MAX_CHUNKS, MAX_WORDS = 16, 64, 64, 2048


class BadOpset(RealtimeError):
    """The opset lacks what the graphs need, or was never tried with them. Take one that the message names."""

    code = "bad_opset"
    exit_code = 2


def example(config: ModelConfig, tower: str, dtype: torch.dtype) -> dict[str, Tensor]:
    """Inputs by name to trace with, a batch of two. Sizes that the exporter must not take for the same one differ."""
    batch, n_patches, n_words, dim = 2, 192, 5, config.text.hidden_size
    n_places = n_patches // 4
    patch_values = config.vision.in_channels * config.vision.temporal_patch_size * config.vision.patch_size**2
    shapes: dict[str, tuple[int, ...]] = {
        "patches": (batch, n_patches, patch_values), "positions": (batch, n_patches, 2), "valid": (batch, n_patches),
        "place": (batch, n_places), "focal": (batch, n_places), "noise": (batch, n_places), "drop": (batch,),
        "mel": (batch, config.audio.num_mel_bins, 2 * config.audio.n_window), "n_frames": (batch,),
        "text": (batch, n_words, dim), "text_valid": (batch, n_words),
    }  # fmt: skip
    kinds = dict.fromkeys(HALVED, dtype) | {"noise": torch.float32, "drop": torch.float32}
    return {
        name: torch.ones(shapes[name], dtype=kinds.get(name, torch.int32))
        for name in (VISION_INPUTS if tower == "vision" else AUDIO_INPUTS)
        if config.emotion.selector_dim or name not in TEXT_INPUTS
    }


def free_dimensions(names: list[str], tower: str) -> tuple[dict[int, Any], ...]:
    """The sizes that stay dynamic: the batch, the windows of a frame (64 patches, 16 tokens each), the text's words."""
    batch = torch.export.Dim("batch", min=1, max=MAX_BATCH if tower == "vision" else MAX_CHUNKS)
    windows, words = (
        torch.export.Dim("windows", min=1, max=MAX_WINDOWS),
        torch.export.Dim("words", min=1, max=MAX_WORDS),
    )
    second = dict.fromkeys(("patches", "positions", "valid"), 64 * windows)
    second |= dict.fromkeys(("place", "focal", "noise"), 16 * windows) | dict.fromkeys(TEXT_INPUTS, words)
    return tuple({0: batch, 1: second[name]} if name in second else {0: batch} for name in names)


def trace(graph: Graph, inputs: dict[str, Tensor], tower: str, opset: int, path: Path) -> None:
    """Write one graph. Raises ExportFailed when exporter, checker or shape inference refuses it."""
    import onnx
    from onnx import shape_inference

    names = list(inputs)
    n_bytes = sum(tensor.nbytes for tensor in graph.state_dict().values())
    # Without torchvision, the exporter logs every operator of it that it could have exported.
    torch_onnx = logging.getLogger("torch.onnx")
    try:
        # The exporter prints its steps on stdout and warns about what it renames.
        with quieter(torch_onnx), warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                graph, tuple(inputs.values()), dynamo=True, input_names=names, output_names=list(graph.outputs),
                dynamic_shapes=free_dimensions(names, tower), opset_version=opset, verbose=False,
            )  # fmt: skip
            assert program is not None
            program.save(path, external_data=n_bytes > EXTERNAL_BYTES)
        check(path)
    except (torch.onnx.errors.OnnxExporterError, onnx.checker.ValidationError, shape_inference.InferenceError) as error:
        raise ExportFailed(
            f"the {tower} graph did not export at opset {opset}: {str(error).splitlines()[0]}",
            hint=f"Tried with torch {torch.__version__}, onnx {onnx.__version__}; constraints.txt has a known set.",
        ) from error


def check(path: Path) -> None:
    """Run onnx's checker with strict shape inference. A path lets it find external data and never load it twice."""
    import onnx

    onnx.checker.check_model(str(path), full_check=True)


def quantize(source: Path, target: Path) -> None:
    """Write `source` with 8-bit weights for the CPU's matrix products; activations are quantized at run time."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = onnx.load(source)
    # The exporter's own value_info no longer fits the rewritten nodes, and ONNX Runtime refuses the contradiction.
    model.graph.ClearField("value_info")
    with quieter(logging.getLogger()):
        # Unsigned: without VNNI, products of unsigned activations and signed weights saturate at 16 bits.
        quantize_dynamic(model, target, weight_type=QuantType.QUInt8, op_types_to_quantize=["MatMul"])
    check(target)


@contextlib.contextmanager
def quieter(noisy: logging.Logger) -> Iterator[None]:
    """Silence the warnings of `noisy` in this block: ONNX Runtime's quantizer logs its advice on the root logger."""
    level = noisy.level
    noisy.setLevel(logging.ERROR)
    try:
        yield
    finally:
        noisy.setLevel(level)


def describe(path: Path) -> dict[str, Any]:
    """The names, types and shapes of a graph's inputs and outputs, for the manifest."""
    import onnx

    graph = onnx.load(path, load_external_data=False).graph

    def values(infos: Any) -> dict[str, Any]:
        return {
            info.name: [
                onnx.TensorProto.DataType.Name(info.type.tensor_type.elem_type).lower(),
                [size.dim_param or size.dim_value for size in info.type.tensor_type.shape.dim],
            ]
            for info in infos
        }

    return {"file": path.name, "inputs": values(graph.input), "outputs": values(graph.output)}


def export(
    folder: Path, root: Path, *, name: str, precision: str, opset: int, adapter: Path | None = None
) -> artifact.Artifact:
    """Write the artifact ROOT/onnx-PRECISION-opsetN. Raises BadModel, BadOpset, ExportFailed or NoSpace."""
    if opset not in OPSETS:
        why = "is too old for these graphs" if opset < min(OPSETS) else "was never tried with these graphs"
        raise BadOpset(f"Opset {opset} {why}.", hint=f"Take one of {OPSETS}.")
    if precision == "bf16" and opset < BF16_OPSET:
        raise BadOpset(
            f"Opset {opset} has no bf16 convolution, which the audio tower needs.", hint=f"Take {BF16_OPSET}."
        )
    made_with = versions()  # raises here, before weights are read, where the extra is not installed
    config = checkpoint.read_config(folder, adapter)
    source = artifact.source_sha256(folder, adapter)
    dtype = PRECISIONS[precision]
    final = root / f"onnx-{precision}-opset{opset}"
    with whole_folder(final) as partial, tempfile.TemporaryDirectory() as scratch:
        for tower in TOWERS:
            graph = load_graph(folder, tower, dtype, adapter=adapter)
            if precision in FOR_ONNXRUNTIME and opset >= fused_attention.OPSET:
                fused_attention.fuse(graph)
            check_space(root, sum(tensor.nbytes for tensor in graph.state_dict().values()))
            path = partial / f"{tower}.onnx"
            traced = Path(scratch) / path.name if precision == "int8" else path
            trace(graph, example(config, tower, dtype), tower, opset, traced)
            del graph  # before the next tower is loaded, so that two are never in memory
            if precision == "int8":
                quantize(traced, path)
        made = artifact.Artifact(
            folder=partial, kind="onnx", model=name, source_sha256=source, precision=precision, opset=opset,
            has_text=config.emotion.selector_dim > 0, versions=made_with, files={},
            towers={tower: describe(partial / f"{tower}.onnx") for tower in TOWERS},
        )  # fmt: skip
        write_manifest(
            made, f"Serve with `realtime serve --model {name} --engine onnx`; check with `realtime export parity`."
        )
    return artifact.read(final)


def versions() -> dict[str, str]:
    """The releases an export depends on. Raises PackageNotFoundError where one is not installed."""
    return {name: version(name) for name in ("torch", "onnx", "onnxscript", "onnxruntime")}


def main() -> int:
    parser = ProgramParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="nano", help="nano, a Hugging Face id, or a folder")
    parser.add_argument("--adapter", type=Path, metavar="FOLDER")
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: the user's cache, where serve looks")
    parser.add_argument("--precision", nargs="+", choices=PRECISIONS, default=["fp32"])
    parser.add_argument("--opset", nargs="+", type=int, help="20 or 23 (default: 23 for fp32 and bf16, else 20)")
    parser.add_argument("--peak", action="store_true", help="print the peak memory at the end")
    options = parser.parse_args()
    return command.run("export.onnx", lambda: make(options))


def make(options: argparse.Namespace) -> int:
    """Write every export that is asked for. Returns the exit code."""
    folder = assembly.locate(options.model)
    if not (folder / "config.json").exists():
        raise BadModel(f"{folder} holds no config.json.", hint="Name a whole checkpoint folder, 'nano' or a hub id.")
    refuse_input(options.out, folder, options.adapter)
    root = options.out or artifact.default_root(artifact.source_sha256(folder, options.adapter))
    for precision in options.precision:
        for opset in options.opset or [OPSET_UNLESS_ASKED[precision]]:
            made = export(folder, root, name=options.model, precision=precision, opset=opset, adapter=options.adapter)
            n_bytes = sum(facts["bytes"] for facts in made.files.values())
            print(f"{made.folder}  {n_bytes / 1e6:.1f} MB")
    if options.peak:
        try:
            import resource
        except ImportError:
            print("Windows does not tell Python the memory at the peak.", file=sys.stderr)
            return 0
        # Kilobytes on Linux, bytes on macOS (getrusage(2)).
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        print(f"{peak / 1e9:.2f} GB of memory at the peak")
    return 0


if __name__ == "__main__":
    sys.exit(main())
