"""Builds an ONNX graph out of TFLite's operators: those of the face models, each by a rule of its own.

Everything is channels first, as ONNX wants it. MediaPipe's three own operators of the mesh are written out in standard
ones; their mathematics is that of `mediapipe/util/tflite/operations`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from export import tflite
from export.folder import ExportFailed
from export.tflite import AnyArray, TfliteOperator

OPSET = 17
SAME = 0
"TensorFlow's padding that keeps the size; the other is none."


class Graph:
    """An ONNX graph that grows operator by operator. `names` has the ONNX name of each TFLite tensor."""

    def __init__(self, source: tflite.TfliteGraph) -> None:
        self.names: dict[int, str] = {}
        self._source = source
        self._constants: dict[int, AnyArray] = {
            number: tensor.value for number, tensor in enumerate(source.tensors) if tensor.value is not None
        }
        self._nodes: list[onnx.NodeProto] = []
        self._weights: dict[tuple[bytes, tuple[int, ...], str], str] = {}
        self._initializers: list[onnx.TensorProto] = []
        self._ids = count()

    def add(self, kind: str, inputs: Sequence[str], **attributes: Any) -> str:
        """Append a node with one output; returns the output's name."""
        name = f"v{next(self._ids)}"
        self._nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def constant(self, value: AnyArray) -> str:
        """A constant as it is; one that is there already is shared. Halves are cast to single precision."""
        value = np.ascontiguousarray(value)
        key = (value.tobytes(), value.shape, str(value.dtype))
        if key not in self._weights:
            name = f"w{next(self._ids)}"
            self._initializers.append(numpy_helper.from_array(value, name))
            self._weights[key] = self.add("Cast", [name], to=TensorProto.FLOAT) if value.dtype == np.float16 else name
        return self._weights[key]

    def number(self, value: float) -> str:
        return self.constant(np.asarray(value, np.float32))

    def integers(self, values: Sequence[int]) -> str:
        return self.constant(np.asarray(values, np.int64))

    def translate(self, operator: TfliteOperator) -> None:
        """Append what one TFLite operator does."""
        (output,) = operator.outputs
        if operator.name in ("DEQUANTIZE", "DENSIFY"):
            self._constants[output] = self._constants[operator.inputs[0]]
            return
        rule = _RULES.get(operator.name)
        if rule is None:
            raise ExportFailed(f"There is no rule for {operator.name}.", "Add one to _RULES in export/faces.py.")
        self.names[output] = rule(self, operator)

    def value(self, number: int) -> AnyArray:
        return self._constants[number]

    def is_constant(self, number: int) -> bool:
        return number in self._constants

    def shape(self, number: int) -> tuple[int, ...]:
        return self._source.tensors[number].shape

    @property
    def graph_outputs(self) -> list[str]:
        return [self.names[number] for number in self._source.outputs]

    def model(
        self, name: str, side: int, outputs: Mapping[str, tuple[str, list[int]]], *, about: str
    ) -> onnx.ModelProto:
        """The finished model; `outputs` maps the names it gets to those inside, and to their shapes."""
        results = []
        for outside, (inside, shape) in outputs.items():
            self._nodes.append(helper.make_node("Identity", [inside], [outside]))
            results.append(helper.make_tensor_value_info(outside, TensorProto.FLOAT, shape))
        picture = helper.make_tensor_value_info("picture", TensorProto.UINT8, [3, side, side])
        graph = helper.make_graph(self._nodes, name, [picture], results, self._initializers)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="export.faces")
        # The lowest that has this opset, so that older versions of ONNX Runtime take the file too.
        model.ir_version = 8
        model.doc_string = about
        onnx.checker.check_model(model, full_check=True)
        return model


def _activated(graph: Graph, name: str, activation: int) -> str:
    """Adds what TFLite fused into an operator: 0 nothing, 1 ReLU, 3 ReLU6. Raises ExportFailed for others."""
    match activation:
        case 0:
            return name
        case 1:
            return graph.add("Relu", [name])
        case 3:
            return graph.add("Clip", [name, graph.number(0.0), graph.number(6.0)])
    raise ExportFailed(f"The fused activation {activation} is not known here.", "Add it to _activated.")


def _pads(size: tuple[int, int], kernel: tuple[int, int], stride: tuple[int, int], padding: int) -> list[int]:
    """ONNX's pads (top, left, bottom, right). TensorFlow puts the odd pixel below and to the right."""
    if padding != SAME:
        return [0, 0, 0, 0]
    totals = [
        max((-(-length // step) - 1) * step + window - length, 0)
        for length, window, step in zip(size, kernel, stride, strict=True)
    ]
    return [*(total // 2 for total in totals), *(total - total // 2 for total in totals)]


def _convolution(graph: Graph, operator: TfliteOperator) -> str:
    picture, weights, bias = operator.inputs
    kernel = graph.value(weights)
    depthwise = operator.name == "DEPTHWISE_CONV_2D"
    padding, stride = operator.option(0, "b"), (operator.option(2, "i"), operator.option(1, "i"))
    activation, dilation = (4, (6, 5)) if depthwise else (3, (5, 4))
    if any(operator.option(field, "i", 1) != 1 for field in dilation):
        raise ExportFailed("A convolution is dilated.", "Extend _convolution.")
    size = (kernel.shape[1], kernel.shape[2])
    _, height, width, channels = graph.shape(picture)
    name = graph.add(
        "Conv",
        # From (1, H, W, C) of a depthwise and (out, H, W, in) of a plain one.
        [
            graph.names[picture],
            graph.constant(kernel.transpose(3, 0, 1, 2) if depthwise else kernel.transpose(0, 3, 1, 2)),
            graph.constant(graph.value(bias)),
        ],
        kernel_shape=size,
        strides=stride,
        pads=_pads((height, width), size, stride, padding),
        group=channels if depthwise else 1,
    )
    return _activated(graph, name, operator.option(activation, "b"))


def _max_pool(graph: Graph, operator: TfliteOperator) -> str:
    stride, size = (
        (operator.option(2, "i"), operator.option(1, "i")),
        (operator.option(4, "i"), operator.option(3, "i")),
    )
    _, height, width, _ = graph.shape(operator.inputs[0])
    return graph.add(
        "MaxPool",
        [graph.names[operator.inputs[0]]],
        kernel_shape=size,
        strides=stride,
        pads=_pads((height, width), size, stride, operator.option(0, "b")),
    )


def _joined(kind: str) -> Callable[[Graph, TfliteOperator], str]:
    """A rule for an operator on two arrays, of which one may be a constant."""

    def rule(graph: Graph, operator: TfliteOperator) -> str:
        both = [
            graph.constant(graph.value(number)) if graph.is_constant(number) else graph.names[number]
            for number in operator.inputs
        ]
        return _activated(graph, graph.add(kind, both), operator.option(0, "b"))

    return rule


def _pad(graph: Graph, operator: TfliteOperator) -> str:
    before, after = graph.value(operator.inputs[1]).T
    first = [0, 3, 1, 2]
    return graph.add("Pad", [graph.names[operator.inputs[0]], graph.integers([*before[first], *after[first]])])


def _prelu(graph: Graph, operator: TfliteOperator) -> str:
    """max(0, x) + slope · min(0, x), with a slope for each channel, as slope · x + (1 − slope) · max(0, x).

    Written with 1×1 convolutions of single channels, because ONNX Runtime keeps its fast layout through them. With its
    own PRelu, which it leaves for each, the mesh takes twice the time.
    """
    picture = graph.names[operator.inputs[0]]
    slopes = graph.value(operator.inputs[1]).reshape(-1, 1, 1, 1).astype(np.float32)
    single = {"kernel_shape": [1, 1], "group": len(slopes)}
    if slopes.max() <= 1:
        # A factor that is not negative may go inside, where the convolution does both at once.
        above = graph.add("Relu", [graph.add("Conv", [picture, graph.constant(1 - slopes)], **single)])
    else:
        above = graph.add("Conv", [graph.add("Relu", [picture]), graph.constant(1 - slopes)], **single)
    return graph.add("Add", [graph.add("Conv", [picture, graph.constant(slopes)], **single), above])


def _reshape(graph: Graph, operator: TfliteOperator) -> str:
    number = operator.inputs[0]
    name = graph.names[number]
    if len(graph.shape(number)) == 4:
        name = graph.add("Transpose", [name], perm=[0, 2, 3, 1])
    # The results of single landmarks are (1, 1, 1, n) in TFLite; nothing reads them as a picture.
    return graph.add("Reshape", [name, graph.integers(graph.shape(operator.outputs[0]))])


def _concatenate(graph: Graph, operator: TfliteOperator) -> str:
    return graph.add("Concat", [graph.names[number] for number in operator.inputs], axis=operator.option(0, "i"))


def _resize(graph: Graph, operator: TfliteOperator) -> str:
    align_corners, half_pixel = operator.option(2, "b"), operator.option(3, "b")
    mode = "align_corners" if align_corners else "half_pixel" if half_pixel else "asymmetric"
    _, height, width, channels = graph.shape(operator.outputs[0])
    return graph.add(
        "Resize",
        [graph.names[operator.inputs[0]], "", "", graph.integers([1, channels, height, width])],
        mode="linear",
        coordinate_transformation_mode=mode,
    )


def _depth_to_space(graph: Graph, operator: TfliteOperator) -> str:
    return graph.add("DepthToSpace", [graph.names[operator.inputs[0]]], blocksize=operator.option(0, "i"), mode="DCR")


def _relu(graph: Graph, operator: TfliteOperator) -> str:
    return graph.add("Relu", [graph.names[operator.inputs[0]]])


def _whole_slice(graph: Graph, operator: TfliteOperator) -> str:
    """The mesh's one slice takes everything; TensorFlow's converter put it there to give the output a name."""
    if graph.shape(operator.inputs[0]) != graph.shape(operator.outputs[0]):
        raise ExportFailed("A slice takes a part.", "Extend _whole_slice.")
    return graph.names[operator.inputs[0]]


def _transform_matrix(graph: Graph, operator: TfliteOperator) -> str:
    """(1, 2, 4) from (1, N, 3): maps pixels of an upright crop around some landmarks to pixels of the picture.

    MediaPipe calls it Landmarks2TransformMatrix. The crop's upper edge is parallel to the line between two landmarks;
    it holds all landmarks of a subset, enlarged by a scale. With r the angle of that line, only cos r and sin r are
    needed, so the arc tangent is left out.
    """
    from flatbuffers import flexbuffers

    options = flexbuffers.Loads(operator.custom)
    if options["target_rotation_radians"] != 0:
        raise ExportFailed("A crop of the mesh is to be turned.", "Extend _transform_matrix.")
    points = graph.add("Slice", [graph.names[operator.inputs[0]], *(graph.integers([n]) for n in (0, 2, 2))])
    ends = [
        graph.add("Gather", [points, graph.integers([options[f"{side}_rotation_idx"]])], axis=1)
        for side in ("right", "left")
    ]
    along = graph.add("Sub", ends)  # (1, 1, 2)
    direction = graph.add("Div", [along, graph.add("ReduceL2", [along], axes=[2], keepdims=1)])
    cos, sin = (graph.add("Gather", [direction, graph.integers([axis])], axis=2) for axis in (0, 1))  # (1, 1, 1) each
    minus = graph.add("Neg", [sin])

    def matrix(*rows: tuple[str, str]) -> str:
        return graph.add("Concat", [graph.add("Concat", row, axis=2) for row in rows], axis=1)

    # Rows are points, so that each of these turns by the transposed of what stands in it.
    upright = matrix((cos, minus), (sin, cos))
    back = matrix((cos, sin), (minus, cos))
    subset = graph.integers(np.ravel(options["subset_idxs"]).tolist())
    turned = graph.add("MatMul", [graph.add("Gather", [points, subset], axis=1), upright])
    low, high = (graph.add(kind, [turned], axes=[1], keepdims=1) for kind in ("ReduceMin", "ReduceMax"))
    middle = graph.add("Mul", [graph.add("Add", [low, high]), graph.number(0.5)])
    centre = graph.add("MatMul", [middle, back])  # (1, 1, 2)
    sides = np.array([options["output_width"], options["output_height"]], np.float32)
    scales = np.array([options["scale_x"], options["scale_y"]], np.float32)
    step = graph.add("Mul", [graph.add("Sub", [high, low]), graph.constant((scales / sides)[None, None])])
    # (1, 2, 2): pixels of the crop, scaled and turned back, as columns.
    linear = graph.add("Mul", [graph.add("Transpose", [back], perm=[0, 2, 1]), step])
    shift = graph.add("MatMul", [linear, graph.constant((-sides / 2)[None, :, None])])
    moved = graph.add("Add", [graph.add("Transpose", [centre], perm=[0, 2, 1]), shift])
    zeros = graph.constant(np.zeros((1, 2, 1), np.float32))
    return graph.add("Concat", [linear, zeros, moved], axis=2)


def _scaled(graph: Graph, operator: TfliteOperator) -> str:
    """A product; of a transform matrix only the two rows that are kept are scaled."""
    constant = operator.inputs[1]
    value = graph.value(constant)
    if value.shape == (1, 4, 4):
        return graph.add("Mul", [graph.names[operator.inputs[0]], graph.constant(value[:, :2])])
    return _joined("Mul")(graph, operator)


def _transform_landmarks(graph: Graph, operator: TfliteOperator) -> str:
    """(1, N, 2) points, mapped by the matrix. MediaPipe calls it TransformLandmarks, version 2."""
    points, matrix = (graph.names[number] for number in operator.inputs)
    linear = graph.add("Slice", [matrix, *(graph.integers([n]) for n in (0, 2, 2))])
    moved = graph.add("Slice", [matrix, *(graph.integers([n]) for n in (3, 4, 2))])
    turned = graph.add("MatMul", [points, graph.add("Transpose", [linear], perm=[0, 2, 1])])
    return graph.add("Add", [turned, graph.add("Transpose", [moved], perm=[0, 2, 1])])


def _transform_picture(graph: Graph, operator: TfliteOperator) -> str:
    """The crop of a feature map that the matrix describes. MediaPipe calls it TransformTensorBilinear, version 2.

    Pixels have their centres at halves. What lies outside the outermost centres is zero.
    """
    picture, matrix = (graph.names[number] for number in operator.inputs)
    _, in_height, in_width, _ = graph.shape(operator.inputs[0])
    _, height, width, _ = graph.shape(operator.outputs[0])
    y, x = np.mgrid[:height, :width].reshape(2, -1).astype(np.float32) + 0.5
    places = np.stack([x, y, np.zeros_like(x), np.ones_like(x)])[None]  # (1, 4, height · width)
    sampled = graph.add("Sub", [graph.add("MatMul", [matrix, graph.constant(places)]), graph.number(0.5)])
    # From pixels of the feature map to −1 … 1 between its outermost centres.
    half = graph.constant(np.array([in_width - 1, in_height - 1], np.float32)[None, :, None] / 2)
    grid = graph.add("Sub", [graph.add("Div", [sampled, half]), graph.number(1.0)])
    grid = graph.add("Transpose", [grid], perm=[0, 2, 1])
    grid = graph.add("Reshape", [grid, graph.integers([1, height, width, 2])])
    cut = graph.add("GridSample", [picture, grid], mode="bilinear", padding_mode="border", align_corners=1)
    inside = graph.add("LessOrEqual", [graph.add("Abs", [grid]), graph.number(1.0)])
    inside = graph.add("ReduceMin", [graph.add("Cast", [inside], to=TensorProto.FLOAT)], axes=[3], keepdims=0)
    return graph.add("Mul", [cut, graph.add("Unsqueeze", [inside, graph.integers([1])])])


_RULES: dict[str, Callable[[Graph, TfliteOperator], str]] = {
    "ADD": _joined("Add"),
    "MUL": _scaled,
    "CONCATENATION": _concatenate,
    "CONV_2D": _convolution,
    "DEPTHWISE_CONV_2D": _convolution,
    "DEPTH_TO_SPACE": _depth_to_space,
    "MAX_POOL_2D": _max_pool,
    "PAD": _pad,
    "PRELU": _prelu,
    "RELU": _relu,
    "RESHAPE": _reshape,
    "RESIZE_BILINEAR": _resize,
    "STRIDED_SLICE": _whole_slice,
    "Landmarks2TransformMatrix": _transform_matrix,
    "TransformLandmarks": _transform_landmarks,
    "TransformTensorBilinear": _transform_picture,
}
