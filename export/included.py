"""Writes the graphs of nano's shapes without their weights, which the package includes (`realtime/towers/included.py`).

    realtime export included [--out DIR]

It writes vision.onnx, audio.onnx, face.onnx and made_for.json. Their nodes name weights as the checkpoint does, and the
graphs have no values for them: `realtime/towers/filled_graph.py` adds those of the model that is loaded. Run it after a
change of the modules that are traced.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import sys
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from export import command, fused_attention
from export.load import blank
from export.onnx import example, free_dimensions, quieter
from realtime.commands.program_parser import ProgramParser
from realtime.model import assembly, checkpoint
from realtime.model.face_expert import FACE_CROP_PX, FaceExpert
from realtime.towers.graph import AudioGraph, VisionGraph
from realtime.towers.included import (
    AUDIO,
    CROPS,
    FACE,
    GRAPHS,
    JUDGED,
    MADE_FOR,
    VISION,
    shapes_key,
    weights_of,
)

MAX_FACES = 16
"Faces in one call at most."


def make(out: Path) -> int:
    """Write the graphs, and the shapes that they are for."""
    config = checkpoint.read_config(assembly.locate("nano"))
    out.mkdir(parents=True, exist_ok=True)
    made_for = {}
    for tower, name in (("vision", VISION), ("audio", AUDIO)):
        graph = blank(config, tower).eval()
        assert isinstance(graph, VisionGraph | AudioGraph)
        made_for[name] = shapes_key(graph, config)
        fused_attention.fuse(graph)
        inputs = example(config, tower, torch.float32)
        (out / name).write_bytes(bare(graph, inputs, free_dimensions(list(inputs), tower), graph.outputs))
    expert = FaceExpert().eval()
    # Three, since the exporter takes sizes of 1 and 2 for constants.
    crops = {CROPS: torch.rand(3, 1, FACE_CROP_PX, FACE_CROP_PX)}
    faces = torch.export.Dim("faces", min=1, max=MAX_FACES)
    (out / FACE).write_bytes(bare(expert, crops, ({0: faces},), (JUDGED,)))
    (out / MADE_FOR).write_text(json.dumps(made_for, indent=1) + "\n", encoding="utf-8")
    return 0


def bare(
    module: nn.Module, inputs: dict[str, Tensor], sizes: tuple[dict[int, Any], ...], outputs: tuple[str, ...]
) -> bytes:
    """The graph of a module with the names of its weights in place of their values."""
    with quieter(logging.getLogger("torch.onnx")), warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        # Optimised, weights would be turned and folded into others. ONNX Runtime does that when it has them.
        program = torch.onnx.export(
            module, tuple(inputs.values()), dynamo=True, input_names=list(inputs), output_names=list(outputs),
            dynamic_shapes=sizes, opset_version=fused_attention.OPSET, optimize=False, verbose=False,
        )  # fmt: skip
    assert program is not None
    model = program.model_proto
    weights, initialisers = weights_of(module), list(model.graph.initializer)
    missing = weights.keys() - {tensor.name for tensor in initialisers}
    assert not missing, f"the exporter gave other names to {sorted(missing)}"
    del model.graph.initializer[:]
    model.graph.initializer.extend(tensor for tensor in initialisers if tensor.name not in weights)
    # The exporter writes where in the source each node is from, and shapes that a runtime infers.
    for described in (model, model.graph, *model.graph.node, *model.graph.initializer):
        described.ClearField("metadata_props")
    model.graph.ClearField("value_info")
    written: bytes = model.SerializeToString(deterministic=True)
    return written


def main(argv: list[str] | None = None) -> int:
    parser = ProgramParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=GRAPHS, help="folder to write into (default: the package's)")
    options = parser.parse_args(argv)
    return command.run("export.included", lambda: make(options.out))


if __name__ == "__main__":
    sys.exit(main())
