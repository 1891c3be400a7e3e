"""Makes the ONNX face models that come with the program, from the .tflite files in MediaPipe's wheel.

    realtime export faces                      needs mediapipe 0.10.21 (pip install 'emothinker[mediapipe,export]')
    realtime export faces --out DIR            writes elsewhere than into the package

It writes near.onnx and far.onnx (detectors for short and full range) and mesh.onnx (478 landmarks with attention). The
weights stay in half precision, as in the wheel, and are cast once when a session loads them. The inputs' hashes are
checked, so that the same bytes always come out.

Pictures are (1, 3, H, W) float32: 0–255 for the mesh, and 127.5 less for the detectors, whose models read −1 … 1.
`export/tflite_to_onnx.py` translates the operators.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import numpy as np
import onnx

from export import command, mesh_regions, tflite
from export.folder import ExportFailed
from export.tflite_to_onnx import Graph
from realtime.commands.program_parser import ProgramParser
from realtime.evidence.face_engines.onnx_engine import MODELS

WHEEL = "mediapipe 0.10.21"
SOURCES = {
    "near": (
        "mediapipe/modules/face_detection/face_detection_short_range.tflite",
        "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8",
    ),
    "far": (
        "mediapipe/modules/face_detection/face_detection_full_range_sparse.tflite",
        "2c3728e6da56f21e21a320433396fb06d40d9088f2247c05e5635a688d45dfe1",
    ),
    "mesh": (
        "mediapipe/modules/face_landmark/face_landmark_with_attention.tflite",
        "e06a804e0144f9929eda782122916b35d60c697c3c9344013ca2bbe76a6ce2b4",
    ),
}
"The file of each model in the wheel, and its SHA-256."
PIXELS = {"near": 2 / 255, "far": 2 / 255, "mesh": 1 / 255}
"Scale that turns pixels into what each model reads; it is taken into the weights of the first convolution."
MAX_LOGIT = 100.0
N_MESH = 468
IRIS_SIZE = 5


def main(argv: Sequence[str] | None = None) -> int:
    parser = ProgramParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=MODELS, metavar="DIR", help="default: %(default)s")
    args = parser.parse_args(argv)

    def work() -> int:
        args.out.mkdir(parents=True, exist_ok=True)
        for name in SOURCES:
            data = convert(name).SerializeToString(deterministic=True)
            (args.out / f"{name}.onnx").write_bytes(data)
            print(f"{name}.onnx  {len(data) / 1e6:.2f} MB  sha256 {hashlib.sha256(data).hexdigest()}")
        return 0

    return command.run("export.faces", work)


def convert(name: str) -> onnx.ModelProto:
    """`near`, `far` or `mesh` as ONNX. Raises ExportFailed where the wheel is missing or has other models."""
    read = tflite.read(source(name))
    side = read.tensors[read.inputs[0]].shape[1]
    built = Graph(read, np.full(3, PIXELS[name], np.float32))
    if name == "mesh":
        outputs = _mesh_outputs(built)
    else:
        boxes, logits = (built.name(number) for number in built.outputs)
        n_anchors = read.tensors[built.outputs[0]].shape[1]
        clipped = built.add("Clip", [logits, built.number(-MAX_LOGIT), built.number(MAX_LOGIT)])
        outputs = {
            "boxes": (built.add("Reshape", [boxes, built.integers([-1, 16])]), [n_anchors, 16]),
            "scores": (built.add("Sigmoid", [built.add("Reshape", [clipped, built.integers([-1])])]), [n_anchors]),
        }
    return built.model(name, side, outputs, about=f"{SOURCES[name][0]} of {WHEEL}, Apache-2.0, converted. See NOTICE.")


def source(name: str) -> Path:
    """The .tflite file of a model. Raises ExportFailed where it is missing or another."""
    inside, wanted = SOURCES[name]
    try:
        path = Path(str(distribution("mediapipe").locate_file(inside)))
        found = hashlib.sha256(path.read_bytes()).hexdigest()
    except (PackageNotFoundError, FileNotFoundError) as error:
        raise ExportFailed(f"{inside} is not here.", f"Install {WHEEL}: later releases no longer have it.") from error
    if found != wanted:
        raise ExportFailed(f"{path} has the SHA-256 {found}, not {wanted}.", f"Install {WHEEL}.")
    return path


def _mesh_outputs(graph: Graph) -> dict[str, tuple[str, list[int]]]:
    """`mesh` (478, 3), in pixels of the crop, and `presence`, the probability that a face is there.

    The lips, eyes and irises that the model looks at a second time replace their landmarks of the mesh. They have no
    depth: lips and eyes keep that of the mesh, and an iris has the mean depth of the landmarks around its eye.
    """
    mesh_tensor, *parts, flag_tensor = graph.outputs
    groups, averages = _refinements()
    mesh, flag = graph.name(mesh_tensor), graph.name(flag_tensor)
    mesh = graph.add("Reshape", [mesh, graph.integers([-1, 3])])
    flat, depth = graph.part(mesh, 0, 2, 1), graph.part(mesh, 2, 3, 1)
    source_of = np.zeros(N_MESH + 2 * IRIS_SIZE, np.int64)
    for index, group in enumerate(groups):
        first = 0 if index == 0 else N_MESH + (index - 1) * mesh_regions.MAX_POINTS
        source_of[list(group)] = first + np.arange(len(group))
    every = graph.add("Concat", [flat, mesh_regions.refined(graph, tuple(parts))], axis=0)
    refined = graph.add("Gather", [every, graph.integers(source_of.tolist())])
    irises = [
        graph.add(
            "Expand",
            [
                graph.add("ReduceMean", [graph.add("Gather", [depth, graph.integers(around)])], axes=[0], keepdims=1),
                graph.integers([IRIS_SIZE, 1]),
            ],
        )
        for around in averages
    ]
    depths = graph.add("Concat", [depth, *irises], axis=0)
    return {
        "mesh": (graph.add("Concat", [refined, depths], axis=1), [len(source_of), 3]),
        "presence": (graph.add("Sigmoid", [graph.add("Reshape", [flag, graph.integers([-1])])]), [1]),
    }


def _refinements() -> tuple[list[list[int]], list[list[int]]]:
    """From MediaPipe's graph: the landmarks that mesh, lips, eyes and irises stand for, and those around each eye."""
    from mediapipe.python.solutions.face_mesh import FaceMesh

    from realtime.evidence.native_logs import quiet_native_logs

    with quiet_native_logs(), FaceMesh(refine_landmarks=True) as mesher:
        text = mesher._graph.text_config
    text = text[text.index('calculator: "LandmarksRefinementCalculator"') :]
    text = text[: text.index("\nnode {")]
    groups = [
        [int(number) for number in re.findall(r"indexes_mapping: (\d+)", part)]
        for part in text.split("      refinement {")[1:]
    ]
    averages = [
        [int(number) for number in re.findall(r"indexes_for_average: (\d+)", part)]
        for part in text.split("assign_average {")[1:]
    ]
    if [len(group) for group in groups] != [N_MESH, 80, 71, 71, IRIS_SIZE, IRIS_SIZE] or len(averages) != 2:
        raise ExportFailed("MediaPipe's graph refines other landmarks than expected.", f"Install {WHEEL}.")
    return groups, averages


if __name__ == "__main__":
    sys.exit(main())
