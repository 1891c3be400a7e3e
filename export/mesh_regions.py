"""The second look of the mesh: lips, left and right eye, each in an upright crop of an early feature map.

In TFLite each region has operators of its own, and so has each iris. Here the three regions, and later the five
results, are one picture with the channels of all, so that a step is one operator. MediaPipe's three own operators are
written out in standard ones; their mathematics is that of `mediapipe/util/tflite/operations`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto

from export.folder import ExportFailed
from export.onnx_graph import FeatureMap
from export.tflite import TfliteOperator
from export.tflite_to_onnx import Graph

CROP = "TransformTensorBilinear"
MATRIX = "Landmarks2TransformMatrix"
PLACED = "TransformLandmarks"
MAX_POINTS = 80
"The lips have the most."


def refined(graph: Graph, outputs: tuple[int, ...]) -> str:
    """(len(outputs) · MAX_POINTS, 2) points, in pixels of the picture; each output's own, then zeros without meaning.

    `outputs` are the tensors of the refined landmarks, whose points are placed by the matrix of their region.
    """
    placed = [_maker(graph, number, PLACED) for number in outputs]
    matrices = [graph.maker(each.inputs[1]) for each in placed]  # products that scale the matrix to the picture
    crops = [each for each in graph.operators if each.name == CROP]
    regions = [graph.maker(each.inputs[1]) for each in crops]
    linear, moved = _matrices(graph, regions)  # (3, 2, 2), (3, 2, 1)
    graph.place(tuple(each.outputs[0] for each in crops), _cropped(graph, crops, linear, moved))
    steps = [_steps(graph, each.inputs[0]) for each in placed]
    for step in zip(*steps, strict=True):
        _translate(graph, step)
    points = _last(graph, [each[-1].outputs[0] for each in steps])
    # Back: the points of a result are in pixels of its crop.
    region_of = graph.integers([[each.outputs[0] for each in regions].index(each.inputs[0]) for each in matrices])
    scale, shift = _scales(graph, matrices)
    linear = graph.add("Mul", [graph.add("Gather", [linear, region_of], axis=0), graph.number(scale)])
    moved = graph.add("Mul", [graph.add("Gather", [moved, region_of], axis=0), graph.number(shift)])
    turned = graph.add("MatMul", [points, graph.add("Transpose", [linear], perm=[0, 2, 1])])
    every = graph.add("Add", [turned, graph.add("Transpose", [moved], perm=[0, 2, 1])])
    return graph.add("Reshape", [every, graph.integers([-1, 2])])


def _maker(graph: Graph, number: int, name: str) -> TfliteOperator:
    """The operator of a name that makes a tensor, behind reshapes."""
    operator = graph.maker(number)
    while operator.name == "RESHAPE":
        operator = graph.maker(operator.inputs[0])
    if operator.name != name:
        raise ExportFailed(f"A refined part comes from {operator.name} and not from {name}.", "Extend mesh_regions.")
    return operator


def _steps(graph: Graph, number: int) -> list[TfliteOperator]:
    """What leads from a crop to a tensor, in an order in which it can be computed; without the last reshape."""
    steps: list[TfliteOperator] = []

    def visit(tensor: int) -> None:
        if graph.is_constant(tensor) or graph.maker(tensor).name == CROP or graph.maker(tensor) in steps:
            return
        operator = graph.maker(tensor)
        for before in operator.inputs:
            visit(before)
        steps.append(operator)

    visit(graph.maker(number).inputs[0])
    return steps


def _translate(graph: Graph, operators: tuple[TfliteOperator, ...]) -> None:
    """One step of all results: of three regions first, then of five results, of which two share a region twice."""
    distinct = tuple(dict.fromkeys(operators))
    if {each.name for each in distinct} != {distinct[0].name}:
        raise ExportFailed("The regions of the mesh are not computed alike.", "Extend mesh_regions.")
    for position in range(2 if distinct[0].name == "ADD" else 1):
        numbers = tuple(each.inputs[position] for each in distinct)
        if len(set(numbers)) < len(numbers) and not graph.has(numbers):
            graph.place(numbers, _repeated(graph, numbers))
    if not graph.has(tuple(each.outputs[0] for each in distinct)):
        graph.translate(distinct)


def _repeated(graph: Graph, numbers: tuple[int, ...]) -> FeatureMap:
    """Regions that several results are made from, once for each of them."""
    distinct = tuple(dict.fromkeys(numbers))
    picture = graph.picture(*distinct)
    part = picture.channels // len(distinct)
    channels = np.concatenate([distinct.index(number) * part + np.arange(part) for number in numbers])
    name = graph.add("Gather", [picture.name, graph.integers(channels.tolist())], axis=1)
    return FeatureMap(name, picture.units_C[channels])


def _last(graph: Graph, numbers: list[int]) -> str:
    """(R, MAX_POINTS, 2) points of the last convolutions of all results."""
    picture = graph.picture(*numbers)
    return graph.add("Reshape", [picture.name, graph.integers([len(numbers), MAX_POINTS, 2])])


def _scales(graph: Graph, matrices: list[TfliteOperator]) -> tuple[float, float]:
    """The factors of a matrix's linear part and of its shift, which are the same for all of them."""
    values = [graph.values((each,), 1)[0].reshape(4, 4)[:2] for each in matrices]
    linear, shift = float(values[0][0, 0]), float(values[0][0, 3])
    wanted = np.array([[linear, linear, shift, shift]] * 2, np.float32)
    if any(not np.array_equal(value, wanted) for value in values):
        raise ExportFailed("The matrices of the mesh's regions are scaled in another way.", "Extend mesh_regions.")
    return linear, shift


def _matrices(graph: Graph, regions: list[TfliteOperator]) -> tuple[str, str]:
    """(R, 2, 2) and (R, 2, 1): what maps pixels of an upright crop around some landmarks to pixels of the feature map.

    The crop's upper edge is parallel to the line between two landmarks; it holds all landmarks of a subset, enlarged by
    a scale. With r the angle of that line, only cos r and sin r are needed, so the arc tangent is left out.
    """
    from flatbuffers import flexbuffers

    options: list[Any] = [flexbuffers.Loads(each.custom) for each in regions]
    if any(each["target_rotation_radians"] != 0 for each in options):
        raise ExportFailed("A crop of the mesh is to be turned.", "Extend mesh_regions.")
    n = len(regions)
    points = graph.part(_landmarks(graph, regions), 0, 2, 2)  # (1, N, 2)

    def gathered(indices: list[int]) -> str:
        picked = graph.add("Gather", [points, graph.integers(indices)], axis=1)
        return graph.add("Reshape", [picked, graph.integers([n, -1, 2])])

    ends = [gathered([each[f"{side}_rotation_idx"] for each in options]) for side in ("right", "left")]
    along = graph.add("Sub", ends)  # (R, 1, 2)
    direction = graph.add("Div", [along, graph.add("ReduceL2", [along], axes=[2], keepdims=1)])
    # (R, 2, 2), [cos, sin] over [−sin, cos]: rows are points, so that it turns back, and its transposed upright.
    signs = graph.constant(np.array([[1, 1], [-1, 1]], np.float32))
    swapped = graph.add("Gather", [direction, graph.integers([1, 0])], axis=2)
    back = graph.add("Mul", [graph.add("Concat", [direction, swapped], axis=1), signs])
    upright = graph.add("Transpose", [back], perm=[0, 2, 1])
    subsets = [np.ravel(each["subset_idxs"]).tolist() for each in options]
    longest = max(map(len, subsets))
    # A landmark that is there twice changes neither the lowest nor the highest.
    turned = graph.add("MatMul", [gathered([n for each in subsets for n in _filled(each, longest)]), upright])
    low, high = (graph.add(kind, [turned], axes=[1], keepdims=1) for kind in ("ReduceMin", "ReduceMax"))
    middle = graph.add("Mul", [graph.add("Add", [low, high]), graph.number(0.5)])
    centre = graph.add("MatMul", [middle, back])  # (R, 1, 2)
    sides = np.array([[each["output_width"], each["output_height"]] for each in options], np.float32)
    scales = np.array([[each["scale_x"], each["scale_y"]] for each in options], np.float32)
    step = graph.add("Mul", [graph.add("Sub", [high, low]), graph.constant((scales / sides)[:, None])])
    # Pixels of the crop, scaled and turned back, as columns.
    linear = graph.add("Mul", [upright, step])
    shift = graph.add("MatMul", [linear, graph.constant((-sides / 2)[:, :, None])])
    return linear, graph.add("Add", [graph.add("Transpose", [centre], perm=[0, 2, 1]), shift])


def _landmarks(graph: Graph, regions: list[TfliteOperator]) -> str:
    """The landmarks that the regions are found by. TFLite scales them for each region anew."""
    products = [graph.maker(each.inputs[0]) for each in regions]
    factors = {graph.values((each,), 1)[0].tobytes() for each in products if each.name == "MUL"}
    if len(factors) != 1 or any(each.name != "MUL" for each in products):
        raise ExportFailed("The mesh's regions are found by different landmarks.", "Extend mesh_regions.")
    return graph.name(regions[0].inputs[0])


def _filled(indices: list[int], length: int) -> list[int]:
    return indices + indices[-1:] * (length - len(indices))


def _cropped(graph: Graph, crops: list[TfliteOperator], linear: str, moved: str) -> FeatureMap:
    """The crops of one feature map, with the channels of all.

    A pixel is interpolated between the four around its place. Pixels have their centres at halves. What lies outside
    the outermost centres is zero. (GridSample does the same, channel by channel, in three times the time.)
    """
    source = {each.inputs[0] for each in crops}
    _, side, width, channels = graph.shape(crops[0].inputs[0])
    _, height, across, _ = graph.shape(crops[0].outputs[0])
    if len(source) != 1 or side != width:
        raise ExportFailed("The mesh's regions are cut from several maps, or from one not square.", "Extend it.")
    picture = graph.picture(*source)
    y, x = np.mgrid[:height, :across].reshape(2, -1).astype(np.float32) + 0.5
    n_pixels = height * across
    places = graph.add("MatMul", [linear, graph.constant(np.stack([x, y]))])  # (R, 2, P)
    places = graph.add("Sub", [graph.add("Add", [places, moved]), graph.number(0.5)])
    last = graph.number(side - 1)
    inside = graph.add("Clip", [places, graph.number(0.0), last])
    cell = graph.add("Clip", [graph.add("Floor", [inside]), graph.number(0.0), graph.number(side - 2)])
    after = graph.add("Sub", [inside, cell])
    shown = graph.add("Cast", [graph.add("Equal", [inside, places])], to=TensorProto.FLOAT)
    after = graph.add("Mul", [after, shown])
    before = graph.add("Sub", [shown, after])
    # (R, 2, 2, P): for x and y, the weights of the pixel before and of the one after.
    weights = graph.add(
        "Concat", [graph.add("Unsqueeze", [each, graph.integers([2])]) for each in (before, after)], axis=2
    )
    weights = graph.add("Transpose", [weights], perm=[1, 0, 3, 2])  # (2, R, P, 2)
    along, down = (graph.add("Gather", [weights, graph.integers([axis])], axis=0) for axis in (0, 1))
    # (R · P, 2, 2): rows, then columns.
    along = graph.add("Reshape", [along, graph.integers([-1, 1, 2])])
    down = graph.add("Reshape", [down, graph.integers([-1, 2, 1])])
    corners = graph.add("Mul", [down, along])
    corners = graph.add("Reshape", [corners, graph.integers([-1, 1, 4])])
    first = graph.add("MatMul", [graph.constant(np.array([[1, side]], np.float32)), cell])  # (R, 1, P)
    first = graph.add("Reshape", [first, graph.integers([-1, 1])])
    numbers = graph.add("Add", [first, graph.constant(np.array([0, 1, side, side + 1], np.float32))])
    numbers = graph.add("Cast", [numbers], to=TensorProto.INT32)  # (R · P, 4)
    pixels = graph.add("Transpose", [picture.name], perm=[0, 2, 3, 1])
    pixels = graph.add("Reshape", [pixels, graph.integers([-1, channels])])
    four = graph.add("Gather", [pixels, numbers], axis=0)  # (R · P, 4, C)
    mixed = graph.add("MatMul", [corners, four])  # (R · P, 1, C)
    mixed = graph.add("Reshape", [mixed, graph.integers([len(crops), n_pixels, channels])])
    mixed = graph.add("Transpose", [mixed], perm=[0, 2, 1])
    mixed = graph.add("Reshape", [mixed, graph.integers([1, len(crops) * channels, height, across])])
    return FeatureMap(mixed, np.tile(picture.units_C, len(crops)))
