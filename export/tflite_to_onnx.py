"""Builds an ONNX graph out of TFLite's operators: those of the face models, each by a rule of its own.

Everything is channels first, as ONNX wants it. The graphs are written so that ONNX Runtime keeps its fast layout, which
has the channels in blocks of 8 or 16, from the first convolution to the last:

- Channels that TFLite appends as zeros are there from the start where they fit into the same block, and come from a
  convolution otherwise.
- Operators that do the same to several parts of the picture run as one, on the channels of all (`translate` takes a
  group of them).
- PReLU is two convolutions of single channels (`_prelu`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import numpy as np

from export import tflite
from export.folder import ExportFailed
from export.onnx_graph import FeatureMap, Nodes
from export.tflite import AnyArray, TfliteOperator
from realtime.records import Float32

SAME = 0
"TensorFlow's padding that keeps the size; the other is none."
BLOCK = 16
"Channels that a processor computes at once, at most."
Group = tuple[TfliteOperator, ...]


class Graph(Nodes):
    """Translates what is asked for, and all that it is made from.

    Tensors are known by their numbers. Several numbers are one picture, with the channels of all.
    """

    def __init__(self, source: tflite.TfliteGraph, units_C: Float32) -> None:
        """`units_C` tells what the numbers of the input stand for, as in `FeatureMap`."""
        super().__init__()
        self._source = source
        self._constants: dict[int, AnyArray] = {
            number: tensor.value for number, tensor in enumerate(source.tensors) if tensor.value is not None
        }
        self._readers: dict[int, list[TfliteOperator]] = defaultdict(list)
        self._makers: dict[int, TfliteOperator] = {}
        for operator in source.operators:
            (output,) = operator.outputs
            if operator.name in ("DEQUANTIZE", "DENSIFY"):
                self._constants[output] = self._constants[operator.inputs[0]]
                continue
            self._makers[output] = operator
            for number in operator.inputs:
                self._readers[number].append(operator)
        self._widths = _widths(source)
        self._pictures: dict[tuple[int, ...], FeatureMap] = {(source.inputs[0],): FeatureMap("picture", units_C)}

    def picture(self, *numbers: int) -> FeatureMap:
        """What the operators that make these tensors give."""
        if numbers not in self._pictures:
            self.translate(tuple(self._makers[number] for number in numbers))
        return self._pictures[numbers]

    def name(self, number: int) -> str:
        """The ONNX name of a tensor, in units of 1."""
        return plain(self, self.picture(number)).name

    def has(self, numbers: tuple[int, ...]) -> bool:
        return numbers in self._pictures

    def place(self, numbers: tuple[int, ...], picture: FeatureMap) -> None:
        self._pictures[numbers] = picture

    def translate(self, operators: Group) -> None:
        """Append what one operator does, or several that differ in their weights alone."""
        rule = _RULES.get(operators[0].name)
        if rule is None:
            raise ExportFailed(f"There is no rule for {operators[0].name}.", "Add one to _RULES.")
        self._pictures[tuple(operator.outputs[0] for operator in operators)] = rule(self, operators)

    def operand(self, operators: Group, position: int = 0) -> FeatureMap:
        return self.picture(*(operator.inputs[position] for operator in operators))

    def values(self, operators: Group, position: int) -> list[AnyArray]:
        """The constants of a group at one position."""
        return [self._constants[operator.inputs[position]] for operator in operators]

    def is_constant(self, number: int) -> bool:
        return number in self._constants

    def shape(self, number: int) -> tuple[int, ...]:
        return self._source.tensors[number].shape

    def width(self, number: int) -> int:
        """Channels of a tensor here, with those that are zero."""
        return self._widths.get(number, self.shape(number)[-1])

    def maker(self, number: int) -> TfliteOperator:
        return self._makers[number]

    def units_wanted(self, operators: Group) -> Float32 | None:
        """The units of what is added to the result of a group, and nothing else done with it."""
        readers = [self._readers[operator.outputs[0]] for operator in operators]
        if any(len(each) != 1 or each[0].name != "ADD" for each in readers):
            return None
        others = tuple(
            next(number for number in reader.inputs if number != operator.outputs[0])
            for operator, (reader,) in zip(operators, readers, strict=True)
        )
        return self._pictures[others].units_C if others in self._pictures else None

    @property
    def outputs(self) -> tuple[int, ...]:
        return self._source.outputs

    @property
    def operators(self) -> tuple[TfliteOperator, ...]:
        return self._source.operators


def plain(graph: Nodes, picture: FeatureMap) -> FeatureMap:
    """The same in units of 1."""
    if picture.plain:
        return picture
    name = _single(graph, picture.name, picture.units_C)
    return FeatureMap(name, np.ones(picture.channels, np.float32))


def _single(graph: Nodes, name: str, factors_C: Float32) -> str:
    """Each channel times its factor. ONNX Runtime leaves its layout for a product, and not for a convolution."""
    kernel = graph.constant(factors_C.reshape(-1, 1, 1, 1))
    return graph.add("Conv", [name, kernel], kernel_shape=[1, 1], group=len(factors_C))


def _widths(source: tflite.TfliteGraph) -> dict[int, int]:
    """Channels of tensors that have more of them here than in TFLite.

    What is computed channel by channel has equally many before and after. Zeros are appended before the first of them,
    as long as that fills no further block.
    """
    first: dict[int, int] = {}

    def root(number: int) -> int:
        while first.get(number, number) != number:
            number = first[number]
        return number

    for operator in source.operators:
        (output,) = operator.outputs
        if operator.name in ("ADD", "DEPTHWISE_CONV_2D", "MAX_POOL_2D", "PAD", "PRELU", "RELU"):
            sources = operator.inputs if operator.name == "ADD" else operator.inputs[:1]
            for number in sources:
                if not _is_appended_apart(source, operator):
                    first[root(number)] = root(output)
    widths: dict[int, int] = defaultdict(int)
    numbers = [number for number, tensor in enumerate(source.tensors) if len(tensor.shape) == 4]
    for number in numbers:
        widths[root(number)] = max(widths[root(number)], source.tensors[number].shape[3])
    return {number: widths[root(number)] for number in numbers}


def _is_appended_apart(source: tflite.TfliteGraph, operator: TfliteOperator) -> bool:
    """Whether channels are appended that need another block."""
    before, after = (source.tensors[number].shape[-1] for number in (operator.inputs[0], operator.outputs[0]))
    return operator.name == "PAD" and -(-before // BLOCK) != -(-after // BLOCK)


def _activated(graph: Nodes, name: str, activation: int) -> str:
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


def _convolution(graph: Graph, operators: Group) -> FeatureMap:
    operator = operators[0]
    before = graph.operand(operators)
    depthwise = operator.name == "DEPTHWISE_CONV_2D"
    padding, stride = operator.option(0, "b"), (operator.option(2, "i"), operator.option(1, "i"))
    activation, dilation = (4, (6, 5)) if depthwise else (3, (5, 4))
    if any(operator.option(field, "i", 1) != 1 for field in dilation):
        raise ExportFailed("A convolution is dilated.", "Extend _convolution.")
    width = graph.width(operator.outputs[0])
    per_group = 1 if depthwise else before.channels // len(operators)
    # From (1, H, W, C) of a depthwise and (out, H, W, in) of a plain one.
    order = (3, 0, 1, 2) if depthwise else (0, 3, 1, 2)
    kernel = np.concatenate(
        [_wider(value.transpose(order), width, per_group) for value in graph.values(operators, 1)]
    )  # (out, in of a group, H, W)
    bias = np.concatenate([_wider(value, width) for value in graph.values(operators, 2)])
    units = before.units_C.reshape(-1, 1) if depthwise else before.units_C.reshape(len(operators), 1, -1)
    kernel = _times(kernel, units if depthwise else units.repeat(width, axis=1).reshape(len(kernel), -1))
    activated = operator.option(activation, "b")
    wanted = None if activated else graph.units_wanted(operators)
    if wanted is not None:
        kernel, bias = _times(kernel, 1 / wanted[:, None]), _times(bias, 1 / wanted)
    size = (kernel.shape[2], kernel.shape[3])
    _, height, across, _ = graph.shape(operator.inputs[0])
    name = graph.add(
        "Conv",
        [before.name, graph.constant(kernel), graph.constant(bias)],
        kernel_shape=size,
        strides=stride,
        pads=_pads((height, across), size, stride, padding),
        group=before.channels if depthwise else len(operators),
    )
    after = np.ones(len(kernel), np.float32) if wanted is None else wanted
    return FeatureMap(_activated(graph, name, activated), after)


def _wider(value: AnyArray, *widths: int) -> AnyArray:
    """With zeros up to these lengths of its first axes."""
    wanted = (*widths, *value.shape[len(widths) :])
    return np.pad(value, [(0, width - length) for width, length in zip(wanted, value.shape, strict=True)])


def _times(value: AnyArray, factors: Float32) -> AnyArray:
    """By factors of its first axes. Halves stay halves where that changes no digit."""
    scaled: AnyArray = value.astype(np.float32) * factors.reshape(factors.shape + (1,) * (value.ndim - factors.ndim))
    return scaled.astype(value.dtype) if (np.abs(factors) == 1).all() else scaled


def _max_pool(graph: Graph, operators: Group) -> FeatureMap:
    operator = operators[0]
    stride, size = (
        (operator.option(2, "i"), operator.option(1, "i")),
        (operator.option(4, "i"), operator.option(3, "i")),
    )
    _, height, width, _ = graph.shape(operator.inputs[0])
    # The largest is another one where a unit is negative.
    before = plain(graph, graph.operand(operators))
    name = graph.add(
        "MaxPool",
        [before.name],
        kernel_shape=size,
        strides=stride,
        pads=_pads((height, width), size, stride, operator.option(0, "b")),
    )
    return FeatureMap(name, before.units_C)


def _add(graph: Graph, operators: Group) -> FeatureMap:
    activated = operators[0].option(0, "b")
    before, added = graph.operand(operators, 0), graph.operand(operators, 1)
    if activated or not np.array_equal(before.units_C, added.units_C):
        before, added = plain(graph, before), plain(graph, added)
    return FeatureMap(_activated(graph, graph.add("Add", [before.name, added.name]), activated), before.units_C)


def _pad(graph: Graph, operators: Group) -> FeatureMap:
    """Rows and columns of zeros around a picture, or channels of zeros after the last."""
    picture = graph.operand(operators)
    before, after = graph.values(operators, 1)[0].T
    if after[3] == 0:
        first = [0, 3, 1, 2]
        return FeatureMap(
            graph.add("Pad", [picture.name, graph.integers([*before[first], *after[first]])]), picture.units_C
        )
    width = graph.width(operators[0].outputs[0])
    if width * len(operators) == picture.channels:
        return picture
    part = picture.channels // len(operators)
    kernel = np.tile(np.eye(width, part, dtype=np.float16), (len(operators), 1))
    units = picture.units_C.reshape(len(operators), 1, -1).repeat(width, axis=1).reshape(len(kernel), -1)
    name = graph.add(
        "Conv",
        [picture.name, graph.constant(_times(kernel, units)[..., None, None])],
        kernel_shape=[1, 1],
        group=len(operators),
    )
    return FeatureMap(name, np.ones(len(kernel), np.float32))


def _prelu(graph: Graph, operators: Group) -> FeatureMap:
    """max(0, x) + slope · min(0, x), with a slope for each channel, as slope · x + max(0, (1 − slope) · x).

    Written with 1×1 convolutions of single channels, because ONNX Runtime keeps its fast layout through them. With its
    own PRelu, which it leaves for each, the mesh takes twice the time. A slope above 1 bends the other way: there the
    negative is computed, −x + max(0, (1 − slope) · x), and the units tell so.
    """
    before = graph.operand(operators)
    width = before.channels // len(operators)
    slopes = np.concatenate([_wider(value.reshape(-1), width) for value in graph.values(operators, 1)])
    slopes = slopes.astype(np.float32)
    bends = graph.add("Relu", [_single(graph, before.name, (1 - slopes) * before.units_C)])
    straight = _single(graph, before.name, np.where(slopes > 1, np.float32(-1), slopes) * before.units_C)
    return FeatureMap(graph.add("Add", [straight, bends]), np.where(slopes > 1, -1, 1).astype(np.float32))


def _relu(graph: Graph, operators: Group) -> FeatureMap:
    before = plain(graph, graph.operand(operators))
    return FeatureMap(graph.add("Relu", [before.name]), before.units_C)


def _reshape(graph: Graph, operators: Group) -> FeatureMap:
    (operator,) = operators
    number = operator.inputs[0]
    maker = graph.maker(number)
    if maker.name == "DEPTH_TO_SPACE":
        name = _spread(graph, maker)
    elif len(graph.shape(number)) == 4:
        name = graph.add("Transpose", [graph.name(number)], perm=[0, 2, 3, 1])
    else:
        name = graph.name(number)
    # The results of single landmarks are (1, 1, 1, n) in TFLite; nothing reads them as a picture.
    return _whole(graph, operators, graph.add("Reshape", [name, graph.integers(graph.shape(operator.outputs[0]))]))


def _concatenate(graph: Graph, operators: Group) -> FeatureMap:
    (operator,) = operators
    names = [graph.name(number) for number in operator.inputs]
    return _whole(graph, operators, graph.add("Concat", names, axis=operator.option(0, "i")))


def _resize(graph: Graph, operators: Group) -> FeatureMap:
    (operator,) = operators
    align_corners, half_pixel = operator.option(2, "b"), operator.option(3, "b")
    mode = "align_corners" if align_corners else "half_pixel" if half_pixel else "asymmetric"
    _, height, width, channels = graph.shape(operator.outputs[0])
    name = graph.add(
        "Resize",
        [graph.name(operator.inputs[0]), "", "", graph.integers([1, channels, height, width])],
        mode="linear",
        coordinate_transformation_mode=mode,
    )
    return _whole(graph, operators, name)


def _spread(graph: Graph, operator: TfliteOperator) -> str:
    """Channels as pixels of a larger picture, channels last. A reshape reads it, so it need not be channels first."""
    _, height, width, channels = graph.shape(operator.inputs[0])
    block = operator.option(0, "i")
    name = graph.add("Transpose", [graph.name(operator.inputs[0])], perm=[0, 2, 3, 1])
    name = graph.add("Reshape", [name, graph.integers([height, width, block, channels // block])])
    return graph.add("Transpose", [name], perm=[0, 2, 1, 3])


def _scaled(graph: Graph, operators: Group) -> FeatureMap:
    """A product with a constant."""
    (operator,) = operators
    factor = graph.constant(graph.values(operators, 1)[0])
    return _whole(graph, operators, graph.add("Mul", [graph.name(operator.inputs[0]), factor]))


def _whole_slice(graph: Graph, operators: Group) -> FeatureMap:
    """The mesh's one slice takes everything; TensorFlow's converter put it there to give the output a name."""
    (operator,) = operators
    if graph.shape(operator.inputs[0]) != graph.shape(operator.outputs[0]):
        raise ExportFailed("A slice takes a part.", "Extend _whole_slice.")
    return _whole(graph, operators, graph.name(operator.inputs[0]))


def _whole(graph: Graph, operators: Group, name: str) -> FeatureMap:
    return FeatureMap(name, np.ones(graph.shape(operators[0].outputs[0])[-1], np.float32))


_RULES: dict[str, Callable[[Graph, Group], FeatureMap]] = {
    "ADD": _add,
    "MUL": _scaled,
    "CONCATENATION": _concatenate,
    "CONV_2D": _convolution,
    "DEPTHWISE_CONV_2D": _convolution,
    "MAX_POOL_2D": _max_pool,
    "PAD": _pad,
    "PRELU": _prelu,
    "RELU": _relu,
    "RESHAPE": _reshape,
    "RESIZE_BILINEAR": _resize,
    "STRIDED_SLICE": _whole_slice,
}
